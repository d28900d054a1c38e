//! The messages between a sweep and the process of a run, one line of JSON each.
//!
//! The sweep writes to the standard input of the process: first a [`RunRequest`], then a [`RunCommand`] after
//! each epoch if the request asks the process to wait for one, and at any time the command to write a checkpoint. When
//! the input ends, the sweep was interrupted or killed, and the process stops. The process writes [`RunMessage`]s to
//! its standard output. Its standard error goes to the log next to the run's [lock](kiln_store::FileLock).
//!
//! The messages have no version, because both sides are the same program.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use kiln_store::{EpochRow, LockToken};
use kiln_train::{MetricName, Progress};
use serde::{Deserialize, Serialize};

/// The run that a process shall train.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunRequest {
    /// The resolved experiment as TOML.
    pub(crate) config: String,
    /// The settings that `config` does not have, as overrides.
    pub(crate) unwritten: Vec<String>,
    pub(crate) id: String,
    /// The fingerprint of the data that the id is for.
    pub(crate) fingerprint: String,
    /// The directory of the named datasets.
    pub(crate) data_directory: PathBuf,
    /// The directory of all runs.
    pub(crate) runs_directory: PathBuf,
    /// Whether the process waits for a command after each epoch.
    pub(crate) awaits_commands: bool,
    /// Whether the process resumes the run from its checkpoints instead of starting from scratch.
    pub(crate) resume: bool,
    /// The largest number of threads of a training step.
    pub(crate) threads: NonZeroUsize,
    /// The sweep's lock on the run.
    pub(crate) lock: LockToken,
    /// The directory of the epochs that the run has in common with others.
    pub(crate) shared: Option<PathBuf>,
}

/// A command of the sweep to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunCommand {
    /// After an epoch: train the next one.
    Continue,
    /// After an epoch: end the run here.
    Prune,
    /// After an epoch: leave the run as it is and exit. It continues or ends later.
    Pause,
    /// At any time: write a checkpoint and continue.
    Checkpoint,
}

impl RunCommand {
    pub(crate) const fn as_json(self) -> &'static str {
        match self {
            Self::Continue => "\"continue\"",
            Self::Prune => "\"prune\"",
            Self::Pause => "\"pause\"",
            Self::Checkpoint => "\"checkpoint\"",
        }
    }
}

/// A message of a process to its sweep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunMessage {
    /// A warning for the user.
    Warning(String),
    /// A problem of the data that makes results doubtful.
    #[serde(rename = "data_warning")]
    DataWarning(String),
    /// Why the run fails. The reason is sent in a message, too, because the disk may be too full to record it.
    Failed(String),
    Step(StepReport),
    Epoch(EpochReport),
}

/// How far a run is within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The largest number of epochs.
    pub epochs: usize,
    /// Completed steps of this epoch.
    pub step: usize,
    /// Steps in one epoch.
    pub steps: usize,
}

/// The metrics of an epoch, as in the run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The largest number of epochs.
    pub epochs: usize,
    /// The metrics by the names of their columns in the history, in the order of the columns.
    pub metrics: Vec<(String, f64)>,
    /// The duration of the epoch.
    pub seconds: f64,
}

impl From<Progress<'_>> for StepReport {
    fn from(progress: Progress<'_>) -> Self {
        let Progress { epoch, epochs, step, steps, .. } = progress;
        Self { epoch, epochs, step, steps }
    }
}

impl EpochReport {
    /// The value of a metric; `None` if the history does not have it, or it is not finite.
    #[must_use]
    pub fn metric(&self, name: MetricName) -> Option<f64> {
        let name = name.to_string();
        self.metrics.iter().find(|(metric, _)| *metric == name).map(|(_, value)| *value)
    }

    pub(crate) fn new(row: &EpochRow, epochs: usize) -> Self {
        // JSON has no NaN and no infinity.
        let metrics = row.metrics.iter().filter(|(_, value)| value.is_finite());
        let metrics = metrics.map(|(name, value)| (name.to_string(), *value)).collect();
        Self { epoch: row.epoch, epochs, metrics, seconds: row.seconds }
    }
}
