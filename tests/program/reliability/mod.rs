//! Tests of the guarantees in `RELIABILITY.md`.
//!
//! `KILN_RELIABILITY=long` runs many more rounds of each test. `KILN_RELIABILITY_SEED=N` chooses other random moments.
//! The seed does not control how the operating system schedules processes, so a failing round may pass when it is
//! repeated. Therefore each assertion message contains the round and all that the program printed.

mod damage;
mod disk_model;
mod disk_model_tests;
#[cfg(target_os = "linux")]
mod kills;
mod many_sweeps;
mod power_loss;
#[cfg(target_os = "linux")]
mod real_disk;
#[cfg(target_os = "linux")]
mod signals;
mod single_faults;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::project::Project;

/// Three epochs of three steps, with everything that a checkpoint must restore: the moments of the optimizer, the random
/// generator of dropout, the best weights (from the second epoch) and the state of early stopping. A checkpoint is due
/// after every step.
const EXPERIMENT: &str = r#"name = "columns"
seed = 4

[data]
source = "columns"
validation = 24

[model]
layers = [
  { type = "flatten" },
  { type = "dense", units = 8, activation = "relu" },
  { type = "dropout", rate = 0.3 },
  { type = "dense", units = "classes", activation = "softmax" },
]

[optimizer]
type = "adam"
learning_rate = 0.3

[training]
epochs = 3
batch_size = 32
weights = "best"

[early_stopping]
patience = 50

[checkpoint]
minutes = 1e-9
"#;

/// Returns one of two values, depending on `KILN_RELIABILITY`.
pub(crate) fn short_or_long<T>(short: T, long: T) -> T {
    match std::env::var("KILN_RELIABILITY").as_deref() {
        Ok("long") => long,
        Ok("short") | Err(_) => short,
        Ok(other) => panic!("KILN_RELIABILITY must be `short` or `long`, not `{other}`"),
    }
}

/// Prints the figures of a test for the table in `RELIABILITY.md`. `cargo test` shows them with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the figures of a long test are its output")]
pub(crate) fn print_figures(figures: &str) {
    eprintln!("reliability: {figures}");
}

/// A random generator: SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Rng(u64);

impl Rng {
    /// Each round of each test has its own stream.
    pub(crate) fn new(test: &str, round: usize) -> Self {
        let seed = std::env::var("KILN_RELIABILITY_SEED").map_or(1, |seed| seed.parse().unwrap());
        let mut rng = Self(seed);
        for word in test.bytes().map(u64::from).chain([round as u64]) {
            rng.0 = rng.next() ^ word;
        }
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number in `0..end`, or 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }

    /// A number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// An experiment for the tests of faults, and how many of its disk operations they let fail.
struct Subject {
    name: &'static str,
    experiment: &'static str,
    /// The epoch of the tested weights.
    tested_epoch: u64,
    /// Every operation fails with every fault, or, if not `true`, with one fault, in turn.
    all_faults: bool,
}

/// The dense experiment keeps the best weights and the state of early stopping; the convolutional one keeps averaged
/// weights and running statistics.
fn subjects() -> [Subject; 2] {
    [
        Subject { name: "dense", experiment: EXPERIMENT, tested_epoch: 2, all_faults: true },
        Subject {
            name: "convolutional",
            experiment: crate::convolution::EXPERIMENT,
            tested_epoch: 3,
            // The disk operations are the same, so the short form need not repeat all of them.
            all_faults: short_or_long(false, true),
        },
    ]
}

impl Subject {
    fn project(&self) -> Project {
        let project = in_memory_project();
        project.write("experiment.toml", self.experiment);
        project
    }
}

/// A project with [`EXPERIMENT`], in memory if the system has `/dev/shm`. Tests that simulate faults do not need to wait
/// for a real disk.
fn in_memory_project() -> Project {
    let project = Project::in_memory();
    project.write("experiment.toml", EXPERIMENT);
    project
}

/// Calls `work` with each item, on two threads: the smallest machine that runs these tests has two cores.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        worker();
        if let Err(panic) = other.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
