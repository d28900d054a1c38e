//! Sweeps: many runs of one experiment, declared in a sweep file or on the command line, planned, and trained in
//! separate processes.
//!
//! ```text
//! sweep.toml + KEY=V1,V2,…
//!    │  Sweep::open            reads the axes and completes their keys
//!    ▼
//! Sweep
//!    │  Plan::new              expands the axes; checks every run against the experiment's rules and the data
//!    ▼
//! Plan ── Estimate::measure    predicts how long the runs take
//!    │  launch                 trains every run that is not complete, each in its own process
//!    ▼
//! SweepResult
//! ```
//!
//! The directory of a run is `<runs>/<name>/<id>`, and the id is a hash of the resolved experiment and of its data. The run
//! directories are the only state of a sweep: a run whose directory is complete is done, regardless of which process
//! trained it and when. The file `.kiln/<id>.log` next to them is the [lock](kiln_store::FileLock) of a run and
//! receives the standard error of its process.

mod decision_files;
mod declaration;
mod declared;
mod error;
mod follow;
mod launchers;
mod plan;
mod prune;
mod race;
mod rules;
mod samplers;
mod status;
mod worker;

pub use declaration::{
    MAX_RUNS, Setting, SkippedRuns, Sweep, SweepPoint, SweepRecord, SweepRecords, is_sweep_file,
};
pub use declared::{declared_race, declared_runs};
pub use error::SweepError;
pub use follow::{FollowEnd, follow};
pub use launchers::{
    Event, JobKey, JobSettings, JobTables, LAUNCHERS, LaunchOptions, Launched, Launcher, Queue,
    QueuedWorker, Requests, Share, Submission, SubmissionOutcome, Submissions, SweepResult, Task,
    Watcher, queue_of_setting, queues,
};
pub use plan::{
    Budget, DifferingKey, Estimate, InvalidSweep, Outlook, Plan, PlannedRun, RunOnOtherData,
    RunState, Runs, SharedTraining,
};
pub use prune::{PruneConfig, PruneOrder};
pub use race::{Race, RaceConfig, RaceEnd, RaceProgress, RaceResult, RaceState, Stopped, decide};
pub use rules::SweepRules;
pub use status::{Activity, RunStatus, read_status};
pub use worker::{
    CompletedBy, EpochReport, Failure, RunOutcome, StepReport, train_runs, visible_devices, work,
};
