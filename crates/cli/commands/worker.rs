use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use kiln_store::quoted;
use kiln_sweep::{LaunchOptions, Requests, RunOutcome, Task, train_runs};

use crate::commands::sweep::{self, DeclaredSweep, SweepProgress};
use crate::failure::Advised;
use crate::options::GlobalOptions;
use crate::output::{error, status};
use crate::signals::{self, SignalRequest};

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    /// The directory of the sweep
    directory: PathBuf,
    /// The file of the declaration in the directory .kiln
    #[arg(long)]
    declaration: String,
    /// The exit status after which the queue starts the job again
    #[arg(long)]
    requeue_status: Option<u8>,
    /// Also retrain runs that diverged before
    #[arg(long)]
    retry_failed: bool,
}

/// Trains free runs of a sweep in a task of a job, until none is left or the cluster stops the task.
pub(crate) fn worker(
    options: &GlobalOptions,
    arguments: &WorkerArguments,
) -> anyhow::Result<ExitCode> {
    let Some((queue, task)) = Task::of_this_process() else {
        let message = "`kiln worker` is only for the jobs that `kiln sweep --launcher` submits";
        return Err(Advised::new(message, "to train here: kiln sweep FILE").into());
    };
    if let Some(node) = &task.node {
        kiln_store::name_this_machine(node);
    }
    let requests = Arc::new(Requests::default());
    let reached_limit = Arc::new(AtomicBool::new(false));
    let (on_signal, on_limit) = (Arc::clone(&requests), Arc::clone(&requests));
    let at_limit = Arc::clone(&reached_limit);
    let stop_signal = signals::listen_in_job(
        move |request| match request {
            SignalRequest::Checkpoint => on_signal.checkpoint.store(true, Ordering::Relaxed),
            // The cluster repeats its signal, and ends what does not stop in time by itself.
            SignalRequest::Stop { .. } => on_signal.stops.store(1, Ordering::Relaxed),
        },
        move || {
            at_limit.store(true, Ordering::Relaxed);
            on_limit.stops.store(1, Ordering::Relaxed);
        },
    )?;
    let DeclaredSweep { plan, .. } =
        DeclaredSweep::open(options, &arguments.directory, &arguments.declaration)?;
    let launch_options = LaunchOptions {
        retry_failed: arguments.retry_failed,
        // The submission has reused what there was.
        reuse: false,
        ..sweep::launch_options(None)?
    };
    let launch_options = task.options(&plan, launch_options);
    status(format_args!("{}: worker of {}, {}", kiln_store::now(), plan.name, task_name(&task)));
    let mut plan = plan;
    let result = loop {
        let mut progress = SweepProgress::of_worker(options.quiet, &plan);
        let result = train_runs(&plan, &launch_options, &mut progress, &requests);
        progress.close();
        if let Some(error) = result.too_short.and_then(|seconds| plan.budget_error(seconds)) {
            return Err(error.into());
        }
        if !result.stage_is_over || result.interrupted {
            break result;
        }
        let workers = launch_options.share.as_ref().map_or(NonZeroUsize::MIN, |share| share.count);
        let jobs = launch_options.jobs.saturating_mul(workers);
        match plan.next_stage(jobs, result.overhead)? {
            Some(race) => plan = race,
            None => break result,
        }
    };
    let outcomes = result.outcomes.iter().flatten();
    let has_failed = outcomes.into_iter().any(|(outcome, by)| {
        matches!(by, kiln_sweep::CompletedBy::ThisSweep) && outcome.is_failure()
    });
    let path = quoted(&plan.directory.display().to_string());
    if !result.interrupted {
        status(format_args!("{}: no free run is left", kiln_store::now()));
        return Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let stopped = result.outcomes.iter().flatten();
    let stopped = stopped.filter(|(outcome, _)| *outcome == RunOutcome::Interrupted).count();
    status(format_args!(
        "{}: gave back {}",
        kiln_store::now(),
        crate::output::count(stopped, "run")
    ));
    if !reached_limit.load(Ordering::Relaxed) {
        return Ok(stop_signal.exit_code());
    }
    if let Some(status) = arguments.requeue_status {
        return Ok(ExitCode::from(status));
    }
    match queue.requeue(&task) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problem) => {
            error(problem);
            status(format_args!(
                "to add workers, submit the sweep again; its state: kiln status {path}"
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `worker 3 of 10 on n2`
fn task_name(task: &Task) -> String {
    let on = task.node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
    format!("worker {} of {}{on}", task.share.index + 1, task.share.count)
}
