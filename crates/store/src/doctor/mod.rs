//! What is damaged, stale or unfinished among runs and sweeps, and what to do about it.
//!
//! [`find()`] finds the directories, [`examine`] looks at every file of them, and [`text()`] and [`json()`] say what came of
//! it. None of that changes anything; only [`clean()`] does, and it removes nothing but what was left half written.
//!
//! What it takes an experiment's rules to judge comes from a [`Specialist`].

mod clean;
mod directory;
mod examiner;
mod find;
mod json;
mod text;

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::parallel::in_parallel;
use crate::record::{RunRecord, Status};
use crate::run::RunDirectory;

pub use clean::{Cleaned, clean};
pub use find::{Found, find};
pub use json::{DOCTOR_VERSION, json};
pub use text::text;

/// How serious a finding is, the most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A file is missing or not what was written.
    Damaged,
    /// A file cannot be judged: it cannot be read, or another Kiln wrote it.
    Unchecked,
    /// There is something left to do.
    Unfinished,
    /// Something is of no use any more.
    Stale,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// In a word or two.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Damaged => "damaged",
            Severity::Unchecked => "not checked",
            Severity::Unfinished => "unfinished",
            Severity::Stale => "stale",
            Severity::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The file, from the directory that was examined; empty where it is about all of it.
    pub file: String,
    /// What is so.
    pub problem: String,
    /// What to do about it; empty where there is nothing to do.
    pub advice: String,
}

impl Finding {
    /// A finding about a file.
    #[must_use]
    pub fn of(
        severity: Severity,
        file: impl Into<String>,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (file, problem, advice) = (file.into(), problem.into(), advice.into());
        Self { severity, file, problem, advice }
    }

    /// A finding about a file that could not be read or is not what was written.
    #[must_use]
    pub fn of_error(file: &str, error: &StoreError, advice: &str) -> Self {
        let (severity, problem) = match error {
            error if error.is_missing() => (Severity::Damaged, "it is missing".to_owned()),
            StoreError::Io { cause, .. } => {
                (Severity::Unchecked, format!("cannot be read: {cause}"))
            }
            StoreError::NewerFormat { found, known, .. } => {
                let problem =
                    format!("it has format version {found}, and this Kiln reads up to {known}");
                return Self::of(
                    Severity::Unchecked,
                    file,
                    problem,
                    "look at it with a newer Kiln",
                );
            }
            StoreError::Damaged { problem, .. } => (Severity::Damaged, problem.clone()),
            StoreError::Malformed { line, problem, .. } => {
                (Severity::Damaged, format!("line {line}: {problem}"))
            }
            error => (Severity::Damaged, error.to_string()),
        };
        Self::of(severity, file, problem, advice)
    }
}

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

    fn of(findings: &[Finding]) -> Self {
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

/// Who knows what it takes an experiment's rules to judge.
pub trait Specialist: Sync {
    /// Looks at a run that nobody works on. Its files are as they were written, as far as its record has their sums.
    fn run(&self, run: &RunDirectory, record: &RunRecord) -> Vec<Finding>;

    /// Looks at what a directory says of the sweep that was begun in it.
    fn sweep(&self, directory: &Path) -> Vec<Finding>;
}

/// Nobody.
impl Specialist for () {
    fn run(&self, _: &RunDirectory, _: &RunRecord) -> Vec<Finding> {
        Vec::new()
    }

    fn sweep(&self, _: &Path) -> Vec<Finding> {
        Vec::new()
    }
}

/// Examines what was found, on all cores.
#[must_use]
pub fn examine(found: &Found, specialist: &dyn Specialist) -> Examination {
    Examination {
        runs: in_parallel(&found.runs, |path| examiner::examine(path, specialist)),
        directories: in_parallel(&found.directories, |path| directory::examine(path, specialist)),
    }
}
