//! Compares runs: one row per combination of settings, with its seeds grouped.
//!
//! [`Comparison::read`] finds run directories and reads them. The comparison is then written as a table for a terminal,
//! as CSV, Markdown, JSON, or as one HTML [`page`]. [`MEASURES`] lists what a table can show of a run. A [`Pair`]
//! compares two runs in detail.
//!
//! Combinations are ranked by validation, never by test results. With several seeds, the [`Answer`] says which
//! combinations may be the best, and the [`Standing`] of each how far it is behind. Single runs have no verdict: two seeds
//! of one setting can differ as much as two settings.
//!
//! A comparison does not keep histories, reports and predictions. Read them through [`RunSummary::directory`].
//!
//! [`charts`] draws a comparison; the crate `kiln-statistics` decides which differences are significant.

mod answer;
mod augment;
mod baseline;
mod cells;
pub mod charts;
mod column;
mod columns;
mod combination;
mod comparison;
mod csv;
mod effects;
mod effects_text;
mod error;
mod implied;
mod json;
mod judge;
mod known;
mod layers;
mod listing;
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
mod tags;
mod terminal;
mod text_table;
mod toml_text;
mod verdict;

pub use answer::{Answer, MoreSeeds, NextStep, standing_words};
pub use column::{Column, ImpliedBy, SharedSetting};
pub use combination::{Combination, RunSummary, TestSummary};
pub use comparison::{CompareOptions, Comparison, SelectedTest};
pub use csv::csv;
pub use effects::{Effect, EffectLevel, Effects, SettingInteraction};
pub use effects_text::{effects_text, interactions};
pub use error::{CompareError, Result};
pub use json::{COMPARISON_VERSION, json};
pub use kiln_statistics::Standing;
pub use kiln_store::Direction;
pub use known::{Changed, KeptComparison, KnownRun, KnownRuns, Stamp};
pub use listing::{LISTING_VERSION, ListedGroup, ListedRun, Listing};
pub use markdown::markdown;
pub use measures::{Format, MEASURES, Measure, MeasureValue, Shown, drop_order};
pub use metric::{AtEpoch, EpochValue, MetricSummary};
pub use notes::{notes, run_notes};
pub use pair::{ClassAgreement, Pair, SettingDifference};
pub use pair_text::show_pair;
pub use ranking::{DEFAULT_METRIC, Ranking};
pub use table::TableOptions;
pub use tags::tagged;
pub use terminal::terminal;
pub use verdict::{Baseline, Verdict, VerdictOutcome};
