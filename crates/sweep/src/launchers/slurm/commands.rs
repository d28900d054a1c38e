//! The commands of Slurm. They run where a sweep is submitted and looked at, never in a job.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use crate::error::SweepError;
use crate::launchers::queue::{Queue, QueuedWorker, is_job_id};

/// Submits a batch script and returns the id of the job.
pub(super) fn submit(queue: &dyn Queue, script: &Path) -> Result<String, SweepError> {
    check_path(script)?;
    let mut command = Command::new("sbatch");
    command.arg("--parsable").arg(script);
    let text = fs::read_to_string(script);
    let text = text.map_err(|cause| SweepError::io("read", script, cause))?;
    for variable in overruling_variables(&text) {
        command.env_remove(variable);
    }
    // Of the job that this process is in, if it is in one. Slurm sets it only for jobs that ask for processors.
    command.env_remove("SLURM_CPUS_PER_TASK");
    // Ctrl-C must not end the command between the submission and its answer.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let output = run(&mut command)?;
    if !output.status.success() {
        let message = message_of(&output);
        return Err(no_answer(&message).unwrap_or_else(|| SweepError::refusal(queue, &message)));
    }
    let text = text_of(&output.stdout);
    // `ID`, or `ID;CLUSTER`. On some clusters, a wrapper or a plugin prints other lines as well.
    let ids = text.lines().filter_map(|line| line.trim().split(';').next());
    let id = ids.rev().find(|id| is_job_id(id) && id.starts_with(|c: char| c.is_ascii_digit()));
    id.map(str::to_owned).ok_or_else(|| {
        SweepError::launcher(
            format!("sbatch printed no job id: {}", text.replace('\n', "; ")),
            Some("if the job is in the queue (squeue --me), end it with scancel".to_owned()),
        )
    })
}

/// The error if a message of `sbatch` is not about the job but about the way to the cluster.
fn no_answer(message: &str) -> Option<SweepError> {
    let lower = message.to_lowercase();
    if lower.contains("timed out") {
        return Some(SweepError::launcher(
            format!("Slurm did not answer in time: {message}"),
            Some(
                "before repeating the command, see whether the job is in the queue: squeue --me"
                    .to_owned(),
            ),
        ));
    }
    let unreachable = ["unable to contact", "configuration source", "connection refused"];
    unreachable.iter().any(|part| lower.contains(part)).then(|| {
        SweepError::launcher(
            format!("Slurm cannot be reached: {message}"),
            Some(
                "run this where Slurm is set up, such as on the login node of the cluster"
                    .to_owned(),
            ),
        )
    })
}

/// Returns an error for paths that `sbatch` changes in the lines with its options.
fn check_path(script: &Path) -> Result<(), SweepError> {
    let is_wrong = |c: char| c == '\\' || c.is_control();
    let script = std::path::absolute(script).unwrap_or_else(|_| script.to_owned());
    if script.to_str().is_some_and(|path| !path.contains(is_wrong)) {
        return Ok(());
    }
    let directory = script.parent().unwrap_or(&script).display();
    Err(SweepError::launcher(
        format!("sbatch cannot write to {directory}"),
        Some("set --runs to a directory without backslashes and control characters".to_owned()),
    ))
}

/// The environment variables by which `sbatch` would overrule the options of a script.
fn overruling_variables(script: &str) -> Vec<String> {
    let options = script.lines().filter_map(|line| line.strip_prefix("#SBATCH --"));
    let names = options.filter_map(|option| option.split(['=', ' ']).next());
    let variables = names.flat_map(|name| match name {
        "array" => vec!["ARRAY_INX".to_owned()],
        "mem" => vec!["MEM_PER_NODE".to_owned()],
        "requeue" => vec!["REQUEUE".to_owned(), "NO_REQUEUE".to_owned()],
        "time" => vec!["TIMELIMIT".to_owned()],
        name => vec![name.to_uppercase().replace('-', "_")],
    });
    variables.map(|variable| format!("SBATCH_{variable}")).collect()
}

/// The workers of these jobs that are in the queue. `directory` has their scripts.
pub(super) fn workers(directory: &Path, jobs: &[String]) -> Result<Vec<QueuedWorker>, SweepError> {
    let format = "%F|%K|%T|%N|%r|%o";
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--format", format, "--jobs"]).arg(jobs.join(","));
    // The user's own defaults, such as the states to list.
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("SQUEUE_") {
            command.env_remove(variable);
        }
    }
    let output = run(&mut command)?;
    let error = message_of(&output);
    // Slurm forgets jobs a few minutes after their end.
    if !output.status.success() && !error.to_lowercase().contains("invalid job id") {
        return Err(SweepError::launcher(format!("squeue failed: {error}"), None));
    }
    Ok(text_of(&output.stdout).lines().filter_map(|line| parse_worker(line, directory)).collect())
}

fn parse_worker(line: &str, directory: &Path) -> Option<QueuedWorker> {
    let mut fields = line.splitn(6, '|').map(str::trim);
    let mut next = || fields.next();
    let (job, index, state, node) = (next()?, next()?, next()?, next()?);
    let reason = next().filter(|reason| !matches!(*reason, "" | "None"));
    if next().is_some_and(|script| is_elsewhere(Path::new(script), directory)) {
        return None;
    }
    Some(QueuedWorker {
        job: job.to_owned(),
        index: index.parse().ok(),
        state: state.to_owned(),
        is_waiting: state == "PENDING",
        is_ending: state == "COMPLETING",
        node: Some(node).filter(|node| !node.is_empty()).map(str::to_owned),
        reason: reason.map(str::to_owned),
    })
}

/// Whether the script of a job is in another directory. A cluster that was set up again, or that has counted to its last
/// number, gives the ids of old jobs to new ones.
fn is_elsewhere(script: &Path, directory: &Path) -> bool {
    let of_script = script.parent().map(fs::canonicalize);
    match (of_script, fs::canonicalize(directory)) {
        (Some(Ok(of_script)), Ok(directory)) => script.is_absolute() && of_script != directory,
        // The machine of the submission may know the directory by another path.
        _ => false,
    }
}

/// Cancels jobs.
pub(super) fn cancel(jobs: &[String]) -> Result<(), SweepError> {
    let output = run(Command::new("scancel").args(jobs))?;
    let error = message_of(&output);
    // A job may end by itself at the same time.
    let has_ended = ["invalid job id", "already completing", "already finished"];
    let lower = error.to_lowercase();
    if output.status.success() || has_ended.iter().any(|part| lower.contains(part)) {
        return Ok(());
    }
    Err(SweepError::launcher(format!("scancel failed: {error}"), None))
}

/// The exit status after which the cluster queues a job again (`RequeueExit` of slurm.conf), if it has one.
pub(super) fn requeue_status() -> Option<u8> {
    let output = run(Command::new("scontrol").args(["show", "config"])).ok()?;
    let text = text_of(&output.stdout);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("RequeueExit "))?;
    let value = line.split_once('=')?.1;
    let first = value.split([',', '-']).next()?.trim();
    first.parse().ok().filter(|status| *status != 0)
}

/// Lets Slurm queue the job of this worker again.
pub(super) fn requeue(job: &str) -> Result<(), SweepError> {
    let output = run(Command::new("scontrol").args(["requeue", job]))?;
    let error = message_of(&output);
    // Slurm ends all processes of the job, `scontrol` among them, which may have asked a second time before.
    let is_ended = output.status.code().is_none() || error.contains("pending");
    if output.status.success() || is_ended {
        return Ok(());
    }
    Err(SweepError::launcher(format!("scontrol failed: {error}"), None))
}

fn run(command: &mut Command) -> Result<Output, SweepError> {
    command.output().map_err(|cause| {
        let program = command.get_program().to_string_lossy().into_owned();
        let help = (cause.kind() == ErrorKind::NotFound).then(|| {
            "run this where Slurm's commands are, such as on the login node of the cluster"
                .to_owned()
        });
        SweepError::launcher(format!("cannot start {program}: {cause}"), help)
    })
}

/// The error message of a command, on one line: the lines of `PROGRAM: error: …` without their beginning. Without a message, the
/// exit status.
fn message_of(output: &Output) -> String {
    let text = text_of(&output.stderr);
    let lines = text.lines().map(|line| {
        let message = ["error: ", "fatal: "].iter().find_map(|kind| line.split_once(kind));
        message.map_or(line, |(_, message)| message).trim()
    });
    let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    if message.is_empty() { output.status.to_string() } else { message }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
