use std::path::PathBuf;

use super::finding::{Finding, Severity};
use crate::record::Status;

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Something is damaged.
    Damaged,
    /// Something could not be checked.
    Unchecked,
    /// The run was interrupted, killed, or failed.
    Unfinished,
    /// A process is working on the run.
    InUse,
    /// The run is complete, and every file is as it was written.
    Intact,
}

impl Health {
    /// All states, best first.
    pub const ALL: [Self; 5] =
        [Self::Intact, Self::InUse, Self::Unfinished, Self::Unchecked, Self::Damaged];

    /// The key in `doctor --json`, which other programs read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Damaged => "damaged",
            Health::Unchecked => "not checked",
            Health::Unfinished => "unfinished",
            Health::InUse => "at work",
            Health::Intact => "whole",
        }
    }

    /// The label for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Health::InUse => "in use",
            Health::Intact => "intact",
            _ => self.as_str(),
        }
    }

    pub(super) fn of(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.severity).min() {
            Some(Severity::Damaged) => Self::Damaged,
            Some(Severity::Unchecked) => Self::Unchecked,
            Some(Severity::Unfinished) => Self::Unfinished,
            Some(Severity::Stale | Severity::Note) | None => Self::Intact,
        }
    }
}

/// A run or a directory of runs, with the findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The directory.
    pub path: PathBuf,
    /// The record; `None` for a directory of runs, or if there is no record.
    pub status: Option<Status>,
    /// The state.
    pub health: Health,
    /// Whether the run ended but has no checksums, because an earlier version of Kiln wrote it.
    pub without_sums: bool,
    /// The findings, most serious first.
    pub findings: Vec<Finding>,
}

/// The result of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examination {
    /// All runs, ordered by path.
    pub runs: Vec<Examined>,
    /// The directories of runs, including sweeps, ordered by path.
    pub directories: Vec<Examined>,
}

impl Examination {
    /// Whether everything could be checked and nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let all = self.runs.iter().chain(&self.directories);
        all.into_iter().all(|examined| examined.health > Health::Unchecked)
    }
}
