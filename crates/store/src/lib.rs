//! The files on disk: run directories and every file in them that Kiln reads back.
//!
//! A run's directory is `<runs>/<name>/<id>/`. It is created for the run and never overwritten. Its files:
//!
//! | file | holds | written |
//! |---|---|---|
//! | `config.toml` | the resolved experiment, every value explicit | first |
//! | `run.json` | the [`RunRecord`] | as `running` at the start, again at the end |
//! | `splits.csv` | the rows for training, validation and testing ([`splits`]) | before the first epoch |
//! | `log.jsonl` | the run's log | continuously |
//! | `initial.safetensors` | the weights before training, if requested | before the first epoch |
//! | `history.csv` | the [`History`], one row per epoch | after each epoch |
//! | `checkpoints/` | the [`Checkpoints`]: the last two and the best | after each epoch, and within long ones |
//! | `model.safetensors` | the saved weights | after training |
//! | `predictions.csv` | the [`Predictions`] for every test image | after the test |
//! | `history.svg` | loss and accuracy over the epochs | after the test |
//! | `confusion.svg` | the confusion matrix | after the test |
//! | `mistakes.png` | the most confident mistakes | after the test |
//! | `filters.png` | the filters of the first convolution, if the images go into one | after the test |
//! | `report.md` | a human-readable report | after the test |
//! | `run.json` | as `finished` | after the test |
//! | `report.json` | the [`TestReport`] | last |
//! | `tensorboard/` | event files for TensorBoard, if requested | after each epoch |
//! | `notes.json` | the [`Annotations`], if there are any | by the user, at any time |
//!
//! `report.json` exists if and only if the run is finished. If `run.json` has the status `finished` but `report.json` is
//! missing, the process was killed in between; [`RunDirectory::read_record`] returns the status `interrupted`.
//!
//! Files appear complete, because this crate writes them through [`files`]. `history.csv` and `log.jsonl` grow by
//! lines, and the reader of a history ignores an incomplete last line. The JSON files have a `format_version`.
//! Readers refuse a later version and ignore unknown fields, so a field can be added without a new version. The
//! reader and the writer of each file are in the same module.
//!
//! The record of a run that ended holds the size and the SHA-256 of every other file except the log and the notes, so
//! [`doctor`] finds every later change.
//!
//! Other crates build on this one: `kiln-report` writes what one run shows, `kiln-compare` compares many runs.

mod annotations;
mod checkpoint;
mod checksum;
mod class_counts;
mod copy;
pub mod doctor;
mod error;
pub mod escape;
pub mod files;
mod find;
mod hidden;
pub mod history;
mod lock;
mod metric;
mod name;
pub mod number;
mod optimism;
mod outcomes;
mod parallel;
mod position;
pub mod predictions;
mod record;
mod run;
mod shell;
pub mod space;
pub mod splits;
mod test_report;
mod tested;
pub mod versioned;

pub use annotations::{Annotations, MAX_NOTE_BYTES, MAX_TAGS};
pub use checkpoint::{CheckpointFiles, Checkpoints, MANIFEST_VERSION};
pub use checksum::Checksum;
pub use class_counts::{ClassCounts, mean_over_classes};
pub use error::{Result, StoreError};
pub use find::{Found, Skipped, find};
pub use hidden::{create_hidden, hidden};
pub use history::{EpochRow, History, HistoryWriter};
pub use kiln_config::{is_unprintable, printable};
pub use lock::{
    FileLock, Heartbeat, LiveOwner, LockOwner, LockState, LockToken, file_system, last_lines,
    lock_limitation, name_this_machine,
};
pub use metric::{Direction, MetricInfo};
pub use name::{NameError, check_name};
pub use number::{duration, grouped};
pub use optimism::Optimism;
pub use outcomes::Outcomes;
pub use parallel::in_parallel;
pub use position::Position;
pub use predictions::{Predictions, TopClasses};
pub use record::{
    Continuation, DatasetRecord, EvaluationRecord, InitialWeightsRecord, NormalizationRecord,
    RECORD_VERSION, Resumption, RunName, RunRecord, SkippedImage, Status, Versions, now,
};
pub use run::{RunDirectory, RunFile};
pub use shell::quoted;
pub use test_report::{
    Average, ClassReport, ConfusedPair, MAX_MATRIX_CLASSES, MostFrequentClass, REPORT_VERSION,
    TestReport, TopK,
};
pub use tested::{Prediction, Tested, TestedWeights};
// Records use this type for times.
pub use jiff::Timestamp;
