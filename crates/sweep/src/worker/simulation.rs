//! Counts what claiming costs: 200 claimers share 10,000 runs that only exist as directories. Time is simulated; the files
//! and locks are real.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use kiln_store::FileLock;

use crate::launchers::Share;
use crate::plan::RunState;
use crate::worker::free_runs::{self, FreeRuns, Listing};
use crate::worker::outcome::RunOutcome;

/// What all claimers have done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Operations {
    /// Attempts to lock a run.
    locks: usize,
    /// Attempts on a run that another claimer had locked.
    busy: usize,
    /// Attempts on a run that had ended.
    ended: usize,
    /// Listings of the directories of the sweep.
    listings: usize,
    /// Looks at the lock of a run that another claimer had.
    looks: usize,
    trained: usize,
}

struct Claimer {
    free: FreeRuns,
    share: Share,
    lock: Option<(usize, FileLock)>,
}

impl Claimer {
    /// Claims the next run, as a worker does; `None` if none is free.
    fn claim(&mut self, directory: &Path, ids: &[String], count: &mut Operations) -> Option<usize> {
        loop {
            if let Some(run) = self.free.next_own() {
                count.locks += 1;
                let Ok(lock) = FileLock::take(directory, &ids[run]) else {
                    count.busy += 1;
                    self.free.is_busy(run);
                    continue;
                };
                if directory.join(&ids[run]).exists() {
                    count.ended += 1;
                    continue;
                }
                self.lock = Some((run, lock));
                return Some(run);
            }
            if self.free.others().is_empty() {
                return None;
            }
            count.listings += 1;
            let listing = Listing::read(directory);
            let group = self.share.group.clone();
            let has_ended =
                |run: usize| listing.ended(&ids[run], &group, false) == Some(RunState::Finished);
            if self.free.refill(has_ended, |run| !listing.is_claimed(&ids[run])) == 0 {
                count.looks += self.free.others().len();
                return None;
            }
        }
    }

    fn finish(&mut self, directory: &Path, ids: &[String]) {
        let Some((run, lock)) = self.lock.take() else { return };
        fs::create_dir(directory.join(&ids[run])).expect("the directory of the run");
        free_runs::mark(directory, &ids[run], &RunOutcome::Finished, &self.share.group);
        drop(lock);
    }
}

/// Lets `claimers` share `runs`. Runs get shorter along the list and differ by chance, and claimers start one after the
/// other, all within the time of a run.
fn simulate(claimers: usize, runs: usize) -> Operations {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.expect("a temporary directory");
    let directory = directory.path();
    let ids: Vec<String> = (0..runs).map(|run| format!("{run:012x}")).collect();
    let order: Vec<usize> = (0..runs).collect();
    let mut random = 1_u64;
    let mut next_random = move |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut all: Vec<Claimer> = (0..claimers)
        .map(|index| {
            let count = NonZeroUsize::new(claimers).expect("not zero");
            let share = Share { group: "test".to_owned(), index, count };
            let mut free = FreeRuns::new(share.clone());
            free.add(&order);
            Claimer { free, share, lock: None }
        })
        .collect();
    let mut count = Operations::default();
    let mut trained: HashMap<usize, usize> = HashMap::new();
    let mut events: BinaryHeap<Reverse<(u64, usize)>> =
        (0..claimers).map(|claimer| Reverse((next_random(1000), claimer))).collect();
    while let Some(Reverse((time, index))) = events.pop() {
        all[index].finish(directory, &ids);
        if let Some(run) = all[index].claim(directory, &ids, &mut count) {
            *trained.entry(run).or_default() += 1;
            let length = 1000 + (runs - run) as u64 * 1000 / runs as u64;
            events.push(Reverse((time + length / 2 + next_random(length), index)));
        }
    }
    assert!(trained.values().all(|times| *times == 1), "a run was trained twice");
    count.trained = trained.len();
    count
}

#[test]
fn claiming_costs_little_more_than_one_attempt_for_each_run() {
    let long = std::env::var("KILN_RELIABILITY").is_ok_and(|value| value == "long");
    let (claimers, runs) = if long { (200, 10_000) } else { (40, 1000) };
    let count = simulate(claimers, runs);
    assert_eq!(count.trained, runs);
    // The runs of others are tried only at the end, by those whose own runs are used up.
    assert!(count.locks < runs + 10 * claimers, "{count:?}");
    assert!(count.listings < 12 * claimers, "{count:?}");
    print_figures(claimers, runs, &count);
}

#[expect(clippy::print_stderr, reason = "the figures of a long test are its output")]
fn print_figures(claimers: usize, runs: usize, count: &Operations) {
    eprintln!("reliability: {claimers} claimers, {runs} runs: {count:?}");
}
