//! What a sweep and the process of a run say to each other: lines of JSON.
//!
//! The sweep writes to the run's standard input: an [`Order`], then an [`Answer`] to each epoch where the
//! order asks for it, and at any time that a checkpoint is wanted. Its end tells the run that nobody waits for it any
//! more, be it that the sweep was interrupted or killed. The run writes [`Message`]s to its standard output, and what
//! it says in words to its standard error, which is the run's [`Claim`](kiln_store::Claim).

use std::path::PathBuf;

use kiln_store::{EpochRow, Held};
use kiln_train::Progress;
use serde::{Deserialize, Serialize};

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The resolved experiment as TOML.
    pub(crate) config: String,
    /// The run's id.
    pub(crate) id: String,
    /// The directory of the named datasets.
    pub(crate) data: PathBuf,
    /// The directory of all runs.
    pub(crate) runs: PathBuf,
    /// Whether to wait for an answer after each epoch.
    pub(crate) asks: bool,
    /// Whether to go on with what is there, where it was interrupted.
    pub(crate) resumes: bool,
    /// The sweep's claim on the run.
    pub(crate) held: Held,
}

/// What the sweep says to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// To an epoch: go on.
    Continue,
    /// To an epoch: end here.
    Prune,
    /// At any time: write a checkpoint and go on.
    Checkpoint,
}

impl Answer {
    /// The word as JSON.
    pub(crate) const fn as_json(self) -> &'static str {
        match self {
            Self::Continue => "\"continue\"",
            Self::Prune => "\"prune\"",
            Self::Checkpoint => "\"checkpoint\"",
        }
    }
}

/// How a run goes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Message {
    /// Something that whoever watches the sweep should know, in a sentence.
    Remark(String),
    /// Why it fails: its log may be on a disk that is full.
    Failed(String),
    Step(StepReport),
    Epoch(EpochReport),
}

/// Where a run is in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// From 1.
    pub epoch: usize,
    /// Epochs at the most.
    pub epochs: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps in an epoch.
    pub steps: usize,
}

/// What a run's epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Epochs at the most.
    pub epochs: usize,
    /// The metrics by the names of their columns of the history, in the order of the columns.
    pub metrics: Vec<(String, f64)>,
    /// How long it took.
    pub seconds: f64,
}

impl From<Progress<'_>> for StepReport {
    fn from(progress: Progress<'_>) -> Self {
        let Progress { epoch, epochs, step, steps, .. } = progress;
        Self { epoch, epochs, step, steps }
    }
}

impl EpochReport {
    /// The value of a metric by the name of its column.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(metric, _)| metric == name).map(|(_, value)| *value)
    }

    pub(crate) fn new(row: &EpochRow, epochs: usize) -> Self {
        // JSON has no NaN and no infinity.
        let metrics = row.metrics.iter().filter(|(_, value)| value.is_finite());
        let metrics = metrics.map(|(name, value)| (name.to_string(), *value)).collect();
        Self { epoch: row.epoch, epochs, metrics, seconds: row.seconds }
    }
}
