//! What a run is computed from, and whether that is still the same when it goes on.

use kiln_config::Document;
use kiln_store::{DatasetRecord, RunRecord, Versions};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::experiment::Experiment;
use crate::material::versions;

/// What a run must still be to go on from a checkpoint: what it was when that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The resolved experiment as TOML.
    pub(crate) config: String,
    pub(crate) dataset: DatasetRecord,
    pub(crate) versions: Versions,
    pub(crate) backend: String,
    pub(crate) engine: String,
}

/// Why a run may not go on.
pub(crate) struct Refusal {
    pub(crate) problem: String,
    pub(crate) cause: Cause,
}

/// What of a run is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its experiment, its data, or how it stands.
    Run,
    /// The program that would go on with it.
    Program,
    /// A later program wrote it, and knows things that may be worth more than a new beginning.
    LaterKiln,
}

impl From<&str> for Refusal {
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self { problem, cause: Cause::Run }
    }
}

/// What is no longer as it was when a checkpoint was written, where something is.
pub(crate) fn difference(then: &Origin, now: &Origin) -> Option<Refusal> {
    if let Some(difference) = config_difference(&then.config, &now.config) {
        return Some(format!("its configuration has changed: {difference}").into());
    }
    if then.dataset.fingerprint != now.dataset.fingerprint {
        let (then, now) = (&then.dataset.fingerprint, &now.dataset.fingerprint);
        return Some(format!("its dataset has changed: it was {then} and is {now}").into());
    }
    let pairs = [
        ("Kiln", &then.versions.kiln, &now.versions.kiln),
        ("Burn", &then.versions.burn, &now.versions.burn),
        ("the engine", &then.engine, &now.engine),
        ("the backend", &then.backend, &now.backend),
    ];
    let (what, then, now) = pairs.into_iter().find(|(_, then, now)| then != now)?;
    let problem = format!(
        "{what} was {then} and is {now}, and the rest of the run would not be what it would have been"
    );
    Some(Refusal { problem, cause: Cause::Program })
}

/// The data of a run that is no longer what its record says.
pub(crate) fn dataset_difference(record: &RunRecord, now: &Origin) -> Option<String> {
    let (then, now) = (&record.dataset, &now.dataset);
    (then.fingerprint != now.fingerprint).then(|| {
        format!(
            "its dataset has changed: {} was {} and is {}",
            then.name, then.fingerprint, now.fingerprint
        )
    })
}

/// The keys that differ between two resolved experiments, but for those that no result depends on.
fn config_difference(then: &str, now: &str) -> Option<String> {
    if then == now {
        return None;
    }
    let (Ok(then), Ok(now)) = (Document::parse("then", then), Document::parse("now", now)) else {
        return Some("the checkpoint's cannot be read".to_owned());
    };
    let mut paths = then.paths();
    paths.extend(now.paths());
    paths.sort_unstable();
    paths.dedup();
    let text = |document: &Document, path: &str| {
        document.get(path).map_or_else(|| "not there".to_owned(), ToString::to_string)
    };
    let differing: Vec<String> = paths
        .iter()
        .filter(|path| !path.starts_with("checkpoint."))
        .map(|path| (path, text(&then, path), text(&now, path)))
        .filter(|(_, then, now)| then != now)
        .map(|(path, then, now)| format!("{path} was {then} and is {now}"))
        .collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}

/// What keeps a run from going on from the checkpoint with this `state.json`, as far as that shows without the data.
pub(crate) fn obstacle(state: &[u8], experiment: &Experiment) -> Option<Refusal> {
    Checkpoint::other_version(state).or_else(|| {
        let then = Checkpoint::origin(state).ok()?;
        let config = experiment.to_toml().ok()?;
        let now = Origin { config, versions: versions(), ..then.clone() };
        difference(&then, &now)
    })
}
