//! Compares runs: one row per combination of settings, with its seeds grouped.
//!
//! [`Comparison::read`] finds run directories and reads them. The comparison is then written as a table for a terminal,
//! as CSV, Markdown, JSON, or as one HTML [`page`]. [`MEASURES`] lists what a table can show of a run. A [`Pair`]
//! compares two runs in detail.
//!
//! Combinations are ranked by validation, never by test results. With several seeds, the [`Verdict`] says whether a
//! combination's `val_accuracy` differs from the baseline's. Single runs are compared image by image on the test set,
//! because a run keeps its predictions only for the test images.
//!
//! A comparison does not keep histories, reports and predictions. Read them through [`RunSummary::directory`].
//!
//! [`charts`] draws a comparison; the crate `kiln-statistics` decides which differences are significant.

mod baseline;
mod cells;
pub mod charts;
mod column;
mod columns;
mod combination;
mod comparison;
mod csv;
mod error;
mod implied;
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
mod table;
mod terminal;
mod text_table;
mod toml_text;
mod verdict;

pub use column::{Column, ImpliedBy, SharedSetting};
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
