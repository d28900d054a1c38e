use std::process::ExitStatus;

use kiln_report::{RunDirectory, RunRecord, Status};

use crate::claim::{Claim, last_lines};
use crate::plan::{Member, Plan};
use crate::state::State;

/// How a run of a sweep came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete.
    Finished,
    /// It was ended after this epoch, since others were better.
    Pruned(usize),
    /// Its loss stopped being a finite number; why, in words.
    Diverged(String),
    /// It crashed, was killed, or was refused.
    Failed(Failure),
    /// The sweep was interrupted, and the run with it.
    Interrupted,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a sentence.
    pub reason: String,
    /// The last lines that the run said.
    pub log: Vec<String>,
}

/// Who brought a run to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This sweep.
    Here,
    /// Another at the same time.
    Elsewhere,
    /// It was done before.
    Earlier,
}

/// How much of a failed run's log is shown.
const SHOWN: usize = 8;

impl Outcome {
    /// Whether the sweep counts it as failed.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Diverged(_) | Self::Failed(_))
    }

    /// How a run came out that is done by its state on disk.
    pub(crate) fn of_done(plan: &Plan, member: &Member, state: State) -> Self {
        match state {
            State::Pruned(epoch) => Self::Pruned(epoch),
            State::Diverged => Self::Diverged(stop_reason(plan, member)),
            State::Finished | State::Missing | State::Unfinished | State::Running => Self::Finished,
        }
    }

    /// How a run came out whose process has ended. A record that still says `running` is set right:
    /// nobody else will.
    pub(crate) fn of_ended(
        plan: &Plan,
        member: &Member,
        status: ExitStatus,
        claim: &Claim,
        interrupted: bool,
    ) -> Self {
        let run = RunDirectory::open(plan.directory.join(&member.id)).ok();
        let record = run.as_ref().and_then(|run| run.read_record().ok());
        let reason = match record.as_ref().map(|record| record.status) {
            Some(Status::Finished) => return Self::Finished,
            Some(Status::Diverged) => return Self::Diverged(stop_reason(plan, member)),
            Some(Status::Pruned) => {
                return Self::Pruned(record.map_or(0, |record| record.epochs));
            }
            _ if interrupted => return Self::Interrupted,
            Some(Status::Failed | Status::Interrupted) => stop_reason(plan, member),
            Some(Status::Running) | None => ended_in_words(status),
        };
        if let (Some(run), Some(record)) = (&run, record)
            && record.status == Status::Running
        {
            mark_failed(run, record, &reason);
        }
        let mut log = claim.tail(SHOWN);
        if let (true, Some(run)) = (log.is_empty(), &run) {
            let text = std::fs::read_to_string(run.log_path()).unwrap_or_default();
            log = last_lines(&text, SHOWN / 2);
        }
        Self::Failed(Failure { reason, log })
    }
}

fn stop_reason(plan: &Plan, member: &Member) -> String {
    let record =
        RunDirectory::open(plan.directory.join(&member.id)).and_then(|run| run.read_record());
    record.ok().and_then(|record| record.stop_reason).unwrap_or_default()
}

/// As far as that can be written: a disk that is full is told by the failure itself.
fn mark_failed(run: &RunDirectory, mut record: RunRecord, reason: &str) {
    let history = run.read_history().unwrap_or_default();
    record.epochs = history.rows.len();
    record.end(Status::Failed, reason);
    let _ = kiln_report::stop(run, &record, &history);
}

fn ended_in_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return match signal {
            9 => "it was killed (signal 9), by somebody or for want of memory".to_owned(),
            6 => "it aborted (signal 6)".to_owned(),
            signal => format!("it was ended by signal {signal}"),
        };
    }
    match status.code() {
        Some(code) => format!("it ended with status {code}"),
        None => "it ended without a status".to_owned(),
    }
}
