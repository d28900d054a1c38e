use std::process::ExitStatus;

use kiln_store::{FileLock, RunDirectory, RunRecord, Status};

use crate::plan::{Plan, PlannedRun, RunState};
use crate::worker::log_tail::log_tail;
use crate::worker::run_process::RunProcess;

/// How a run of a sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// The run is complete.
    Finished,
    /// The run was pruned after this epoch.
    Pruned(usize),
    /// The loss stopped being a finite number, as this reason says.
    Diverged(String),
    /// The process crashed, was killed or reported an error.
    Failed(Failure),
    /// The sweep was interrupted and stopped the run.
    Interrupted,
    /// Whether the run continues depends on a run that failed.
    Waiting,
    /// The time of the sweep was over before the run was complete, and nothing of it is kept.
    OutOfTime,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason, on one line.
    pub reason: String,
    /// The last lines of the run's log.
    pub log: Vec<String>,
}

/// Which sweep completed a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletedBy {
    /// This sweep.
    ThisSweep,
    /// A sweep that ran at the same time as this one.
    AnotherSweep,
    /// A sweep that ran before this one.
    EarlierSweep,
    /// A run elsewhere with the same identity, whose results were reused.
    OtherRun,
}

impl RunOutcome {
    /// Whether the run failed. A diverged run did not: that its settings diverge is its result.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether the run diverged.
    #[must_use]
    pub fn is_diverged(&self) -> bool {
        matches!(self, Self::Diverged(_))
    }

    /// The outcome of a run that was already done when this sweep reached it.
    pub(crate) fn of_done(plan: &Plan, run: &PlannedRun, state: &RunState) -> Self {
        match state {
            RunState::Pruned(epoch) => Self::Pruned(*epoch),
            RunState::Diverged => Self::Diverged(stop_reason(plan, run)),
            RunState::Finished => Self::Finished,
            // These are not done; see [`RunState::is_done`]. They are listed so that a new state must be decided on here.
            RunState::Missing
            | RunState::Unfinished
            | RunState::Running
            | RunState::Unreadable(_) => Self::failed(format!("unexpected state: {state}")),
        }
    }

    /// A failure without a log.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(Failure { reason: reason.into(), log: Vec::new() })
    }

    /// Determines the outcome of a run whose process has exited with `status`. `interrupted` is whether the sweep had
    /// stopped the run. A record whose status is still `running` is corrected, because the process could not do it.
    pub(crate) fn settle_exited(
        plan: &Plan,
        run: &PlannedRun,
        status: ExitStatus,
        process: &RunProcess,
        interrupted: bool,
    ) -> Self {
        let directory = RunDirectory::open(plan.path_of(run)).ok();
        let lock = &process.lock;
        let record = directory.as_ref().and_then(|directory| directory.read_record().ok());
        // An unchanged record describes an earlier attempt: the process ended before it wrote one.
        let record = record.filter(|record| process.record_before.as_ref() != Some(record));
        let reason = match record.as_ref().map(|record| record.status) {
            Some(Status::Finished) => return Self::Finished,
            Some(Status::Diverged) => return Self::Diverged(stop_reason(plan, run)),
            Some(Status::Pruned) => {
                return Self::Pruned(record.map_or(0, |record| record.epochs));
            }
            // Without a record, the process was stopped before it created the run.
            Some(Status::Interrupted) | None if interrupted => return Self::Interrupted,
            // The sweep did not stop the run, so a signal to its process did: the run has not done its work.
            Some(Status::Failed | Status::Interrupted) => stop_reason(plan, run),
            // The process knew the reason but could not record it, for example on a full disk.
            Some(Status::Running) | None if process.failure.is_some() => {
                process.failure.clone().unwrap_or_default()
            }
            // It exited by itself without a message to the sweep, so the only trace is its standard error.
            None if status.code().is_some() => last_error(lock, status),
            // The first request to stop lets a run record its end; only the second one kills it.
            Some(Status::Running) | None if interrupted => {
                "killed because its sweep was interrupted twice".to_owned()
            }
            Some(Status::Running) | None => describe_exit(status),
        };
        if let (Some(directory), Some(record)) = (&directory, record)
            && record.status == Status::Running
        {
            let status = if interrupted { Status::Interrupted } else { Status::Failed };
            correct_record(directory, record, status, &reason);
            if interrupted {
                return Self::Interrupted;
            }
        }
        Self::Failed(Failure { reason, log: log_tail(plan, run, lock) })
    }
}

fn stop_reason(plan: &Plan, run: &PlannedRun) -> String {
    plan.run_record(run).and_then(|record| record.stop_reason).unwrap_or_default()
}

/// Writes how a run ended into its record.
fn correct_record(run: &RunDirectory, mut record: RunRecord, status: Status, reason: &str) {
    let history = run.read_history().unwrap_or_default();
    record.epochs = history.rows.len();
    record.end(status, reason);
    // Writing may fail, for example on a full disk. The sweep reports the reason anyway.
    let _ = kiln_report::stop(run, &record, &history);
}

/// Marks a paused run as pruned, if it was paused properly and has at least `min_epochs`. Returns the number of its epochs.
pub(crate) fn prune_paused(
    run: &RunDirectory,
    min_epochs: usize,
) -> kiln_report::Result<Option<usize>> {
    let mut record = run.read_record()?;
    let history = run.read_history()?;
    // A run whose process was killed has a record that says less than its files. It has to be resumed.
    if record.status != Status::Interrupted || record.epochs != history.rows.len() {
        return Ok(None);
    }
    // An earlier attempt may have been killed after an epoch that the present one has not reached.
    if record.epochs < min_epochs {
        return Ok(None);
    }
    // The old checksums would not fit the new files if this were interrupted.
    record.files.clear();
    run.write_record(&record)?;
    record.status = Status::Pruned;
    kiln_report::stop(run, &record, &history)?;
    Ok(Some(record.epochs))
}

/// The error that a process printed before it exited, without having written a record.
fn last_error(lock: &FileLock, status: ExitStatus) -> String {
    lock.tail(1).pop().map_or_else(
        || describe_exit(status),
        |line| line.strip_prefix("error: ").unwrap_or(&line).to_owned(),
    )
}

/// Whether a process was killed by SIGKILL.
pub(super) fn is_killed(status: &ExitStatus) -> bool {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(status) == Some(9);
    #[cfg(not(unix))]
    false
}

fn describe_exit(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return match signal {
            9 => "the process was killed (signal 9), possibly out of memory".to_owned(),
            6 => "the process aborted (signal 6)".to_owned(),
            signal => format!("the process was ended by signal {signal}"),
        };
    }
    match status.code() {
        Some(code) => format!("the process exited with status {code}"),
        None => "the process ended without an exit status".to_owned(),
    }
}
