use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use kiln_store::quoted;
use kiln_sweep::{Activity, Submissions, read_status};

use crate::commands::sweep::DeclaredSweep;
use crate::options::GlobalOptions;
use crate::output::{count, print, status};

/// How long the command waits until the workers have given back their runs.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct CancelArguments {
    /// A sweep: its directory or its name
    #[arg(value_name = "SWEEP")]
    path: PathBuf,
}

/// Ends the workers of a sweep in the queue of a cluster. Their runs write checkpoints.
pub(crate) fn cancel_workers(
    options: &GlobalOptions,
    arguments: &CancelArguments,
) -> anyhow::Result<ExitCode> {
    let directory = DeclaredSweep::directory(options, &arguments.path)?;
    let path = quoted(&directory.display().to_string());
    let mut canceled = (0, 0);
    let mut ending = 0;
    for submissions in Submissions::read_all(&directory) {
        let workers = submissions.workers()?;
        let is_active = |job: &String| workers.iter().any(|worker| worker.job == *job);
        let active: Vec<String> = submissions.ids().into_iter().filter(is_active).collect();
        if active.is_empty() {
            continue;
        }
        submissions.queue.cancel(&active)?;
        canceled = (canceled.0 + workers.len(), canceled.1 + active.len());
        ending += wait_for_end(&submissions);
    }
    match canceled {
        (_, 0) => status("no worker of this sweep is in the queue"),
        (workers, jobs) => status(format_args!(
            "canceled {} in {}; to resume, submit the sweep again or: kiln resume {path}",
            count(workers, "worker"),
            count(jobs, "job"),
        )),
    }
    if ending > 0 {
        let workers = count(ending, "worker");
        status(format_args!("{workers} still ending; to see the end: kiln status {path}"));
    } else {
        report_owners(options, &directory)?;
    }
    print(directory.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the workers have given back their runs, but not forever. Returns how many have not ended.
fn wait_for_end(submissions: &Submissions<'_>) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        // They are canceled, even if the queue does not answer this question.
        let left = submissions.workers().map_or(0, |workers| workers.len());
        if left == 0 || Instant::now() > until {
            return left;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Names the processes that train runs. A sweep that was started by hand, on any machine, is not in the queue.
fn report_owners(options: &GlobalOptions, directory: &Path) -> anyhow::Result<()> {
    let sweeps = DeclaredSweep::all(options, directory, None)?;
    let mut owners: Vec<String> = Vec::new();
    for sweep in &sweeps {
        for run in read_status(&sweep.plan) {
            if let Activity::Running(owner) = run.activity
                && let Some(process) = owner.process
            {
                let owner = process.to_string();
                if !owners.contains(&owner) {
                    owners.push(owner);
                }
            }
        }
    }
    for owner in owners {
        status(format_args!("still training: {owner}; stop it with Ctrl-C there"));
    }
    Ok(())
}
