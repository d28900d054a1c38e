//! The files by which several workers of a sweep that prunes or races share results and decisions.
//!
//! ```text
//! .kiln/rungs/ID.EPOCH-VALUE             the result of a run at a rung: an empty file, so that one listing shows all results
//! .kiln/decisions/KEY-rung-B-EPOCH.json  which runs of bracket B continue after a rung
//! .kiln/decisions/KEY-look-SEEDS.json    the state of a race after the look at so many seeds
//! ```
//!
//! The worker that completes a rung or a look decides (see [`decision_files`](crate::decision_files)). KEY is a hash of the runs and
//! the rules. Without the files, workers read the histories of the runs and come to the same decisions.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{create_hidden, files, hidden};
use serde::{Deserialize, Serialize};

use crate::decision_files::DecisionFiles;
use crate::plan::Plan;
use crate::race::{Race, RaceState};

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
pub(super) struct Decisions(DecisionFiles);

impl Decisions {
    /// The decisions about the runs of the plan by the rules by which they are pruned or raced.
    pub(super) fn of(plan: &Plan) -> Self {
        let ids: Vec<&str> = plan.runs.iter().map(|run| run.id.as_str()).collect();
        let rules = (plan.prune, plan.race.as_ref().map(|race| &race.config));
        Self(DecisionFiles::new(&plan.directory, &format!("{rules:?} {}", ids.join(" "))))
    }

    /// Decides about a rung, unless another worker has. Returns the decision that holds.
    pub(super) fn decide_rung(
        &self,
        bracket: usize,
        epoch: usize,
        own: RungDecision,
    ) -> RungDecision {
        self.0.decide(&rung_name(bracket, epoch), own)
    }

    /// The decisions about rungs except those that are `known`, each with its bracket and epoch.
    pub(super) fn rungs(
        &self,
        known: impl Fn(usize, usize) -> bool,
    ) -> Vec<(usize, usize, RungDecision)> {
        let parse = |name: &String| -> Option<(usize, usize)> {
            let (bracket, epoch) = name.strip_prefix("rung-")?.split_once('-')?;
            Some((bracket.parse().ok()?, epoch.parse().ok()?))
        };
        let names = self.0.names();
        let new =
            names.iter().filter_map(parse).filter(|(bracket, epoch)| !known(*bracket, *epoch));
        new.filter_map(|(bracket, epoch)| {
            Some((bracket, epoch, self.0.read(&rung_name(bracket, epoch))?))
        })
        .collect()
    }

    /// Writes the state of a race after the look at `seeds` seeds, unless another worker has. Returns the one that holds.
    pub(super) fn decide_look(&self, race: &Race, seeds: usize, own: RaceState) -> RaceState {
        self.0.decide_valid(&look_name(seeds), own, |state| is_valid(state, race, seeds))
    }

    /// Reads the state of a race after the look at `seeds` seeds, if a worker has written it.
    pub(super) fn look(&self, race: &Race, seeds: usize) -> Option<RaceState> {
        self.0.read(&look_name(seeds)).filter(|state| is_valid(state, race, seeds))
    }
}

fn rung_name(bracket: usize, epoch: usize) -> String {
    format!("rung-{bracket}-{epoch}")
}

fn look_name(seeds: usize) -> String {
    format!("look-{seeds}")
}

/// Whether a state from a file belongs to this race. Its numbers are used as indices.
fn is_valid(state: &RaceState, race: &Race, seeds: usize) -> bool {
    let combinations = race.combinations.len();
    state.is_after(seeds)
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
