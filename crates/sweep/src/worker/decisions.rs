//! The files by which several workers of a sweep that prunes or races share results and decisions.
//!
//! ```text
//! .kiln/rungs/ID.EPOCH-VALUE             the result of a run at a rung: an empty file, so that one listing shows all results
//! .kiln/decisions/KEY-rung-B-EPOCH.json  which runs of bracket B continue after a rung
//! .kiln/decisions/KEY-look-SEEDS.json    the state of a race after the look at so many seeds
//! ```
//!
//! Decisions are functions of the results, so it does not matter which worker writes them, or if two do. KEY is a hash of
//! the runs and the rules. Workers read the results at rungs and the states of races; without these files, they read the
//! histories of the runs. The decisions about rungs are a record for users.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{Checksum, StoreError, create_hidden, files, hidden, versioned};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::race::RaceState;

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

/// A hash of the runs of a plan and of the rules by which they are pruned or raced.
pub(super) fn key(plan: &Plan) -> String {
    let ids: Vec<&str> = plan.runs.iter().map(|run| run.id.as_str()).collect();
    let rules = (plan.prune, plan.race.as_ref().map(|race| &race.config));
    Checksum::of(format!("{rules:?} {}", ids.join(" ")).as_bytes()).sha256[..12].to_owned()
}

fn path(plan: &Plan, name: &str) -> PathBuf {
    hidden(&plan.directory).join("decisions").join(format!("{}-{name}.json", key(plan)))
}

fn write(plan: &Plan, name: &str, decision: &impl Serialize) -> Result<(), StoreError> {
    let path = path(plan, name);
    if path.exists() {
        return Ok(());
    }
    create_hidden(&plan.directory)?;
    files::create_directories(path.parent().unwrap_or(&plan.directory))?;
    files::write(&path, versioned::to_checked_json(VERSION, decision)?)
}

/// Writes the decision about a rung.
pub(super) fn write_rung(plan: &Plan, bracket: usize, epoch: usize, decision: &RungDecision) {
    // If the decision cannot be written, the other workers compute it again.
    let _ = write(plan, &format!("rung-{bracket}-{epoch}"), decision);
}

/// Writes the state of a race after the look at `seeds` seeds.
pub(super) fn write_look(plan: &Plan, seeds: usize, state: &RaceState) {
    let _ = write(plan, &format!("look-{seeds}"), state);
}

/// Reads the state of a race after the look at `seeds` seeds, if a worker has written it.
pub(super) fn read_look(plan: &Plan, seeds: usize) -> Option<RaceState> {
    let path = path(plan, &format!("look-{seeds}"));
    let text = files::read(&path, MAX_BYTES).ok()?;
    let state: RaceState = versioned::parse_checked(&path, &text, VERSION).ok()?;
    // The file comes from elsewhere; its numbers are used as indices.
    let race = plan.race.as_ref()?;
    let combinations = race.combinations.len();
    let is_valid = state.seeds >= seeds
        && state.seeds <= race.seeds.len()
        && state.racing.iter().all(|combination| *combination < combinations)
        && state.stopped.iter().all(|stopped| stopped.combination < combinations);
    is_valid.then_some(state)
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
