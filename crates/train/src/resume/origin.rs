//! The inputs that determine the result of a run, and whether they are unchanged when the run is resumed.

use std::collections::HashSet;

use kiln_config::{ConfigError, Document, affects_results};
use kiln_model::Architecture;
use kiln_store::{DatasetRecord, RunRecord, Versions};
use serde::{Deserialize, Serialize};

use crate::experiment::Declaration;

/// The release of Burn that this build computes with.
const BURN_VERSION: &str = "0.22.1";

/// The revision of this build's arithmetic. Raise it with every change after which a run, on the same machine, has other
/// bytes than before: another order of sums, another approximation of a function, another use of random numbers, another
/// algorithm in a kernel. A changed trajectory of a reference test is such a change, and so is a run for which
/// `kiln verify` finds a difference only between the two builds.
const NUMERICS_REVISION: u32 = 3;

/// The versions of this build.
pub(crate) fn versions() -> Versions {
    Versions {
        kiln: env!("CARGO_PKG_VERSION").to_owned(),
        burn: BURN_VERSION.to_owned(),
        numerics: NUMERICS_REVISION,
    }
}

/// The program that computes a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program<'a> {
    versions: &'a Versions,
    engine: &'a str,
    backend: &'a str,
}

impl<'a> Program<'a> {
    pub(crate) fn of_record(record: &'a RunRecord) -> Self {
        let RunRecord { versions, engine, backend, .. } = record;
        Self { versions, engine, backend }
    }

    /// The changes since `then`, one sentence each. The results of two programs without a change are identical.
    pub(crate) fn changes_since(self, then: Self) -> Vec<String> {
        let revision = |program: Self| format!("revision {}", program.versions.numerics);
        let (revision_then, revision_now) = (revision(then), revision(self));
        let pairs = [
            ("Kiln", &*then.versions.kiln, &*self.versions.kiln),
            ("Burn", &then.versions.burn, &self.versions.burn),
            ("the arithmetic of Kiln", &revision_then, &revision_now),
            ("the engine", then.engine, self.engine),
            ("the backend", then.backend, self.backend),
        ];
        let changed = pairs.into_iter().filter(|(_, then, now)| then != now);
        changed.map(|(what, then, now)| format!("{what} changed from {then} to {now}")).collect()
    }
}

/// The inputs that determine the result of a run. A checkpoint stores them, and a run is resumed only if they are
/// unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The resolved experiment as TOML.
    pub(crate) config: String,
    pub(crate) dataset: DatasetRecord,
    pub(crate) versions: Versions,
    pub(crate) backend: String,
    pub(crate) engine: String,
}

impl Origin {
    pub(crate) fn program(&self) -> Program<'_> {
        let Self { versions, engine, backend, .. } = self;
        Program { versions, engine, backend }
    }
}

/// Why a run cannot be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeError {
    /// The reason, for people.
    pub problem: String,
    /// The part to change.
    pub kind: ResumeErrorKind,
}

/// The part that differs from the run that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeErrorKind {
    /// The run itself: its experiment, its data or its status.
    Run,
    /// The version or the engine of this program. Restarted from scratch, the run would finish with this program.
    Program,
    /// A later version of Kiln wrote the checkpoint. This one must not discard what it cannot read.
    LaterKiln,
}

impl std::fmt::Display for ResumeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.problem)
    }
}

impl From<&str> for ResumeError {
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

impl From<String> for ResumeError {
    fn from(problem: String) -> Self {
        Self { problem, kind: ResumeErrorKind::Run }
    }
}

/// The first difference between the origin of a checkpoint and the current one.
pub(crate) fn difference(then: &Origin, now: &Origin) -> Option<ResumeError> {
    // First what the user may have changed and can change back, then the program.
    if let Some(difference) = config_difference(&then.config, &now.config) {
        return Some(format!("its configuration changed: {difference}").into());
    }
    if then.dataset.fingerprint != now.dataset.fingerprint {
        let (then, now) = (&then.dataset.fingerprint, &now.dataset.fingerprint);
        return Some(format!("its dataset changed from {then} to {now}").into());
    }
    let change = now.program().changes_since(then.program()).into_iter().next()?;
    let problem = format!("{change}; resuming would not reproduce the original run");
    Some(ResumeError { problem, kind: ResumeErrorKind::Program })
}

/// Whether this program computes the same bytes as the program that computed the run of `record`, if both train this
/// experiment on the same data: whether the versions, the backend and the engine are the same.
///
/// # Errors
///
/// This build lacks the backend or the engine that the experiment requires.
pub fn reproduces(
    record: &RunRecord,
    declaration: &Declaration,
    architecture: &Architecture,
) -> Result<bool, ConfigError> {
    let engine = declaration.engine_settings(architecture)?.implementation.to_string();
    let backend = declaration.experiment.device.backend.to_string();
    let now = Program { versions: &versions(), engine: &engine, backend: &backend };
    Ok(Program::of_record(record) == now)
}

/// The difference between the dataset in the record of a run and the current one.
pub(crate) fn dataset_difference(record: &RunRecord, now: &Origin) -> Option<String> {
    let (then, now) = (&record.dataset, &now.dataset);
    (then.fingerprint != now.fingerprint).then(|| {
        format!(
            "its dataset {} changed from {} to {}",
            then.name, then.fingerprint, now.fingerprint
        )
    })
}

/// The keys that differ between two resolved experiments, except those that do not affect the result, as a sentence.
fn config_difference(then: &str, now: &str) -> Option<String> {
    let Some(differing) = differing_keys(then, now) else {
        return Some("the one in the checkpoint cannot be read".to_owned());
    };
    let differing: Vec<String> = differing
        .into_iter()
        .map(|DifferingKey { path, then, now }| format!("{path} from {then} to {now}"))
        .collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}

/// A key that two resolved experiments give different values.
pub(crate) struct DifferingKey {
    pub(crate) path: String,
    /// The value of the first experiment, as TOML, or "not set".
    pub(crate) then: String,
    /// That of the second one.
    pub(crate) now: String,
}

/// The keys that differ between two resolved experiments, except those that do not affect the result. `None` if one of them
/// cannot be read.
pub(crate) fn differing_keys(then: &str, now: &str) -> Option<Vec<DifferingKey>> {
    if then == now {
        return Some(Vec::new());
    }
    let (then, now) = (Document::parse("then", then).ok()?, Document::parse("now", now).ok()?);
    let mut paths = then.paths();
    paths.extend(now.paths());
    paths.sort_unstable();
    paths.dedup();
    let text = |document: &Document, path: &str| {
        document.get(path).map_or_else(|| "not set".to_owned(), ToString::to_string)
    };
    // A layer with a name has two paths.
    let mut seen = HashSet::new();
    paths.retain(|path| {
        let place = |document: &Document| document.get(path).map(|value| value as *const _);
        seen.insert((place(&then), place(&now)))
    });
    // The interval of checkpoints, for example, may change: it does not affect the result.
    let paths = paths.into_iter().filter(|path| affects_results(path));
    let keys =
        paths.map(|path| DifferingKey { then: text(&then, &path), now: text(&now, &path), path });
    Some(keys.filter(|key| key.then != key.now).collect())
}
