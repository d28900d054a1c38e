//! Queues of clusters: workers are submitted as a job of several tasks, and the queue starts, restarts and stops them. Every
//! task is a worker, `kiln worker DIRECTORY`, which knows the other workers only by the files of the sweep.
//!
//! A queue is a [`Queue`]: the settings of a job, its batch script, and the commands of the cluster. Everything else about
//! submitting, looking and canceling is here and knows no cluster.

mod settings;
mod submission;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use kiln_store::{FileLock, StoreError, files};
use serde::Serialize;

use crate::error::SweepError;
use crate::launchers::{Event, LAUNCHERS, LaunchOptions, Launched, Launcher, Share, Watcher};
use crate::plan::{Plan, RunState};
use crate::worker::visible_devices;

pub use settings::{JobKey, JobSettings, JobTables};
pub(super) use settings::{Rule, ValueKind};
pub use submission::{Submission, Submissions};
pub(super) use submission::{directory, is_job_id};

/// A launcher whose workers wait in the queue of a cluster before they start.
///
/// Its [name](Launcher::name) is also that of the table with the settings of its jobs, and of the directory in `.kiln` with
/// their scripts and output.
pub trait Queue: Launcher {
    /// The name of the program in messages, such as "Slurm".
    fn title(&self) -> &'static str;

    /// The keys of the settings, in the order of the batch script. One of them is `workers`.
    fn keys(&self) -> &'static [JobKey];

    /// The advice for an option of `kiln sweep` that is only for the local launcher.
    fn instead_of(&self, option: &str) -> Option<&'static str>;

    /// The batch script for so many workers.
    fn script(&self, plan: &Plan, options: &LaunchOptions, workers: usize) -> String;

    /// Submits a batch script and returns the id of the job.
    ///
    /// # Errors
    ///
    /// The cluster refuses the job, or cannot be reached.
    fn submit(&self, script: &Path) -> Result<String, SweepError>;

    /// The workers of these jobs that wait, run or are about to end. Jobs that the cluster has forgotten have none. A job
    /// whose script is known to be in another directory is not meant, because clusters use ids again.
    ///
    /// # Errors
    ///
    /// The cluster cannot be reached.
    fn workers(&self, directory: &Path, jobs: &[String]) -> Result<Vec<QueuedWorker>, SweepError>;

    /// Ends the workers of these jobs.
    ///
    /// # Errors
    ///
    /// The cluster refuses it, or cannot be reached.
    fn cancel(&self, jobs: &[String]) -> Result<(), SweepError>;

    /// The task that this process is in; `None` if it is not in a job of this queue.
    fn task(&self) -> Option<Task>;

    /// Queues the task of this process again.
    ///
    /// # Errors
    ///
    /// The cluster refuses it, or cannot be reached.
    fn requeue(&self, task: &Task) -> Result<(), SweepError>;

    /// The [group](Share::group) of the workers of a job.
    fn group(&self, job: &str) -> String {
        let safe = job.chars().filter(char::is_ascii_alphanumeric);
        self.name().chars().chain(safe).collect()
    }
}

/// A worker in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedWorker {
    /// The id of its job.
    pub job: String,
    /// Its index in the job.
    pub index: Option<usize>,
    /// Its state in the words of the queue, such as `PENDING`.
    pub state: String,
    /// The node that it is on.
    pub node: Option<String>,
    /// The reason of the queue for its state, such as `Resources`.
    pub reason: Option<String>,
    /// Whether it waits to be started.
    #[serde(skip)]
    pub is_waiting: bool,
    /// Whether it takes no more runs, and the queue waits for the end of its processes.
    #[serde(skip)]
    pub is_ending: bool,
}

/// A worker's place in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The id by which it can be queued again.
    pub id: String,
    /// Its place among the tasks of the job.
    pub share: Share,
    /// The processors of the task.
    pub cpus: NonZeroUsize,
    /// The name of the machine in the cluster.
    pub node: Option<String>,
}

impl Task {
    /// The task that this process is in, and its queue; `None` outside of a job.
    #[must_use]
    pub fn of_this_process() -> Option<(&'static dyn Queue, Self)> {
        queues().find_map(|queue| Some((queue, queue.task()?)))
    }

    /// The options of a worker in this task. If runs use GPUs, it trains one on each that the task sees, and divides the
    /// processors between them.
    #[must_use]
    pub fn options(&self, plan: &Plan, options: LaunchOptions) -> LaunchOptions {
        let devices = if plan.uses_gpus() { visible_devices() } else { Vec::new() };
        let jobs = NonZeroUsize::new(devices.len()).unwrap_or(NonZeroUsize::MIN);
        let threads = NonZeroUsize::new(self.cpus.get() / jobs).unwrap_or(NonZeroUsize::MIN);
        LaunchOptions { jobs, threads, devices, share: Some(self.share.clone()), ..options }
    }
}

/// The queues among the launchers.
pub fn queues() -> impl Iterator<Item = &'static dyn Queue> {
    LAUNCHERS.iter().filter_map(|launcher| launcher.queue())
}

/// The queue that an argument of the command line such as `slurm.workers=20` is for.
#[must_use]
pub fn queue_of_setting(argument: &str) -> Option<&'static dyn Queue> {
    let (table, _) = argument.split_once('.')?;
    queues().find(|queue| queue.name() == table)
}

/// The result of a submission.
#[derive(Debug)]
pub struct SubmissionOutcome {
    /// The runs of the sweep that are done.
    pub done: usize,
    /// The runs that are not.
    pub remaining: usize,
    /// The workers that were in the queue or running before.
    pub workers: usize,
    /// Whether the workers retrain runs that diverged before.
    pub retry_failed: bool,
    /// The directories of finished runs elsewhere whose results were reused.
    pub reused: Vec<PathBuf>,
    /// The new job; `None` if no more workers are needed.
    pub submission: Option<Submission>,
}

/// The batch script that [`launch`] would submit.
pub(super) fn next_script(queue: &dyn Queue, plan: &Plan, options: &LaunchOptions) -> String {
    let to_do = remaining_runs(plan, options.retry_failed).len() + plan.runs_to_draw();
    let most = options.job.workers().get();
    let workers = if plan.is_searching_in_time() { most } else { most.min(to_do.max(1)) };
    queue.script(plan, options, workers)
}

/// Submits workers for the runs that are left.
pub(super) fn launch(
    queue: &dyn Queue,
    plan: &Plan,
    options: &LaunchOptions,
    watcher: &mut dyn Watcher,
) -> Result<Launched, SweepError> {
    let mut to_do = remaining_runs(plan, options.retry_failed);
    let reused = match options.reuse {
        true => reuse(plan, &mut to_do)?,
        false => Vec::new(),
    };
    // Workers of another declaration in this directory do not know all of these runs.
    let submissions = Submissions::read(queue, &plan.directory);
    let declaration = plan.record().file_name();
    let is_own = |worker: &&QueuedWorker| {
        let mut jobs = submissions.jobs.iter();
        !worker.is_ending && jobs.any(|it| it.job == worker.job && it.declaration == declaration)
    };
    // Without an answer, the new workers find nothing to do at worst.
    let workers = submissions.workers().unwrap_or_default().iter().filter(is_own).count();
    let mut outcome = SubmissionOutcome {
        done: plan.runs.len() - to_do.len(),
        remaining: to_do.len() + plan.runs_to_draw(),
        workers,
        retry_failed: options.retry_failed,
        reused,
        submission: None,
    };
    let most = options.job.workers().get();
    let wanted = if plan.is_searching_in_time() {
        most.saturating_sub(workers)
    } else {
        // A worker without a run would only start and end.
        most.min(outcome.remaining.saturating_sub(workers))
    };
    if wanted == 0 {
        return Ok(Launched::Submitted(outcome));
    }
    let directory = submission::create_directory(queue, &plan.directory)?;
    let script = directory.join(format!("submitted-{}.sh", std::process::id()));
    files::write(&script, queue.script(plan, options, wanted))?;
    watcher.event(Event::Submitting);
    let job = queue.submit(&script).inspect_err(|_| {
        let _ = files::remove(&script);
    })?;
    let submission = Submission::new(job, wanted, declaration);
    submission
        .record(&directory, &script)
        .map_err(|error| cancel_unrecorded(queue, &submission, &error))?;
    outcome.submission = Some(submission);
    Ok(Launched::Submitted(outcome))
}

/// Cancels a job of which the sweep has no record, so that `kiln cancel` could not end it.
fn cancel_unrecorded(queue: &dyn Queue, submission: &Submission, error: &SweepError) -> SweepError {
    let job = &submission.job;
    match queue.cancel(std::slice::from_ref(job)) {
        Ok(()) => SweepError::launcher(
            format!("canceled job {job}, because its record cannot be written: {error}"),
            Some("after fixing this, repeat the command".to_owned()),
        ),
        Err(problem) => SweepError::launcher(
            format!("the record of job {job} cannot be written: {error}; {problem}"),
            Some(format!("cancel job {job} with the command of {}", queue.title())),
        ),
    }
}

/// The runs that may have to be trained.
fn remaining_runs(plan: &Plan, retry_failed: bool) -> Vec<usize> {
    let wanted = match (&plan.race, plan.race_state()) {
        (Some(race), Some(state)) => race.wanted_at_most(&state),
        _ => (0..plan.runs.len()).collect(),
    };
    let is_done = |run: &usize| {
        let planned = &plan.runs[*run];
        RunState::of(plan, planned).is_done(plan, planned, retry_failed)
    };
    wanted.into_iter().filter(|run| !is_done(run)).collect()
}

/// Takes the results of identical runs elsewhere, so that the workers need not look for them.
fn reuse(plan: &Plan, to_do: &mut Vec<usize>) -> Result<Vec<PathBuf>, SweepError> {
    let mut reused = Vec::new();
    for (run, paths) in plan.reusable(to_do)? {
        let planned = &plan.runs[run];
        let lock = match FileLock::take(&plan.directory, &planned.id) {
            Err(StoreError::Locked { .. }) => continue,
            lock => lock?,
        };
        if RunState::read(plan, planned) != RunState::Missing {
            continue;
        }
        for path in paths {
            lock.token().check()?;
            // A damaged run is not reused, but trained again.
            if plan.reuse(planned, &path).is_ok_and(|is_reused| is_reused) {
                to_do.retain(|it| *it != run);
                reused.push(path);
                break;
            }
        }
    }
    Ok(reused)
}

impl SweepError {
    /// The error for what a cluster says when it refuses a job: its words, and the keys whose rows mention them.
    pub(super) fn refusal(queue: &dyn Queue, message: &str) -> Self {
        let lower = message.to_lowercase();
        let is_meant = |key: &&JobKey| key.refusals.iter().any(|part| lower.contains(part));
        let keys = queue.keys().iter().filter(is_meant);
        let keys: Vec<String> = keys.map(|key| format!("{}.{}", queue.name(), key.name)).collect();
        let help = if keys.is_empty() {
            "to see the batch script, add --dry-run".to_owned()
        } else {
            format!("change {}; to see the batch script, add --dry-run", keys.join(" or "))
        };
        Self::launcher(format!("{} refuses the job: {message}", queue.title()), Some(help))
    }
}
