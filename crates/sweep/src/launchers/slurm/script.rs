//! The batch script of a job.

use std::fmt::Write;
use std::path::Path;

use kiln_store::quoted;

use crate::launchers::LaunchOptions;
use crate::launchers::queue::{self, JobSettings, Queue};
use crate::launchers::slurm::keys::{KEYS, seconds};
use crate::plan::Plan;

/// Slurm signals a worker at most this many seconds before its time limit, so that it has the time for a checkpoint.
const MAX_LEAD: u64 = 120;
/// The shortest such time.
const MIN_LEAD: u64 = 10;

/// The batch script for `workers` workers. `requeue_status` is the exit status after which Slurm queues a job again, if the
/// cluster has one.
pub(super) fn batch_script(
    queue: &dyn Queue,
    plan: &Plan,
    options: &LaunchOptions,
    workers: usize,
    requeue_status: Option<u8>,
) -> String {
    let settings = &options.job;
    let directory = absolute(&plan.directory);
    // `%` begins a pattern in the name of an output file.
    let output = queue::directory(queue, Path::new(&directory));
    let output = output.display().to_string().replace('%', "%%");
    let mut script = String::from("#!/bin/bash\n");
    let mut option = |option: &str| {
        let _ = writeln!(script, "#SBATCH {option}");
    };
    option(&format!("--job-name={}", quoted(&format!("kiln-{}", plan.name))));
    option(&format!("--array=0-{}", workers.saturating_sub(1)));
    option(&format!("--output={}", quoted(&format!("{output}/%A_%a.out"))));
    option("--open-mode=append");
    option("--requeue");
    option(&format!("--signal=B:USR2@{}", lead(settings)));
    for key in KEYS {
        if let (Some(name), Some(value)) = (key.option, settings.get(key.name)) {
            option(&format!("--{name}={}", quoted(value)));
        }
    }
    for argument in settings.lines("arguments") {
        option(argument);
    }
    for line in settings.lines("setup") {
        let _ = writeln!(script, "{line}");
    }
    let mut arguments = vec![
        options.program.display().to_string(),
        "worker".to_owned(),
        directory,
        "--declaration".to_owned(),
        plan.record().file_name(),
        "--data".to_owned(),
        absolute(&plan.data_directory),
    ];
    if let Some(status) = requeue_status {
        arguments.extend(["--requeue-status".to_owned(), status.to_string()]);
    }
    if options.retry_failed {
        arguments.push("--retry-failed".to_owned());
    }
    let arguments: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    // The worker takes the place of the shell, which Slurm would signal otherwise.
    let _ = writeln!(script, "exec {}", arguments.join(" "));
    script
}

/// How many seconds before the time limit the worker gets a signal.
fn lead(settings: &JobSettings) -> u64 {
    let limit = settings.get("time").and_then(seconds);
    limit.map_or(MAX_LEAD, |limit| (limit / 10).clamp(MIN_LEAD, MAX_LEAD))
}

/// An absolute path; the path itself if the working directory was deleted.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
