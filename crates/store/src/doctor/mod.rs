//! Reports damaged, stale and unfinished runs and sweeps, with advice.
//!
//! [`find()`] finds the directories, [`examine`] checks every file in them, and [`text()`] and [`json()`] format the
//! result. These functions change nothing. Only [`clean()`] does: it removes temporary files of killed processes.
//!
//! Checks that need the rules of experiments and sweeps come from [`ExperimentRules`].

mod clean;
mod directory;
mod examination;
mod examiner;
mod find;
mod finding;
mod json;
mod rules;
mod text;

use crate::parallel::in_parallel;

pub use clean::{Cleaned, clean};
pub use examination::{Examination, Examined, Health};
pub use find::{Found, find};
pub use finding::{Finding, Severity};
pub use json::{DOCTOR_VERSION, json};
pub use rules::ExperimentRules;
pub use text::text;

/// Examines the directories on all cores.
#[must_use]
pub fn examine(found: &Found, rules: &dyn ExperimentRules) -> Examination {
    Examination {
        runs: in_parallel(&found.runs, |path| examiner::examine(path, rules)),
        directories: in_parallel(&found.directories, |path| directory::examine(path, rules)),
    }
}
