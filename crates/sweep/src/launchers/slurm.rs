//! Submits workers to Slurm as an array job, and returns. Every task of the array is a worker, `kiln worker DIRECTORY`, which
//! knows the other workers only by the files of the sweep.
//!
//! Slurm restarts a worker that was preempted or whose node failed. Before its time limit, Slurm sends SIGUSR2: the worker
//! writes checkpoints, gives its runs back, and lets Slurm queue it again.

mod config;
mod queue;
mod script;
mod submission;

use std::env;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use kiln_store::{FileLock, StoreError, files};
use kiln_train::MachineMemory;

use crate::error::SweepError;
use crate::launchers::{LaunchOptions, Launched, Launcher, Requests, Share, Watcher};
use crate::plan::{Plan, RunState};
use crate::worker::visible_devices;

pub use config::{PREFIX, SlurmConfig};
pub use queue::{QueuedWorker, cancel, queued_workers, requeue};
pub use submission::Submission;

pub(super) struct Slurm;

/// The result of a submission.
#[derive(Debug)]
pub struct SubmissionOutcome {
    /// The runs of the sweep that are done.
    pub done: usize,
    /// The runs that are not.
    pub remaining: usize,
    /// The workers that were in the queue or running before.
    pub workers: usize,
    /// The directories of finished runs elsewhere whose results were reused.
    pub reused: Vec<PathBuf>,
    /// The new job; `None` if no more workers are needed.
    pub submission: Option<Submission>,
}

impl Launcher for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn memory(&self) -> MachineMemory {
        // A login node is not the machine that trains.
        MachineMemory { bytes: None }
    }

    fn uses_other_machines(&self) -> bool {
        true
    }

    fn script(&self, plan: &Plan, options: &LaunchOptions) -> Option<String> {
        let to_do = remaining_runs(plan, options.retry_failed).len();
        let workers = options.slurm.workers().get().min(to_do.max(1));
        Some(script::batch_script(plan, options, workers, queue::requeue_status()))
    }

    fn launch(
        &self,
        plan: &Plan,
        options: &LaunchOptions,
        _watcher: &mut dyn Watcher,
        _requests: &Requests,
    ) -> Result<Launched, SweepError> {
        let mut to_do = remaining_runs(plan, options.retry_failed);
        let reused = match options.reuse {
            true => reuse(plan, &mut to_do)?,
            false => Vec::new(),
        };
        let jobs: Vec<String> =
            Submission::read_all(&plan.directory).into_iter().map(|job| job.job).collect();
        // Without an answer, the new workers find nothing to do at worst.
        let workers = queued_workers(&jobs).map_or(0, |workers| workers.len());
        let mut outcome = SubmissionOutcome {
            done: plan.runs.len() - to_do.len(),
            remaining: to_do.len(),
            workers,
            reused,
            submission: None,
        };
        // A worker without a run would only start and end.
        let wanted = options.slurm.workers().get().min(to_do.len().saturating_sub(workers));
        if wanted == 0 {
            return Ok(Launched::Submitted(outcome));
        }
        let directory = submission::create_directory(&plan.directory)?;
        let text = script::batch_script(plan, options, wanted, queue::requeue_status());
        let script = directory.join(format!("submitted-{}.sh", std::process::id()));
        files::write(&script, text)?;
        let job = queue::submit(&script).inspect_err(|_| {
            let _ = files::remove(&script);
        })?;
        let own = directory.join(format!("job-{job}.sh"));
        std::fs::rename(&script, &own).map_err(|cause| SweepError::io("rename", &script, cause))?;
        let submission = Submission::new(job, wanted, plan.record().file_name());
        submission.write(&plan.directory)?;
        outcome.submission = Some(submission);
        Ok(Launched::Submitted(outcome))
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

/// A worker in a job of Slurm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmTask {
    /// The id by which the job can be queued again.
    pub job: String,
    /// Its place among the tasks of the array.
    pub share: Share,
    /// The processors of the task.
    pub cpus: NonZeroUsize,
}

impl SlurmTask {
    /// The task that this process is in, by the variables that Slurm sets; `None` outside of a job.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let number = |name: &str| text(name)?.parse::<usize>().ok();
        let job = text("SLURM_JOB_ID")?;
        let array = text("SLURM_ARRAY_JOB_ID").unwrap_or_else(|| job.clone());
        let count = number("SLURM_ARRAY_TASK_COUNT").and_then(NonZeroUsize::new);
        let cpus = number("SLURM_CPUS_PER_TASK").and_then(NonZeroUsize::new);
        let is_safe = |c: char| c.is_ascii_alphanumeric();
        Some(Self {
            job,
            share: Share {
                group: format!("slurm{}", array.replace(|c| !is_safe(c), "")),
                index: number("SLURM_ARRAY_TASK_ID").unwrap_or(0),
                count: count.unwrap_or(NonZeroUsize::MIN),
            },
            cpus: cpus.unwrap_or(NonZeroUsize::MIN),
        })
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
