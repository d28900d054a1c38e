//! Where the runs of a plan are trained. A launcher starts [workers](crate::worker); a worker takes the next free run, trains
//! it, and ends when none is left.
//!
//! A launcher is one file with a [`Launcher`], and one line in [`LAUNCHERS`]. If its workers wait in the queue of a cluster, it
//! is also a [`Queue`].

mod local;
mod queue;
mod slurm;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use kiln_store::StoreError;
use kiln_train::MachineMemory;

use crate::error::SweepError;
use crate::plan::Plan;
use crate::race::RaceState;
use crate::worker::{CompletedBy, EpochReport, RunOutcome, StepReport};

pub use queue::{
    JobKey, JobSettings, JobTables, Queue, QueuedWorker, Submission, SubmissionOutcome,
    Submissions, Task, queue_of_setting, queues,
};

/// Every launcher. The first one is the default.
pub const LAUNCHERS: &[&dyn Launcher] = &[&local::Local, &slurm::Slurm];

/// A place where the runs of a sweep are trained.
pub trait Launcher: Sync {
    /// The value of `--launcher`.
    fn name(&self) -> &'static str;

    /// The memory of the machine that trains.
    fn memory(&self) -> MachineMemory;

    /// The queue, if workers wait in one before they start. Their machines share a directory with this one.
    fn queue(&self) -> Option<&dyn Queue> {
        None
    }

    /// The text that `--dry-run` prints in place of the runs and their cost, such as a batch script.
    fn next_script(&self, plan: &Plan, options: &LaunchOptions) -> Option<String> {
        self.queue().map(|queue| queue::next_script(queue, plan, options))
    }

    /// Starts workers for a plan whose record was written. Returns when all runs are done, or when the workers are
    /// in a queue.
    ///
    /// # Errors
    ///
    /// No worker can be started. An error that concerns one run is the outcome of that run.
    fn launch(
        &self,
        plan: &Plan,
        options: &LaunchOptions,
        watcher: &mut dyn Watcher,
        requests: &Requests,
    ) -> Result<Launched, SweepError>;
}

/// The result of a launch.
#[derive(Debug)]
pub enum Launched {
    /// The sweep has ended.
    Ended(SweepResult),
    /// Workers were submitted to a queue, or none were needed.
    Submitted(SubmissionOutcome),
}

/// Options for launching a plan.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// The largest number of runs that a worker trains at the same time.
    pub jobs: NonZeroUsize,
    /// The number of threads of each run.
    pub threads: NonZeroUsize,
    /// The devices of the worker, each for one run at a time, as values of `CUDA_VISIBLE_DEVICES`; empty if the runs share
    /// what the worker has.
    pub devices: Vec<String>,
    /// Whether the sweep stops when the first run fails or diverges.
    pub fail_fast: bool,
    /// Whether to retrain runs that diverged in an earlier sweep. The name is that of the option `--retry-failed`; runs that
    /// failed are retrained in any case.
    pub retry_failed: bool,
    /// Whether the results of identical finished runs elsewhere are reused.
    pub reuse: bool,
    /// The path of the `kiln` program; `PROGRAM work` trains one run.
    pub program: PathBuf,
    /// The place of the worker among others that were started together; `None` if it is the only one.
    pub share: Option<Share>,
    /// The settings of a job in a queue.
    pub job: JobSettings,
}

/// The place of a worker among those that were started together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Identifies the workers that were started together, such as `slurm4711`. A failed run is tried once by each such
    /// group.
    pub group: String,
    /// The index of the worker, from 0.
    pub index: usize,
    /// The number of workers.
    pub count: NonZeroUsize,
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
    /// The runs that the sweep needs: all, or if the combinations race, those that the race has requested.
    pub needed: usize,
    /// The runs of samples that were not drawn.
    pub to_draw: usize,
    /// Whether a stage of a sweep with a budget has ended, so that the [next one](Plan::next_stage) follows.
    pub stage_is_over: bool,
    /// The seconds of the cheapest run, if the budget is too short for it.
    pub too_short: Option<f64>,
    /// The mean seconds that the process of a run spent apart from its epochs.
    pub overhead: f64,
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
    /// A job is about to be submitted. From now on it is not known whether workers exist, until the launch returns.
    Submitting,
    /// The process of a run is about to be started. If it cannot be, [`Ended`](Self::Ended) follows.
    Starting(usize),
    /// A run has completed a training step. Only some steps are reported.
    Step(usize, StepReport),
    /// A run has a warning, such as a damaged checkpoint that it skipped.
    Warning(usize, &'a str),
    /// The next sample cannot be drawn.
    NoSample(&'a SweepError),
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
