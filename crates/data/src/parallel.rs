//! Computes with all processors.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The results of `compute` for the numbers below `count`, in order. Each thread takes `chunk` numbers at a time.
pub(crate) fn in_parallel<T: Send>(
    count: usize,
    chunk: usize,
    compute: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let results = chunks_in_parallel(count, chunk, |start, end| {
        (start..end).map(&compute).collect::<Vec<T>>()
    });
    results.into_iter().flatten().collect()
}

/// The results of `compute` for each range of `chunk` numbers below `count`, in order. Its arguments are the start and the
/// end of the range.
pub(crate) fn chunks_in_parallel<T: Send>(
    count: usize,
    chunk: usize,
    compute: impl Fn(usize, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        loop {
            let start = next.fetch_add(chunk, Ordering::Relaxed);
            if start >= count {
                return results;
            }
            results.push((start, compute(start, count.min(start + chunk))));
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(count.div_ceil(chunk));
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut results = work();
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    });
    results.sort_by_key(|(start, _)| *start);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order() {
        assert_eq!(in_parallel(10_000, 7, |number| number), (0..10_000).collect::<Vec<_>>());
        assert!(in_parallel(0, 7, |number| number).is_empty());
        assert_eq!(chunks_in_parallel(10, 4, |start, end| start..end), [0..4, 4..8, 8..10]);
    }
}
