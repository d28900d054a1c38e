use kiln_statistics::{Observation, compare_with_best};
use serde::{Deserialize, Serialize};

use crate::race::RaceConfig;

/// The result of one run of a race.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RaceResult {
    /// The run is not done.
    Pending,
    /// The validation accuracy of the weights that the run kept.
    Value(f64),
    /// The run was pruned or diverged, so its combination is out of the race.
    Out,
}

/// How far a race has come. It depends on nothing but the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceState {
    /// The combinations that are in the race, ascending. When it is over, those of which one is the best.
    pub racing: Vec<usize>,
    /// The number of seeds that each of them needs for the next look. When the race is over, the number that each has.
    pub seeds: usize,
    /// The combinations that were stopped, in the order of the looks.
    pub stopped: Vec<Stopped>,
    /// Why the race is over; `None` while it is not.
    pub end: Option<RaceEnd>,
}

impl RaceState {
    /// Whether this is a state after the look at so many seeds.
    pub(crate) fn is_after(&self, seeds: usize) -> bool {
        self.seeds > seeds || self.seeds == seeds && self.end.is_some()
    }
}

/// A combination that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The index of the combination.
    pub combination: usize,
    /// The number of seeds that it had.
    pub seeds: usize,
    /// Whether it was stopped because one of its runs was pruned or diverged, and not because others were better.
    pub is_incomplete: bool,
}

/// Why a race is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaceEnd {
    /// One combination is left.
    OneLeft,
    /// No combination that is left is behind the best one by more than this, which is within the indifference zone.
    Equivalent(f64),
    /// All seeds are used.
    OutOfSeeds,
    /// Every combination has a run that was pruned or diverged.
    NoneLeft,
}

/// Decides which combinations continue. `results` has the result of each seed of each combination, in the order of
/// `seeds`; `resolution` is the smallest difference between two values.
///
/// Each look is at `level` divided by the number of looks, so the probability that the best combination is stopped at
/// any of them is at most `level`. All combinations of a look have the same seeds.
#[must_use]
pub fn decide(
    config: &RaceConfig,
    seeds: &[u64],
    results: &[Vec<RaceResult>],
    resolution: f64,
) -> RaceState {
    let level = config.level / config.looks.len() as f64;
    let mut state = RaceState {
        racing: (0..results.len()).collect(),
        seeds: 0,
        stopped: Vec::new(),
        end: None,
    };
    for look in &config.looks {
        state.seeds = *look;
        let of = |combination: &usize| &results[*combination][..*look];
        if state.racing.iter().flat_map(of).any(|result| *result == RaceResult::Pending) {
            return state;
        }
        state.stop(true, |combination| !of(&combination).contains(&RaceResult::Out));
        let observe = |(seed, result): (&u64, &RaceResult)| match result {
            RaceResult::Value(value) => Some(Observation { seed: *seed, value: *value }),
            RaceResult::Pending | RaceResult::Out => None,
        };
        let values: Vec<Vec<Observation>> = state
            .racing
            .iter()
            .map(|combination| seeds.iter().zip(of(combination)).filter_map(observe).collect())
            .collect();
        // With fewer than two combinations, there is nothing to compare.
        let comparison = compare_with_best(&values, resolution, level);
        let mut behind = 0.0_f64;
        if let Some(comparison) = comparison {
            let standings: Vec<_> = state.racing.iter().copied().zip(comparison.settings).collect();
            let find = |wanted| standings.iter().find(|(combination, _)| *combination == wanted);
            state.stop(false, |combination| {
                find(combination).is_some_and(|(_, standing)| standing.may_be_best)
            });
            let left = state.racing.iter().filter_map(|combination| find(*combination));
            behind = left.map(|(_, standing)| standing.behind.1).fold(0.0, f64::max);
        }
        state.end = match state.racing.len() {
            0 => Some(RaceEnd::NoneLeft),
            1 => Some(RaceEnd::OneLeft),
            _ if behind <= config.indifference => Some(RaceEnd::Equivalent(behind)),
            _ if *look == config.seeds => Some(RaceEnd::OutOfSeeds),
            _ => None,
        };
        if state.end.is_some() {
            break;
        }
    }
    state
}

impl RaceState {
    /// Stops the combinations that `continues` does not accept.
    fn stop(&mut self, is_incomplete: bool, continues: impl Fn(usize) -> bool) {
        let seeds = self.seeds;
        let (racing, stopped): (Vec<usize>, Vec<usize>) =
            self.racing.iter().partition(|combination| continues(**combination));
        self.racing = racing;
        let stopped = stopped.into_iter();
        self.stopped.extend(stopped.map(|combination| Stopped {
            combination,
            seeds,
            is_incomplete,
        }));
    }
}
