//! What `RELIABILITY.md` promises, put to the test.
//!
//! `KILN_RELIABILITY=long` makes each test the long one, `KILN_RELIABILITY_SEED=N` takes other random moments. How
//! the machine schedules processes is not in the seed's hands, so a failure tells all that is needed to understand it.

mod damage;
mod disk_model;
mod disk_model_tests;
#[cfg(target_os = "linux")]
mod kills;
mod many_sweeps;
mod power_loss;
pub(crate) mod processes;
#[cfg(target_os = "linux")]
mod real_disk;
pub(crate) mod run_state;
#[cfg(target_os = "linux")]
mod signals;
mod single_faults;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::project::Project;

/// Three epochs of three steps with all that a checkpoint has to bring back: moments of the optimiser, dropout's
/// generator, the best weights (those of the second epoch), early stopping's patience. A checkpoint after every step.
pub(super) const EXPERIMENT: &str = r#"name = "columns"
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

/// A number by the form of the tests that is asked for.
pub(super) fn short_or_long<T>(short: T, long: T) -> T {
    match std::env::var("KILN_RELIABILITY").as_deref() {
        Ok("long") => long,
        Ok("short") | Err(_) => short,
        Ok(other) => panic!("KILN_RELIABILITY is `{other}`, and may be `short` or `long`"),
    }
}

/// What a test came to, for the table of `RELIABILITY.md`: `cargo test` shows it with `--nocapture`.
#[expect(clippy::print_stderr, reason = "figures of a long test are its output")]
pub(super) fn tell(figures: &str) {
    eprintln!("reliability: {figures}");
}

/// Random numbers: SplitMix64 (Steele, Lea and Flood 2014).
pub(super) struct Generator(u64);

impl Generator {
    /// One stream for each round of each test.
    pub(super) fn new(test: &str, round: usize) -> Self {
        let seed = std::env::var("KILN_RELIABILITY_SEED").map_or(1, |seed| seed.parse().unwrap());
        let mut generator = Self(seed);
        for word in test.bytes().map(u64::from).chain([round as u64]) {
            generator.0 = generator.next() ^ word;
        }
        generator
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From 0 to `end`, without it; 0 where that is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }

    /// From 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// A project on a disk that answers at once where there is one, with [`EXPERIMENT`]. For faults that are made, a real disk
/// would only take its time.
pub(super) fn in_memory_project() -> Project {
    let memory = std::path::Path::new("/dev/shm");
    let directory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let project = Project::within(directory.unwrap());
    project.write("experiment.toml", EXPERIMENT);
    project
}

/// Two at a time: the cores of the smallest machine that runs these tests.
pub(super) fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
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
