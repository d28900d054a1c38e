//! How the runs of a plan are trained: started as processes, watched, pruned and stopped.
//!
//! [`local`] starts the processes on this machine. A process runs [`work`] and exchanges the messages of [`protocol`]
//! with its sweep.

mod local;
mod log_tail;
mod outcome;
mod process;
mod protocol;
mod worker;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use kiln_store::StoreError;

use crate::race::RaceState;

pub use local::launch;
pub use outcome::{CompletedBy, Failure, RunOutcome};
pub use protocol::{EpochReport, StepReport};
pub use worker::work;

/// Options for launching a plan.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// The largest number of runs that are trained at the same time.
    pub jobs: NonZeroUsize,
    /// Whether the sweep stops when the first run fails or diverges.
    pub fail_fast: bool,
    /// Whether to retrain runs that diverged in an earlier sweep. The name is that of the option `--retry-failed`; runs that
    /// failed are retrained in any case.
    pub retry_failed: bool,
    /// Whether the results of identical finished runs elsewhere are reused.
    pub reuse: bool,
    /// The path of the `kiln` program; `PROGRAM work` trains one run.
    pub program: PathBuf,
}

/// Requests to a sweep or a run that come from outside while it trains, such as from signals.
#[derive(Debug, Default)]
pub struct Requests {
    /// How often it was asked to stop. After the first time, runs finish their step, write a checkpoint and record that
    /// they were interrupted. The second time, their processes are killed.
    pub stops: AtomicUsize,
    /// Set to make all runs write a checkpoint and continue. The receiver resets it.
    pub checkpoint: AtomicBool,
}

/// The result of a sweep.
#[derive(Debug)]
pub struct SweepResult {
    /// The outcome of each run of the plan; `None` if it was not trained.
    pub outcomes: Vec<Option<(RunOutcome, CompletedBy)>>,
    /// The directories of the runs whose results were reused.
    pub reused: Vec<PathBuf>,
    /// The runs that the sweep needs: all, or if the combinations race, those that the race has come to.
    pub needed: usize,
    /// The state of the race, if the combinations race.
    pub race: Option<RaceState>,
    /// Whether a request from outside stopped the sweep.
    pub interrupted: bool,
    /// The duration of the sweep in seconds.
    pub seconds: f64,
}

/// Something that happened in a sweep. Runs are indices into the plan.
#[derive(Debug)]
pub enum Event<'a> {
    /// The sweep needs these runs, in addition to those of earlier events.
    Needed(&'a [usize]),
    /// A race has compared the combinations.
    Look(&'a RaceState),
    /// The process of a run is about to be started. If it cannot be, [`Ended`](Self::Ended) follows.
    Starting(usize),
    /// A run has completed a training step. Only some steps are reported.
    Step(usize, StepReport),
    /// A run has a warning, such as a damaged checkpoint that it skipped.
    Warning(usize, &'a str),
    /// The data of a run has a problem that makes results doubtful. Runs on the same data report the same.
    DataWarning(usize, &'a str),
    /// Another machine took over the lock of a run; the error names it. The sweep waits until the run is done there.
    Lost(usize, &'a StoreError),
    /// A run has completed an epoch.
    Epoch(usize, &'a EpochReport),
    /// A run has been paused until results of other runs decide whether it continues.
    Paused(usize),
    /// A run has ended, or was complete before.
    Ended(usize, &'a RunOutcome, CompletedBy),
    /// No event for a while. Other sweeps are training this many of the runs.
    Idle(usize),
}

/// Receives the events of a sweep.
pub trait Watcher {
    /// Handles an event.
    fn event(&mut self, event: Event<'_>);
}
