use std::num::NonZero;
use std::thread;

/// Applies `task` to each item on all cores; the results are in the items' order.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], task: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    // Consecutive items form a chunk, so the results only need to be concatenated.
    let chunk = items.len().div_ceil(cores).max(1);
    let task = &task;
    thread::scope(|scope| {
        let chunks = items.chunks(chunk);
        let workers: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || chunk.iter().map(task).collect::<Vec<_>>()))
            .collect();
        let results = workers.into_iter().flat_map(|worker| {
            // Continue a panic in the calling thread, as without threads.
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        results.collect()
    })
}
