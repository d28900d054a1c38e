use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::metric::{Direction, MetricInfo};
use crate::position::Position;
use crate::sum::Sum;
use crate::{files, versioned};

/// The largest record that is read; one is about a kilobyte.
const MOST_BYTES: u64 = 1 << 20;

/// The version of `run.json` that this build writes, and the newest that it reads. It stands for the files beside it that
/// have none of their own, too: `config.toml`, `history.csv`, `predictions.csv` and `log.jsonl`.
pub const RECORD_VERSION: u32 = 1;

/// `run.json`: what was run, on what, and how it ended.
///
/// The file holds `format_version` and then these fields in this order; what is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The experiment's name; runs of one name lie in one directory.
    pub name: String,
    /// The run's id, the name of its directory.
    pub id: String,
    /// How it stands.
    pub status: Status,
    /// Why it ended as it did, in words: "all epochs done", "val_loss did not improve for 5 epochs".
    pub stop_reason: Option<String>,
    /// The seed that every random number of the run comes from.
    pub seed: u64,
    /// The Burn backend: "flex", "ndarray", "wgpu", "cuda".
    pub backend: String,
    /// The implementation of the training step on that backend.
    pub engine: String,
    /// Threads used for computing.
    pub threads: usize,
    /// The programs' versions.
    pub versions: Versions,
    /// The commit of the working directory that the run was started in, where there is one.
    pub git_commit: Option<String>,
    /// What it learned from.
    pub dataset: DatasetRecord,
    /// Values in all parameters of the model.
    pub parameters: u64,
    /// When it was started (RFC 3339, UTC).
    pub started: Timestamp,
    /// When it ended (RFC 3339, UTC).
    pub ended: Option<Timestamp>,
    /// Seconds spent in training and validation, without reading data and testing.
    pub training_seconds: Option<f64>,
    /// Epochs completed.
    pub epochs: usize,
    /// The metrics of the history, in the order of its columns. Empty if an earlier Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricInfo>,
    /// The times that it went on after it was interrupted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Resumption>,
    /// What the files beside this one were when the run ended, by name. The log, which still grows, is not among
    /// them; of a run that is under way there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Sum>,
}

/// A run went on where it had been interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// When (RFC 3339, UTC).
    pub at: Timestamp,
    /// From where.
    #[serde(flatten)]
    pub from: Position,
}

/// The versions of what computed a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Kiln's own.
    pub kiln: String,
    /// Burn's.
    pub burn: String,
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// The named dataset, or the name of the directory that it was read from.
    pub name: String,
    /// A digest of all that was read.
    pub fingerprint: String,
    /// Rows trained on.
    pub training_rows: usize,
    /// Rows held out to choose by.
    pub validation_rows: usize,
    /// Rows of the test set.
    pub test_rows: usize,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is training, or it was killed without a chance to say so.
    Running,
    /// It is complete: trained, tested, and everything is in its directory.
    Finished,
    /// It was stopped from outside before it was complete.
    Interrupted,
    /// An error ended it.
    Failed,
    /// Its loss stopped being a finite number.
    Diverged,
    /// Its sweep ended it early, since others were better at the same epoch.
    Pruned,
}

impl Status {
    /// The word in `run.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Finished => "finished",
            Status::Interrupted => "interrupted",
            Status::Failed => "failed",
            Status::Diverged => "diverged",
            Status::Pruned => "pruned",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl RunRecord {
    /// Reads `run.json`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &files::read(path, MOST_BYTES)?)
    }

    /// Reads the text of a `run.json`; `path` stands for it in messages.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`](crate::error::StoreError::Malformed) with the line where it is no record, or
    /// [`StoreError::NewerFormat`](crate::error::StoreError::NewerFormat).
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        versioned::parse(path, text, RECORD_VERSION)
    }

    /// The text of `run.json`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`](crate::error::StoreError::Inconsistent) where JSON cannot hold it.
    pub fn to_json(&self) -> Result<String> {
        versioned::to_json(RECORD_VERSION, self)
    }

    /// Whether lower or higher values of a metric of the history are better.
    #[must_use]
    pub fn direction(&self, metric: &str) -> Direction {
        let info = self.metrics.iter().find(|info| info.name == metric);
        info.map_or_else(|| Direction::of_name(metric), |info| info.better)
    }

    /// Notes how the run ended, and when: now.
    pub fn end(&mut self, status: Status, stop_reason: impl Into<String>) {
        self.status = status;
        self.stop_reason = Some(stop_reason.into());
        self.ended = Some(now());
    }
}

/// The time, to the millisecond: more digits would claim what no clock here knows.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
