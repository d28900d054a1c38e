//! Runs side by side: one row a combination of settings, its seeds taken together.
//!
//! Run directories are found among what was given on a command line and read into a [`Comparison`], which is written as
//! a terminal's table, CSV, Markdown or JSON. Two runs in depth are a [`Pair`].
//!
//! Validation ranks and the test set only reports: a combination is chosen by its `val_accuracy`, and over several seeds
//! the [`Verdict`] says whether that differs from the baseline's. Single runs are compared image by image, and the
//! images whose predictions a run keeps are the test set's.
//!
//! Histories, reports and predictions are not kept; read them again through [`RunSummary::directory`].
//!
//! [`charts`] draws a comparison, [`page`] puts it on one HTML page, and [`statistics`] decides which differences are
//! significant.

mod baseline;
mod cells;
pub mod charts;
mod column;
mod columns;
mod combination;
mod comparison;
mod csv;
mod error;
mod grid;
mod json;
mod judge;
mod layers;
mod markdown;
mod measures;
mod metric;
mod notes;
pub mod page;
mod pair;
mod pair_text;
mod ranking;
mod read;
mod settings;
pub mod statistics;
mod table;
mod terminal;
mod toml_text;
mod verdict;

pub use column::{Column, SharedSetting};
pub use combination::{Combination, RunSummary, TestSummary};
pub use comparison::Comparison;
pub use csv::csv;
pub use error::{CompareError, Result};
pub use json::{COMPARISON_VERSION, json};
pub use kiln_store::Direction;
pub use markdown::markdown;
pub use measures::{Format, MEASURES, Measure, Shown, drop_order};
pub use metric::{AtEpoch, EpochValue, MetricSummary};
pub use notes::notes;
pub use pair::{ClassAgreement, Pair, SettingDifference};
pub use pair_text::show_pair;
pub use ranking::{DEFAULT_METRIC, Ranking};
pub use table::TableOptions;
pub use terminal::terminal;
pub use verdict::{Accuracy, Baseline, BaselineChoice, Method, Verdict, VerdictOutcome};
