//! What is on disk: run directories and every file in them that Kiln reads back.
//!
//! A run's directory is `<runs>/<name>/<id>/`. It is claimed by creating it and never overwritten. In it lie
//!
//! | file | holds | written |
//! |---|---|---|
//! | `config.toml` | the resolved experiment, every value explicit | first |
//! | `run.json` | the [`RunRecord`] | as `running` at the start, again at the end |
//! | `log.jsonl` | the run's log | as it goes |
//! | `initial.safetensors` | the weights before training, where asked for | before the first epoch |
//! | `history.csv` | the [`History`], a row an epoch | after each epoch |
//! | `checkpoints/` | the [`Checkpoints`]: the last two and the best | after each epoch, and within long ones |
//! | `model.safetensors` | the kept weights | after training |
//! | `predictions.csv` | the [`Predictions`] for every test image | by the end of a run, after the test |
//! | `history.svg` | loss and accuracy over the epochs | then |
//! | `confusion.svg` | the confusion matrix | then |
//! | `mistakes.png` | the most confident mistakes | then |
//! | `report.md` | all this for a person | then |
//! | `run.json` | as `finished` | then |
//! | `report.json` | the [`TestReport`] | last |
//!
//! A run is finished if and only if `report.json` is there. A `run.json` that says `finished` without it was cut off
//! between the two files; [`RunDirectory::read_record`] gives it as `interrupted`.
//!
//! Files appear whole: what this crate writes goes through [`files`]. `history.csv` and `log.jsonl` grow line by line,
//! and the reader of a history copes with a last line that was cut. The JSON files carry a `format_version`: readers refuse a
//! later one and pass over fields that they do not know, so a field is added without a new version. The reader of each
//! file lives beside its writer.
//!
//! The record of a run that ended holds the size and the SHA-256 of every other file but the log, so that [`doctor`]
//! finds a byte that changed later.
//!
//! Other crates build on this one: `kiln-report` writes what one run shows, `kiln-compare` compares many runs.

mod checkpoint;
mod claim;
mod class_counts;
pub mod doctor;
mod error;
pub mod escape;
pub mod files;
mod find;
mod hidden;
pub mod history;
mod metric;
mod name;
pub mod number;
mod outcomes;
mod parallel;
mod position;
pub mod predictions;
mod record;
mod run;
mod shell;
mod sum;
mod test_report;
pub mod versioned;

pub use checkpoint::{CheckpointFiles, Checkpoints, MANIFEST_VERSION};
pub use claim::{Claim, Held, Holder, last_lines};
pub use class_counts::{ClassCounts, mean_over_classes};
pub use error::{Result, StoreError};
pub use find::{Found, LeftOut, find};
pub use hidden::{create_hidden, hidden};
pub use history::{EpochRow, History, HistoryWriter};
pub use kiln_config::{is_unprintable, printable};
pub use metric::{Direction, MetricInfo};
pub use name::{NameError, check_name};
pub use number::{duration, grouped};
pub use outcomes::Outcomes;
pub use parallel::in_parallel;
pub use position::Position;
pub use predictions::Predictions;
pub use record::{DatasetRecord, RECORD_VERSION, Resumption, RunRecord, Status, Versions, now};
pub use run::{RunDirectory, RunFile};
pub use shell::quoted;
pub use sum::Sum;
pub use test_report::{
    Average, ClassReport, ConfusedPair, Prediction, REPORT_VERSION, TestReport, Tested, TopK,
    Weights,
};
// Times in records are of this type.
pub use jiff::Timestamp;
