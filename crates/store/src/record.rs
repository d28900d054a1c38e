use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::error::Result;
use crate::metric::{Direction, MetricInfo};
use crate::optimism::Optimism;
use crate::position::Position;
use crate::{files, versioned};

/// The maximum size of a record; a typical one has about a kilobyte.
const MAX_BYTES: u64 = 1 << 20;

/// The version of `run.json` that this build writes, and the newest that it reads. It also covers the files in the
/// same directory that have no version of their own: `config.toml`, `history.csv`, `predictions.csv` and `log.jsonl`.
pub const RECORD_VERSION: u32 = 1;

/// `run.json`: the settings, data, versions and result of a run.
///
/// The file holds `format_version`, `checksum` and then these fields in this order; an unknown value is `null`. The
/// checksum is the SHA-256 of the file without that line. Earlier versions of Kiln did not write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The name of the experiment. Runs with the same name share a directory.
    pub name: String,
    /// The run's id, the name of its directory.
    pub id: String,
    /// The status.
    pub status: Status,
    /// The reason for the status: "all epochs done", "early stopping: val_loss did not improve for 5 epochs".
    pub stop_reason: Option<String>,
    /// The seed of every random number of the run.
    pub seed: u64,
    /// The Burn backend: "flex", "ndarray", "wgpu", "cuda".
    pub backend: String,
    /// The engine that computes the training steps: "generic" or "fused".
    pub engine: String,
    /// The layer or setting that the engine "fused" does not support, such as `layer "conv2d" (conv2d)`, if that is why
    /// the engine is "generic".
    /// `None` if the experiment asks for an engine, and if an earlier version of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported_by_fused: Option<String>,
    /// The number of computing threads. If the run was resumed, that of the last process.
    pub threads: usize,
    /// The GPUs that the run saw (`CUDA_VISIBLE_DEVICES`); `None` if it used none, or if the environment did not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_devices: Option<String>,
    /// The versions of Kiln and Burn.
    pub versions: Versions,
    /// The Git commit of the directory where the run was started, if there is one.
    pub git_commit: Option<String>,
    /// The data of the run.
    pub dataset: DatasetRecord,
    /// The SHA-256, in hexadecimal, of the dataset's fingerprint and the numbers of the validation rows in order. Runs
    /// with the same one were validated on the same images. `None` without validation rows, and if an earlier version of
    /// Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_fingerprint: Option<String>,
    /// How pixels were normalized. `None` if an earlier version of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<NormalizationRecord>,
    /// Warnings about the data, as sentences without a final full stop. Empty if nothing was found, and if an
    /// earlier version of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_warnings: Vec<String>,
    /// Other warnings, such as one about initial weights of which only some were loaded, as sentences
    /// without a final full stop. Empty if nothing was found, and if an earlier version of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The number of parameters of the model.
    pub parameters: u64,
    /// Where the weights before training come from, if a file has some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeightsRecord>,
    /// When the run was started (RFC 3339, UTC).
    pub started: Timestamp,
    /// When the run ended (RFC 3339, UTC).
    pub ended: Option<Timestamp>,
    /// Seconds spent in training and validation, without reading data and testing.
    pub training_seconds: Option<f64>,
    /// The number of completed epochs.
    pub epochs: usize,
    /// How much too high the validation accuracy of the kept epoch is. `None` unless the run is finished, keeps the best
    /// of several epochs, and chose it by a metric of the validation rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimism: Option<Optimism>,
    /// The metrics of the history, in the order of its columns. Empty if an earlier version of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricInfo>,
    /// The run whose results these are, if a sweep reused it instead of training it again. `config.toml`, `report.md` and
    /// the charts are unchanged and name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<RunName>,
    /// Epochs that other runs of the sweep have trained, because they have the same training. The bytes are those that the run
    /// would have alone, except for the seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedEpochs>,
    /// The run that this one continues with more epochs or another schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued: Option<Continuation>,
    /// When the run was evaluated on other labeled images. Numbers that were looked at often are no longer those of unseen
    /// images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<EvaluationRecord>,
    /// When and where the run was resumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Resumption>,
    /// The checksums of the other files when the run ended, by name, without the log, which still grows, and the notes;
    /// a running run has no checksums.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Checksum>,
    /// Files that `kiln clean` removed after the run had ended, by name, with the checksums that they had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, Checksum>,
}

/// The weights before training, if some of them were loaded from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialWeightsRecord {
    /// The path of the file.
    pub file: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The tensors that were loaded from it.
    pub loaded: Vec<String>,
    /// The tensors that have their own initial values, because the file has none of their name and shape.
    pub kept: Vec<String>,
    /// The tensors of the file that fit none of the model.
    pub unused: Vec<String>,
    /// The checksum of `initial.safetensors`, which has all weights before training.
    pub initial: Checksum,
}

/// Epochs that other runs have trained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedEpochs {
    /// Their number.
    pub epochs: usize,
    /// The ids of the runs that trained them.
    pub runs: Vec<String>,
}

impl SharedEpochs {
    /// Adds epochs that these runs have trained.
    pub fn add(&mut self, epochs: usize, runs: &[String]) {
        self.epochs += epochs;
        self.runs.extend(
            runs.iter().filter(|run| !self.runs.contains(run)).cloned().collect::<Vec<_>>(),
        );
    }
}

/// The name and id of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName {
    /// The name of the experiment.
    pub name: String,
    /// The id.
    pub id: String,
}

/// The start of a run that continues another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// The other run.
    #[serde(flatten)]
    pub from: RunName,
    /// How many epochs it had completed.
    pub epochs: usize,
}

/// A resumption of an interrupted run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// When (RFC 3339, UTC).
    pub at: Timestamp,
    /// The position that training continued from.
    #[serde(flatten)]
    pub from: Position,
}

/// An evaluation of a finished run on labeled images other than its test set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// When (RFC 3339, UTC).
    pub at: Timestamp,
    /// The name of the dataset.
    pub dataset: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// The number of images.
    pub images: usize,
    /// The directory of the report, in that of the run.
    pub report: String,
}

/// The versions of the programs that computed a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The version of Kiln.
    pub kiln: String,
    /// The version of Burn.
    pub burn: String,
    /// The revision of Kiln's arithmetic: two builds with the same versions and another revision compute other bytes. 0 if
    /// an earlier build of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub numerics: u32,
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// The name of the dataset, or of the directory that it was read from.
    pub name: String,
    /// A digest of the decoded data.
    pub fingerprint: String,
    /// The number of training images.
    pub training_rows: usize,
    /// The number of validation images.
    pub validation_rows: usize,
    /// The number of test images.
    pub test_rows: usize,
    /// The number of images that are not used because they could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_rows: usize,
    /// Those images; only the first ones if there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedImage>,
}

/// An image that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedImage {
    /// The file, relative to the dataset.
    pub path: String,
    /// Why it could not be read.
    pub reason: String,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// The normalization of pixels, which have the values 0 to 255.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormalizationRecord {
    /// The method: the value of `data.normalize`.
    #[serde(rename = "type")]
    pub method: String,
    /// The mean of the training images: one number, or one for each channel. Empty if the method has none, and for
    /// statistics of each pixel, which only the weights file has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// The standard deviation that belongs to each mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standard_deviation: Vec<f64>,
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Training, or its process was killed.
    Running,
    /// Complete: trained, tested, and all files written.
    Finished,
    /// Stopped by the user or the system before it was complete.
    Interrupted,
    /// Ended by an error.
    Failed,
    /// The loss was no longer a finite number.
    Diverged,
    /// Stopped early by its sweep, because other runs were better at the same epoch.
    Pruned,
}

impl Status {
    /// The value in `run.json`.
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
        Self::parse(path, &files::read(path, MAX_BYTES)?)
    }

    /// Whether the `run.json` has a checksum of itself.
    pub(crate) fn has_checksum(path: &Path) -> Result<bool> {
        Ok(versioned::has_checksum(&files::read(path, MAX_BYTES)?))
    }

    /// Reads the text of a `run.json`; `path` is used in messages.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`](crate::error::StoreError::Malformed) with the line if it is not a record,
    /// [`StoreError::NewerFormat`](crate::error::StoreError::NewerFormat), or
    /// [`StoreError::Damaged`](crate::error::StoreError::Damaged) if it was changed after it was written.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        versioned::parse_checked(path, text, RECORD_VERSION)
    }

    /// The text of `run.json`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`](crate::error::StoreError::Inconsistent) if JSON cannot represent it.
    pub fn to_json(&self) -> Result<String> {
        versioned::to_checked_json(RECORD_VERSION, self)
    }

    /// Whether lower or higher values of a metric of the history are better.
    #[must_use]
    pub fn direction(&self, metric: &str) -> Direction {
        let info = self.metrics.iter().find(|info| info.name == metric);
        info.map_or_else(|| Direction::of_name(metric), |info| info.better)
    }

    /// How the run ended, in words: `diverged: the loss became NaN …`, `interrupted in epoch 2 at step 317; …`. Without
    /// a reason, only the status.
    #[must_use]
    pub fn ending(&self) -> String {
        let status = self.status;
        match &self.stop_reason {
            None => status.to_string(),
            // Such a reason is the place where the run was stopped.
            Some(place) if place.starts_with("in epoch ") || place.starts_with("after epoch ") => {
                format!("{status} {place}")
            }
            Some(reason) => format!("{status}: {reason}"),
        }
    }

    /// Sets the status and its reason, and the current time as the end.
    pub fn end(&mut self, status: Status, stop_reason: impl Into<String>) {
        self.status = status;
        self.stop_reason = Some(stop_reason.into());
        self.ended = Some(now());
    }
}

/// The current time, rounded to milliseconds.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
