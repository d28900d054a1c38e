//! Decides which combinations may be the best, which are worse, and how they differ from a given baseline.

use std::collections::{BTreeMap, BTreeSet};

use kiln_statistics::{
    BaselineDifference, BestComparison, Observation, compare_with_baseline, compare_with_best,
    detectable_difference,
};
use kiln_store::{Direction, Status};

use crate::answer::{Answer, MoreSeeds};
use crate::column::Column;
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::effects::{self, Effects};
use crate::ranking::Ranking;
use crate::verdict::{Baseline, Verdict, VerdictOutcome};

/// The largest number of further seeds that is proposed.
const MAX_NEW_SEEDS: usize = 20;

/// The settings that decide which images are in the validation set, for runs whose record does not say which.
const SPLIT_SETTINGS: [&str; 3] = ["data.validation", "data.split", "data.split_seed"];

/// Why a combination with results is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Pruned,
    OneSeed,
    OtherImages,
}

/// The values that are compared.
#[derive(Clone, Copy)]
enum Values<'a> {
    /// Those that rank.
    Ranked(&'a Ranking),
    /// Test accuracies: they can be compared with a baseline that was chosen beforehand, but must not choose the best.
    Test,
}

/// The statistics of a comparison without a baseline, which take much longer than everything else if there are thousands of
/// combinations. They are computed again only if their inputs have changed: a run that has not finished changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Judgment(Option<(Inputs, Statistics)>);

/// The judgments of several datasets.
#[derive(Debug, Default)]
pub(crate) struct Judgments(Vec<Judgment>);

impl Judgments {
    pub(crate) fn of_dataset(&mut self, dataset: usize) -> &mut Judgment {
        if self.0.len() <= dataset {
            self.0.resize_with(dataset + 1, Judgment::default);
        }
        &mut self.0[dataset]
    }
}

/// What the statistics depend on.
#[derive(Debug, PartialEq)]
struct Inputs {
    /// The settings of each combination that is judged.
    settings: Vec<Vec<Option<String>>>,
    observations: Vec<Vec<Observation>>,
    columns: Vec<Column>,
    resolution: f64,
    level: f64,
    sign: f64,
}

#[derive(Debug, Clone)]
struct Statistics {
    best: Option<BestComparison>,
    more_seeds: Option<MoreSeeds>,
    effects: Effects,
}

impl Statistics {
    fn of(inputs: &Inputs) -> Self {
        let Inputs { settings, observations, columns, resolution, level, sign } = inputs;
        let best = compare_with_best(observations, *resolution, *level);
        let winners = |best: &BestComparison| {
            best.settings.iter().filter(|standing| standing.may_be_best).count()
        };
        let is_open = best.as_ref().is_some_and(|best| winners(best) > 1);
        let more_seeds = || more_seeds(observations, *resolution, *level);
        let effects = effects::effects(settings, observations, columns, *resolution, *level, *sign);
        Self { best, more_seeds: is_open.then(more_seeds).flatten(), effects }
    }
}

/// Gives each combination its standing and, if there is a baseline, its verdict. Notes say which have none.
pub(crate) fn judge(comparison: &mut Comparison, baseline: Option<usize>, known: &mut Judgment) {
    let Comparison { combinations, columns, ranking, level, .. } = &*comparison;
    let level = *level;
    let values = if baseline.is_some() && !comparison.is_ranked() {
        Values::Test
    } else {
        Values::Ranked(ranking)
    };
    let (judged, missing) = values.judged(combinations, columns, baseline);
    let sign = values.sign();
    let inputs = Inputs {
        settings: judged.iter().map(|index| combinations[*index].settings.clone()).collect(),
        observations: judged.iter().map(|at| values.observations(&combinations[*at])).collect(),
        columns: columns.clone(),
        resolution: values.resolution(judged.iter().map(|index| &combinations[*index])),
        level,
        sign,
    };
    let resolution = inputs.resolution;
    let against =
        baseline.and_then(|baseline| judged.iter().position(|judged| *judged == baseline));
    let differences = against.and_then(|against| {
        compare_with_baseline(&inputs.observations, resolution, level, against)
    });
    let Statistics { best, more_seeds, effects } = match values {
        Values::Ranked(_) => match &known.0 {
            Some((known, statistics)) if *known == inputs => statistics.clone(),
            _ => {
                let statistics = Statistics::of(&inputs);
                known.0 = Some((inputs, statistics.clone()));
                statistics
            }
        },
        Values::Test => Statistics { best: None, more_seeds: None, effects: Effects::default() },
    };
    let mut notes = notes(&missing, &judged, combinations, columns);
    if matches!(values, Values::Test) && differences.is_some() {
        notes.push(
            "No run was validated, so the verdicts compare test accuracies. These must not choose the best setting."
                .to_owned(),
        );
    }
    let answer = best.as_ref().map(|best| {
        let count = |is_counted: fn(&kiln_statistics::Standing) -> bool| {
            best.settings.iter().filter(|standing| is_counted(standing)).count()
        };
        Answer {
            level,
            judged: judged.len(),
            unjudged: missing.values().map(Vec::len).sum(),
            possible_winners: count(|standing| standing.may_be_best),
            worse: count(|standing| standing.worse),
            centered: best.centered,
            resolution,
            more_seeds,
        }
    });
    // What an earlier judgment said of combinations that are not judged any more.
    for combination in &mut comparison.combinations {
        (combination.standing, combination.verdict) = (None, None);
    }
    for (place, index) in judged.iter().enumerate() {
        let combination = &mut comparison.combinations[*index];
        combination.standing = best.as_ref().map(|best| {
            let standing = best.settings[place];
            kiln_statistics::Standing { mean: sign * standing.mean, ..standing }
        });
        let difference = differences.as_ref().and_then(|differences| differences[place]);
        combination.verdict = difference.map(|difference| verdict(difference, sign, level));
    }
    comparison.answer = answer;
    comparison.effects = effects;
    comparison.notes = notes;
    comparison.baseline = baseline.map(|combination| {
        let comparisons = differences.map_or(0, |differences| differences.len() - 1);
        Baseline { combination, comparisons, level }
    });
}

impl Values<'_> {
    /// The value of a run; only a finished run has one.
    fn of_run(self, run: &RunSummary) -> Option<f64> {
        match self {
            _ if run.status != Status::Finished => None,
            Values::Ranked(ranking) => ranking.of_run(run),
            Values::Test => run.test.map(|test| test.accuracy),
        }
    }

    /// The sign that makes higher values better.
    fn sign(self) -> f64 {
        match self {
            Values::Ranked(ranking) if ranking.better() == Direction::Lower => -1.0,
            _ => 1.0,
        }
    }

    fn observations(self, combination: &Combination) -> Vec<Observation> {
        let observation = |run: &RunSummary| {
            Some(Observation { seed: run.seed, value: self.sign() * self.of_run(run)? })
        };
        combination.runs.iter().filter_map(observation).collect()
    }

    /// The smallest step between two values: a share changes by one image of the smallest set. Losses have no step.
    fn resolution<'a>(self, combinations: impl Iterator<Item = &'a Combination>) -> f64 {
        if self.sign() < 0.0 {
            return 0.0;
        }
        let images = combinations.flat_map(|combination| &combination.runs).filter_map(|run| {
            self.of_run(run)?;
            match self {
                Values::Ranked(_) => Some(run.validation_rows),
                Values::Test => run.test.map(|test| test.examples),
            }
        });
        images.filter(|images| *images > 0).min().map_or(0.0, |images| 1.0 / images as f64)
    }

    /// The combinations that can be judged together, and why others with a value cannot.
    fn judged(
        self,
        combinations: &[Combination],
        columns: &[Column],
        baseline: Option<usize>,
    ) -> (Vec<usize>, BTreeMap<Missing, Vec<usize>>) {
        let mut missing: BTreeMap<Missing, Vec<usize>> = BTreeMap::new();
        let mut judged = Vec::new();
        for (index, combination) in combinations.iter().enumerate() {
            let reason = match self.observations(combination).len() {
                0 => continue,
                _ if is_partly_pruned(combination) => Missing::Pruned,
                1 => Missing::OneSeed,
                _ => {
                    judged.push(index);
                    continue;
                }
            };
            missing.entry(reason).or_default().push(index);
        }
        let reference = baseline.filter(|baseline| judged.contains(baseline));
        if let Some(reference) = reference.or(judged.first().copied())
            && matches!(self, Values::Ranked(_))
        {
            let reference = &combinations[reference];
            let (same, other) = judged
                .into_iter()
                .partition(|index| same_images(&combinations[*index], reference, columns));
            judged = same;
            if !Vec::is_empty(&other) {
                missing.insert(Missing::OtherImages, other);
            }
        }
        (judged, missing)
    }
}

/// Whether pruning stopped some of the combination's runs.
fn is_partly_pruned(combination: &Combination) -> bool {
    combination.runs.iter().any(|run| run.status == Status::Pruned)
}

/// Whether both were validated on the same images with each seed that both have.
pub(crate) fn same_images(left: &Combination, right: &Combination, columns: &[Column]) -> bool {
    let is_split = |column: &Column| SPLIT_SETTINGS.contains(&column.key.as_str());
    let splits = columns.iter().zip(left.settings.iter().zip(&right.settings));
    let same_split =
        splits.filter(|(column, _)| is_split(column)).all(|(_, (left, right))| left == right);
    let mut seeds = left.runs.iter().filter_map(|run| {
        let place = right.runs.binary_search_by_key(&run.seed, |other| other.seed).ok()?;
        Some((run, &right.runs[place]))
    });
    let same = |(run, other): (&RunSummary, &RunSummary)| match (
        &run.validation_fingerprint,
        &other.validation_fingerprint,
    ) {
        (Some(own), Some(other)) => own == other,
        // An earlier version of Kiln wrote the record.
        _ => same_split && run.validation_rows == other.validation_rows,
    };
    match seeds.next() {
        Some(first) => same(first) && seeds.all(same),
        None => same_split,
    }
}

fn verdict(found: BaselineDifference, sign: f64, level: f64) -> Verdict {
    let BaselineDifference { difference, interval: (low, high), p_value } = found;
    let outcome = if p_value >= level {
        VerdictOutcome::NotDistinguishable
    } else if difference > 0.0 {
        VerdictOutcome::Better
    } else {
        VerdictOutcome::Worse
    };
    let interval = if sign < 0.0 { (-high, -low) } else { (low, high) };
    Verdict { outcome, difference: sign * difference, interval, p_value }
}

/// How many more seeds halve the difference that can be found, up to a limit.
fn more_seeds(observations: &[Vec<Observation>], resolution: f64, level: f64) -> Option<MoreSeeds> {
    let seeds = observations.iter().map(Vec::len).min()?;
    let found_with = |seeds| detectable_difference(observations, resolution, level, seeds);
    let difference = found_with(seeds)?;
    let half = (1..MAX_NEW_SEEDS)
        .find(|more| found_with(seeds + more).is_some_and(|found| found <= difference / 2.0));
    let more = half.unwrap_or(MAX_NEW_SEEDS);
    let used: BTreeSet<u64> = observations.iter().flatten().map(|one| one.seed).collect();
    // A TOML file can have seeds up to the largest i64.
    let after = used.last().filter(|last| **last < i64::MAX as u64 - MAX_NEW_SEEDS as u64);
    let first = after.map_or(1, |last| last + 1);
    let new_seeds = (first..).filter(|seed| !used.contains(seed)).take(more).collect();
    let new_difference = found_with(seeds + more)?;
    Some(MoreSeeds { seeds, difference, new_seeds, new_difference, command: None })
}

fn notes(
    missing: &BTreeMap<Missing, Vec<usize>>,
    judged: &[usize],
    combinations: &[Combination],
    columns: &[Column],
) -> Vec<String> {
    let note = |(reason, indices): (&Missing, &Vec<usize>)| {
        let why = match reason {
            Missing::Pruned => {
                "pruning stopped some of its seeds, so the seeds that remain were selected by their results"
            }
            Missing::OneSeed if judged.is_empty() && combinations.len() > 1 => {
                return Some(
                    "One seed each: this says nothing about the settings, because two seeds of one setting can differ as much. Repeat them with more seeds."
                        .to_owned(),
                );
            }
            // A single setting is compared with nothing.
            Missing::OneSeed if judged.is_empty() => return None,
            Missing::OneSeed => "it has one seed, which says nothing about the setting",
            Missing::OtherImages => "it was validated on other images",
        };
        let labels = |index: &usize| combinations[*index].label(columns);
        Some(match indices.as_slice() {
            [only] => format!("No verdict for {}: {why}.", labels(only)),
            [first, others @ ..] => {
                format!("No verdict for {} and {} more: {why}.", labels(first), others.len())
            }
            [] => return None,
        })
    };
    missing.iter().filter_map(note).collect()
}
