//! Runs side by side: one row a combination of settings, its seeds taken together.
//!
//! Run directories are found among what was given on a command line and read into a [`Comparison`], which is written as
//! a terminal's table, CSV, Markdown or JSON. Two runs in depth are a [`Pair`].
//!
//! Validation ranks and the test set only reports: a combination is chosen by its `val_accuracy`, and whether its
//! *test* accuracy differs from the baseline's is what the [`Verdict`] is about.
//!
//! Histories, reports and predictions are not kept; read them again through [`RunSummary::directory`].

mod combination;
mod pair;
mod verdict;

use std::path::PathBuf;

pub use combination::{Combination, EpochValue, RunSummary, TestSummary};
pub use pair::{ClassAgreement, Pair, SettingDifference};
pub use verdict::{Baseline, BaselineChoice, Method, Verdict, VerdictOutcome};

/// Combinations of settings, ranked, and what is known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The settings that differ between the runs, in the order of their configurations.
    pub columns: Vec<Column>,
    /// The settings that are the same in all runs, in the same order.
    pub shared: Vec<SharedSetting>,
    /// The rows. Those whose runs all finished come first, then those of which some did, then the others; each by the
    /// mean of the best `val_accuracy`, descending.
    pub combinations: Vec<Combination>,
    /// What the verdicts are against; `None` where there is nothing to be against.
    pub baseline: Option<Baseline>,
    /// Directories that could not be read, and why.
    pub left_out: Vec<LeftOut>,
    /// In words, which verdicts are missing and why.
    pub notes: Vec<String>,
}

/// A setting that differs between the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its path in `config.toml`: `model.layers.hidden.repeat`.
    pub key: String,
    /// The shortest end of the path that no other setting has: `hidden.repeat`.
    pub label: String,
}

/// A setting that all runs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSetting {
    /// Where it is and what it is called.
    pub column: Column,
    /// Its value as text, without quotes.
    pub value: String,
}

/// A directory that is not among the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}
