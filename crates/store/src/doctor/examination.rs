use std::path::PathBuf;

use super::finding::{Finding, Severity};
use crate::record::Status;

/// How a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Something is damaged.
    Damaged,
    /// Something could not be judged.
    Unchecked,
    /// It was interrupted, killed, or failed.
    Unfinished,
    /// Somebody works on it at this moment.
    AtWork,
    /// It came to its end, and everything is as it was written.
    Whole,
}

impl Health {
    /// All of them, the best first.
    pub const ALL: [Self; 5] =
        [Self::Whole, Self::AtWork, Self::Unfinished, Self::Unchecked, Self::Damaged];

    /// In a word or two.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Damaged => "damaged",
            Health::Unchecked => "not checked",
            Health::Unfinished => "unfinished",
            Health::AtWork => "at work",
            Health::Whole => "whole",
        }
    }

    pub(super) fn of(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.severity).min() {
            Some(Severity::Damaged) => Self::Damaged,
            Some(Severity::Unchecked) => Self::Unchecked,
            Some(Severity::Unfinished) => Self::Unfinished,
            Some(Severity::Stale | Severity::Note) | None => Self::Whole,
        }
    }
}

/// A run, or a directory of runs, and what was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its directory.
    pub path: PathBuf,
    /// What its record says; `None` for a directory of runs, and where there is no record.
    pub status: Option<Status>,
    /// How it is.
    pub health: Health,
    /// Whether it has come to its end and there are no sums to hold its files to: an earlier Kiln wrote it.
    pub without_sums: bool,
    /// The most serious first.
    pub findings: Vec<Finding>,
}

/// What an examination came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examination {
    /// All runs, in the order of their paths.
    pub runs: Vec<Examined>,
    /// The directories of runs, sweeps among them, in the order of their paths.
    pub directories: Vec<Examined>,
}

impl Examination {
    /// Whether everything could be judged and nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let all = self.runs.iter().chain(&self.directories);
        all.into_iter().all(|examined| examined.health > Health::Unchecked)
    }
}
