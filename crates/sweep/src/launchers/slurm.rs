//! Submits workers to Slurm as an array job.
//!
//! Slurm restarts a worker that was preempted or whose node failed. Before its time limit, Slurm sends SIGUSR2: the worker
//! writes checkpoints, gives its runs back, and lets Slurm queue it again.

mod commands;
mod keys;
mod script;

use std::env;
use std::num::NonZeroUsize;
use std::path::Path;

use kiln_train::MachineMemory;

use crate::error::SweepError;
use crate::launchers::queue::{self, JobKey, Queue, QueuedWorker, Task};
use crate::launchers::{LaunchOptions, Launched, Launcher, Requests, Share, Watcher};
use crate::plan::Plan;

pub(super) struct Slurm;

impl Launcher for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn memory(&self) -> MachineMemory {
        // A login node is not the machine that trains.
        MachineMemory { bytes: None }
    }

    fn queue(&self) -> Option<&dyn Queue> {
        Some(self)
    }

    fn launch(
        &self,
        plan: &Plan,
        options: &LaunchOptions,
        watcher: &mut dyn Watcher,
        _requests: &Requests,
    ) -> Result<Launched, SweepError> {
        queue::launch(self, plan, options, watcher)
    }
}

impl Queue for Slurm {
    fn title(&self) -> &'static str {
        "Slurm"
    }

    fn keys(&self) -> &'static [JobKey] {
        keys::KEYS
    }

    fn instead_of(&self, option: &str) -> Option<&'static str> {
        match option {
            "--jobs" => Some("set slurm.workers=N and slurm.cpus_per_task=N"),
            "--devices" => Some("omit it; slurm.gres=gpu:N gives a worker N GPUs"),
            _ => None,
        }
    }

    fn script(&self, plan: &Plan, options: &LaunchOptions, workers: usize) -> String {
        script::batch_script(self, plan, options, workers, commands::requeue_status())
    }

    fn submit(&self, script: &Path) -> Result<String, SweepError> {
        commands::submit(self, script)
    }

    fn workers(&self, directory: &Path, jobs: &[String]) -> Result<Vec<QueuedWorker>, SweepError> {
        commands::workers(directory, jobs)
    }

    fn cancel(&self, jobs: &[String]) -> Result<(), SweepError> {
        commands::cancel(jobs)
    }

    fn task(&self) -> Option<Task> {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let number = |name: &str| text(name)?.parse::<usize>().ok();
        let id = text("SLURM_JOB_ID")?;
        let array = text("SLURM_ARRAY_JOB_ID").unwrap_or_else(|| id.clone());
        let count = number("SLURM_ARRAY_TASK_COUNT").and_then(NonZeroUsize::new);
        let cpus = number("SLURM_CPUS_PER_TASK").and_then(NonZeroUsize::new);
        Some(Task {
            id,
            share: Share {
                group: self.group(&array),
                index: number("SLURM_ARRAY_TASK_ID").unwrap_or(0),
                count: count.unwrap_or(NonZeroUsize::MIN),
            },
            cpus: cpus.unwrap_or(NonZeroUsize::MIN),
            node: text("SLURMD_NODENAME"),
        })
    }

    fn requeue(&self, task: &Task) -> Result<(), SweepError> {
        commands::requeue(&task.id)
    }
}
