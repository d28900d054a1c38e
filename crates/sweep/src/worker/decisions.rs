//! The files by which several workers of a sweep that prunes or races share results and decisions.
//!
//! ```text
//! .kiln/rungs/ID.EPOCH-VALUE             the result of a run at a rung: an empty file, so that one listing shows all results
//! .kiln/decisions/KEY-rung-B-EPOCH.json  which runs of bracket B continue after a rung
//! .kiln/decisions/KEY-look-SEEDS.json    the state of a race after the look at so many seeds
//! ```
//!
//! The worker that completes a rung or a look decides, and writes the file once. All workers read the decision from the file, so
//! that it does not matter which worker wrote it, nor whether the results change later. KEY is a hash of the runs and the
//! rules. Without the files, workers read the histories of the runs and come to the same decisions.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{Checksum, StoreError, create_hidden, files, hidden, versioned};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::race::{Race, RaceState};

/// The format version that this build writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The largest file that is read: a race may stop thousands of combinations.
const MAX_BYTES: u64 = 16 << 20;

/// The result of a run at a rung.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RungResult {
    pub(super) id: String,
    pub(super) epoch: usize,
    /// The metric; `None` if it was not finite.
    pub(super) value: Option<f64>,
}

/// Which runs of a bracket continue after a rung, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RungDecision {
    pub(super) continued: Vec<String>,
    pub(super) pruned: Vec<String>,
}

fn rungs(directory: &Path) -> PathBuf {
    hidden(directory).join("rungs")
}

impl RungResult {
    fn file_name(&self) -> String {
        // All bits, so that every worker compares the same numbers.
        let value =
            self.value.map_or("none".to_owned(), |value| format!("{:016x}", value.to_bits()));
        format!("{}.{}-{value}", self.id, self.epoch)
    }

    fn parse(name: &str) -> Option<Self> {
        let (id, rest) = name.split_once('.')?;
        let (epoch, value) = rest.split_once('-')?;
        let value = match value {
            "none" => None,
            bits => Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
        };
        let value = value.filter(|value| value.is_finite());
        Some(Self { id: id.to_owned(), epoch: epoch.parse().ok()?, value })
    }

    /// Writes the result for the other workers.
    pub(super) fn write(&self, directory: &Path) {
        let path = rungs(directory).join(self.file_name());
        if fs::File::create(&path).is_err()
            && create_hidden(directory).is_ok()
            && fs::create_dir_all(rungs(directory)).is_ok()
        {
            // Without it, the others wait until the run has ended, and read its history.
            let _ = fs::File::create(&path);
        }
    }

    /// The results of all runs, from one listing.
    pub(super) fn read_all(directory: &Path) -> Vec<Self> {
        let entries = fs::read_dir(rungs(directory)).into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::parse(entry.file_name().to_str()?)).collect()
    }

    /// Removes the results of a run that is trained from scratch.
    pub(super) fn remove_of(directory: &Path, id: &str) {
        for result in Self::read_all(directory).into_iter().filter(|result| result.id == id) {
            let _ = files::remove(&rungs(directory).join(result.file_name()));
        }
    }
}

/// The decisions of one plan.
#[derive(Debug)]
pub(super) struct Decisions {
    directory: PathBuf,
    /// A hash of the runs of the plan and of the rules by which they are pruned or raced.
    key: String,
}

impl Decisions {
    pub(super) fn of(plan: &Plan) -> Self {
        let ids: Vec<&str> = plan.runs.iter().map(|run| run.id.as_str()).collect();
        let rules = (plan.prune, plan.race.as_ref().map(|race| &race.config));
        let key = Checksum::of(format!("{rules:?} {}", ids.join(" ")).as_bytes());
        Self { directory: plan.directory.clone(), key: key.sha256[..12].to_owned() }
    }

    fn files(&self) -> PathBuf {
        hidden(&self.directory).join("decisions")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files().join(format!("{}-{name}.json", self.key))
    }

    /// Writes a decision, unless another worker has. Returns the decision that holds.
    fn decide<T: Serialize + DeserializeOwned>(&self, name: &str, own: T) -> T {
        let path = self.path(name);
        match self.write_once(&path, &own) {
            Ok(false) => {}
            // If the file cannot be written, the other workers come to the same decision.
            Ok(true) | Err(_) => return own,
        }
        if let Ok(decision) = read(&path) {
            return decision;
        }
        // A damaged file decides nothing.
        if let Ok(text) = versioned::to_checked_json(VERSION, &own) {
            let _ = files::write(&path, text);
        }
        own
    }

    fn write_once(&self, path: &Path, decision: &impl Serialize) -> Result<bool, StoreError> {
        create_hidden(&self.directory)?;
        files::create_directories(&self.files())?;
        files::check_within(&self.directory, &self.files())?;
        files::write_once(path, versioned::to_checked_json(VERSION, decision)?)
    }

    /// Decides about a rung, unless another worker has. Returns the decision that holds.
    pub(super) fn decide_rung(
        &self,
        bracket: usize,
        epoch: usize,
        own: RungDecision,
    ) -> RungDecision {
        self.decide(&rung_name(bracket, epoch), own)
    }

    /// The decisions about rungs except those that are `known`, each with its bracket and epoch.
    pub(super) fn rungs(
        &self,
        known: impl Fn(usize, usize) -> bool,
    ) -> Vec<(usize, usize, RungDecision)> {
        let entries = fs::read_dir(self.files()).into_iter().flatten().flatten();
        let parse = |name: &str| -> Option<(usize, usize)> {
            let name = name.strip_prefix(&self.key)?.strip_prefix("-rung-")?;
            let (bracket, epoch) = name.strip_suffix(".json")?.split_once('-')?;
            Some((bracket.parse().ok()?, epoch.parse().ok()?))
        };
        let rungs = entries.filter_map(|entry| parse(entry.file_name().to_str()?));
        let new = rungs.filter(|(bracket, epoch)| !known(*bracket, *epoch));
        new.filter_map(|(bracket, epoch)| {
            Some((bracket, epoch, read(&self.path(&rung_name(bracket, epoch))).ok()?))
        })
        .collect()
    }

    /// Writes the state of a race after the look at `seeds` seeds, unless another worker has. Returns the one that holds.
    pub(super) fn decide_look(&self, race: &Race, seeds: usize, own: RaceState) -> RaceState {
        let decided = self.decide(&look_name(seeds), own.clone());
        if is_valid(&decided, race, seeds) { decided } else { own }
    }

    /// Reads the state of a race after the look at `seeds` seeds, if a worker has written it.
    pub(super) fn look(&self, race: &Race, seeds: usize) -> Option<RaceState> {
        let state = read(&self.path(&look_name(seeds))).ok()?;
        is_valid(&state, race, seeds).then_some(state)
    }
}

fn rung_name(bracket: usize, epoch: usize) -> String {
    format!("rung-{bracket}-{epoch}")
}

fn look_name(seeds: usize) -> String {
    format!("look-{seeds}")
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    versioned::parse_checked(path, &files::read(path, MAX_BYTES)?, VERSION)
}

/// Whether a state from a file belongs to this race. Its numbers are used as indices.
fn is_valid(state: &RaceState, race: &Race, seeds: usize) -> bool {
    let combinations = race.combinations.len();
    state.seeds >= seeds
        && state.seeds <= race.seeds.len()
        && state.racing.iter().all(|combination| *combination < combinations)
        && state.stopped.iter().all(|stopped| stopped.combination < combinations)
}

#[cfg(test)]
mod tests {
    use super::RungResult;

    #[test]
    fn results_are_in_the_names_of_files() {
        for value in [Some(0.1 + 0.2), Some(-0.0), Some(f64::MIN_POSITIVE), None] {
            let result = RungResult { id: "0123456789ab".to_owned(), epoch: 27, value };
            let read = RungResult::parse(&result.file_name()).expect("a result");
            assert_eq!(read.value.map(f64::to_bits), value.map(f64::to_bits));
            assert_eq!((read.id, read.epoch), (result.id, result.epoch));
        }
        for name in ["", "a", "a.b", "a.1-", "a.x-none", ".partial-1-2"] {
            assert_eq!(RungResult::parse(name), None, "{name}");
        }
    }
}
