//! The commands of Slurm. They run where a sweep is submitted and looked at, never in a job.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use crate::error::SweepError;
use crate::launchers::queue::{Queue, QueuedWorker, is_job_id};

/// Submits a batch script and returns the id of the job.
pub(super) fn submit(queue: &dyn Queue, script: &Path) -> Result<String, SweepError> {
    let output = run(Command::new("sbatch").arg("--parsable").arg(script))?;
    if !output.status.success() {
        return Err(SweepError::refusal(queue, &message_of(&output)));
    }
    // `ID`, or `ID;CLUSTER`
    let id = text_of(&output.stdout).split(';').next().unwrap_or_default().to_owned();
    if !is_job_id(&id) {
        return Err(SweepError::launcher(
            format!("sbatch printed no job id: {}", text_of(&output.stdout)),
            None,
        ));
    }
    Ok(id)
}

/// The workers of these jobs that are in the queue.
pub(super) fn workers(jobs: &[String]) -> Result<Vec<QueuedWorker>, SweepError> {
    let format = "%F|%K|%T|%N|%r";
    let output = run(Command::new("squeue")
        .args(["--noheader", "--array", "--format", format, "--jobs"])
        .arg(jobs.join(",")))?;
    let error = message_of(&output);
    // Slurm forgets jobs a few minutes after their end.
    if !output.status.success() && !error.to_lowercase().contains("invalid job id") {
        return Err(SweepError::launcher(format!("squeue failed: {error}"), None));
    }
    Ok(text_of(&output.stdout).lines().filter_map(parse_worker).collect())
}

fn parse_worker(line: &str) -> Option<QueuedWorker> {
    let mut fields = line.split('|').map(str::trim);
    let mut next = || fields.next();
    let (job, index, state, node) = (next()?, next()?, next()?, next()?);
    let reason = next().filter(|reason| !matches!(*reason, "" | "None"));
    Some(QueuedWorker {
        job: job.to_owned(),
        index: index.parse().ok(),
        state: state.to_owned(),
        is_waiting: state == "PENDING",
        node: Some(node).filter(|node| !node.is_empty()).map(str::to_owned),
        reason: reason.map(str::to_owned),
    })
}

/// Cancels jobs.
pub(super) fn cancel(jobs: &[String]) -> Result<(), SweepError> {
    let output = run(Command::new("scancel").args(jobs))?;
    if output.status.success() {
        return Ok(());
    }
    Err(SweepError::launcher(format!("scancel failed: {}", message_of(&output)), None))
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

/// The error message of a command, on one line: the lines of `PROGRAM: error: …` without their beginning.
fn message_of(output: &Output) -> String {
    let text = text_of(&output.stderr);
    let lines = text.lines().map(|line| {
        let message = ["error: ", "fatal: "].iter().find_map(|kind| line.split_once(kind));
        message.map_or(line, |(_, message)| message).trim()
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
