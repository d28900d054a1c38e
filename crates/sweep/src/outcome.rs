use std::process::ExitStatus;

use kiln_store::{Claim, RunDirectory, RunRecord, Status, last_lines};

use crate::child::Process;
use crate::plan::{Member, Plan};
use crate::state::State;

/// How a run of a sweep came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete.
    Finished,
    /// It was ended after this epoch, since others were better.
    Pruned(usize),
    /// Its loss stopped being a finite number.
    Diverged(Failure),
    /// It crashed, was killed, or was refused.
    Failed(Failure),
    /// The sweep was interrupted, and the run with it.
    Interrupted,
}

/// Why a run failed or diverged.
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

/// A longer log is not read for its end.
const LONGEST_LOG: u64 = 64 << 20;

/// How much of a failed run's log is shown.
const SHOWN: usize = 8;

impl Outcome {
    /// Whether the sweep counts it as failed.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Diverged(_) | Self::Failed(_))
    }

    /// How a run came out that is done by its state on disk.
    pub(crate) fn of_done(plan: &Plan, member: &Member, state: &State) -> Self {
        match state {
            State::Pruned(epoch) => Self::Pruned(*epoch),
            State::Diverged => {
                let reason = stop_reason(plan, member);
                Self::Diverged(Failure { reason, log: Vec::new() })
            }
            _ => Self::Finished,
        }
    }

    /// A failure without a log.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(Failure { reason: reason.into(), log: Vec::new() })
    }

    /// How a run came out whose process has ended. A record that still says `running` is set right:
    /// nobody else will. `interrupted` says that the sweep told the run to stop.
    pub(crate) fn of_ended(
        plan: &Plan,
        member: &Member,
        status: ExitStatus,
        process: &Process,
        interrupted: bool,
    ) -> Self {
        let run = RunDirectory::open(plan.directory.join(&member.id)).ok();
        let claim = &process.claim;
        let record = run.as_ref().and_then(|run| run.read_record().ok());
        // An older one says how an earlier attempt ended: this one was refused before it came to write.
        let record = record.filter(|record| process.before.as_ref() != Some(record));
        let reason = match record.as_ref().map(|record| record.status) {
            Some(Status::Finished) => return Self::Finished,
            Some(Status::Diverged) => {
                let reason = stop_reason(plan, member);
                return Self::Diverged(Failure { reason, log: end_of_log(plan, member, claim) });
            }
            Some(Status::Pruned) => {
                return Self::Pruned(record.map_or(0, |record| record.epochs));
            }
            Some(Status::Interrupted) | None if interrupted => return Self::Interrupted,
            Some(Status::Failed | Status::Interrupted) => stop_reason(plan, member),
            Some(Status::Running) | None if process.failure.is_some() => {
                process.failure.clone().unwrap_or_default()
            }
            None if status.code().is_some() => refused_in_words(claim, status),
            Some(Status::Running) | None if interrupted => {
                "stopped at once, with its sweep".to_owned()
            }
            Some(Status::Running) | None => ended_in_words(status),
        };
        if let (Some(run), Some(record)) = (&run, record)
            && record.status == Status::Running
        {
            let status = if interrupted { Status::Interrupted } else { Status::Failed };
            set_right(run, record, status, &reason);
            if interrupted {
                return Self::Interrupted;
            }
        }
        Self::Failed(Failure { reason, log: end_of_log(plan, member, claim) })
    }
}

/// The last words of a run: what it said on standard error, else the end of its log.
pub(crate) fn end_of_log(plan: &Plan, member: &Member, claim: &Claim) -> Vec<String> {
    let said = claim.tail(SHOWN);
    if !said.is_empty() {
        return said;
    }
    let run = RunDirectory::open(plan.directory.join(&member.id)).ok();
    let log = run.and_then(|run| kiln_config::read_text(&run.log_path(), LONGEST_LOG).ok());
    last_lines(&log.unwrap_or_default(), SHOWN / 2).iter().map(|line| in_words(line)).collect()
}

/// A line of `log.jsonl` without its punctuation: `epoch 3 loss 0.25 …`. What is no such line stays as it is.
fn in_words(line: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let message = fields.get("message").and_then(serde_json::Value::as_str).unwrap_or_default();
    let told = |key: &str| !matches!(key, "message" | "timestamp" | "level" | "target");
    let words = fields.iter().filter(|(key, _)| told(key)).map(|(key, value)| match value {
        serde_json::Value::String(text) => format!(" {key} {text}"),
        value => format!(" {key} {value}"),
    });
    format!("{message}:{}", words.collect::<String>())
}

fn stop_reason(plan: &Plan, member: &Member) -> String {
    plan.run_record(member).and_then(|record| record.stop_reason).unwrap_or_default()
}

/// As far as that can be written: a disk that is full is told by the failure itself.
fn set_right(run: &RunDirectory, mut record: RunRecord, status: Status, reason: &str) {
    let history = run.read_history().unwrap_or_default();
    record.epochs = history.rows.len();
    record.end(status, reason);
    let _ = kiln_report::stop(run, &record, &history);
}

/// What a process that wrote no record said last.
fn refused_in_words(claim: &Claim, status: ExitStatus) -> String {
    let said = claim.tail(1).pop();
    said.map_or_else(
        || ended_in_words(status),
        |line| line.strip_prefix("error: ").unwrap_or(&line).to_owned(),
    )
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
