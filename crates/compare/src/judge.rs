//! Decides for each combination whether its accuracy differs from the baseline's.

use std::collections::{BTreeMap, HashSet};

use kiln_store::{Outcomes, Status, in_parallel};

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::ranking::Ranking;
use crate::verdict::{Accuracy, Baseline, BaselineChoice, Method, Verdict, VerdictOutcome};
use kiln_statistics::{AccuracyDifference, Discordant, Family, Spread, mcnemar, welch};

/// The significance level: if no combinations differ, the probability of any verdict other than "not distinguishable" is
/// at most this.
pub(crate) const LEVEL: f64 = 0.05;

/// Why a combination has no verdict.
#[derive(Debug)]
enum Missing {
    Pruned,
    SameSettings,
    OtherData,
    OtherImages,
    Predictions(String),
}

impl Missing {
    /// The key by which reasons are grouped in the notes, and their order.
    fn kind(&self) -> u8 {
        match self {
            Missing::Pruned => 0,
            Missing::SameSettings => 1,
            Missing::OtherData => 2,
            Missing::OtherImages => 3,
            Missing::Predictions(_) => 4,
        }
    }
}

/// Gives each tested combination its verdict against the one at `baseline`, and notes which combinations have none.
pub(crate) fn judge(comparison: &mut Comparison, baseline: usize, chosen: BaselineChoice) {
    let Comparison { combinations, columns, ranking, .. } = &*comparison;
    // A baseline without test results cannot be compared with anything.
    let Some(against) = combinations.get(baseline).filter(|against| against.is_tested()) else {
        return;
    };
    let comparable = combinations
        .iter()
        .filter(|combination| combination.is_tested() && same_data(combination, against))
        .count();
    let comparisons = match chosen {
        BaselineChoice::Given => comparable.saturating_sub(1),
        // The best was chosen by looking at the results, so every pair could have been the one that is compared.
        BaselineChoice::Best => comparable * comparable.saturating_sub(1) / 2,
    };
    let family = Family { level: LEVEL, comparisons };
    // All verdicts over seeds must be about the same accuracy. It is the one that ranks, unless a tested run was not
    // validated or the validation sets may differ.
    let compared = combinations.iter().filter(|combination| same_data(combination, against));
    let is_validated = |run: &RunSummary| ranking.of_run(run).is_some();
    let same_split = !columns.iter().any(|column| column.key.starts_with("data."));
    let accuracy = if same_split && compared.flat_map(tested).all(is_validated) {
        Accuracy::Validation
    } else {
        Accuracy::Test
    };
    let over_seeds = OverSeeds { accuracy, ranking };
    let outcomes = baseline_outcomes(against, combinations, over_seeds);
    let name = columns.iter().position(|column| column.key == "name");
    let context = BaselineContext { against, family, over_seeds, outcomes, name };
    let verdicts = in_parallel(&combinations.iter().enumerate().collect::<Vec<_>>(), |item| {
        let (index, combination) = item;
        if *index == baseline || !combination.is_tested() {
            None
        } else {
            Some(context.compare(combination))
        }
    });
    // Grouped by kind, so that a thousand unreadable files make one note.
    let mut missing: BTreeMap<u8, (Missing, Vec<String>)> = BTreeMap::new();
    let mut found = Vec::with_capacity(combinations.len());
    for (combination, verdict) in combinations.iter().zip(verdicts) {
        found.push(match verdict {
            Some(Ok(verdict)) => Some(verdict),
            Some(Err(reason)) => {
                let (_, labels) = missing.entry(reason.kind()).or_insert((reason, Vec::new()));
                labels.push(combination.label(columns));
                None
            }
            None => None,
        });
    }
    for (combination, verdict) in comparison.combinations.iter_mut().zip(found) {
        combination.verdict = verdict;
    }
    comparison.notes =
        missing.into_values().map(|(reason, labels)| note(&reason, &labels)).collect();
    comparison.baseline =
        Some(Baseline { combination: baseline, chosen, comparisons, level: LEVEL });
}

fn tested(combination: &Combination) -> impl Iterator<Item = &RunSummary> {
    combination.runs.iter().filter(|run| run.test.is_some())
}

/// Whether pruning stopped some of the combination's runs.
fn is_partly_pruned(combination: &Combination) -> bool {
    combination.runs.iter().any(|run| run.status == Status::Pruned)
}

/// Whether all tested runs of both used the same dataset.
fn same_data(left: &Combination, right: &Combination) -> bool {
    let mut runs = tested(left).chain(tested(right));
    let first = runs.next();
    first.is_none_or(|first| runs.all(|run| run.fingerprint == first.fingerprint))
}

fn note(reason: &Missing, labels: &[String]) -> String {
    let why = match reason {
        Missing::Pruned => {
            "pruning stopped some of its seeds or the baseline's, so the seeds that remain were selected by their results"
        }
        Missing::SameSettings => {
            "it has the baseline's settings, so any difference is the noise of the seed"
        }
        Missing::OtherData => "its runs and the baseline's did not all use the same dataset",
        Missing::OtherImages => "its test images are not the baseline's",
        Missing::Predictions(problem) => problem,
    };
    match labels {
        [label] => format!("No verdict for {label}: {why}."),
        [label, others @ ..] => format!("No verdict for {label} and {} more: {why}.", others.len()),
        [] => String::new(),
    }
}

/// The baseline and everything that a comparison with it needs.
struct BaselineContext<'a> {
    against: &'a Combination,
    family: Family,
    over_seeds: OverSeeds<'a>,
    /// The column of the experiment's name, if names differ. The name is not a setting.
    name: Option<usize>,
    /// The baseline's test predictions by seed, if a comparison needs them.
    outcomes: Vec<(u64, Result<Outcomes, String>)>,
}

/// How combinations with several seeds are compared: the accuracy, and the ranking that yields the validation accuracy.
#[derive(Clone, Copy)]
struct OverSeeds<'a> {
    accuracy: Accuracy,
    ranking: &'a Ranking,
}

/// Reads the baseline's predictions once, for all combinations that are compared with it by images: those of the runs
/// with the same seeds, and of its first run.
fn baseline_outcomes(
    against: &Combination,
    combinations: &[Combination],
    over_seeds: OverSeeds<'_>,
) -> Vec<(u64, Result<Outcomes, String>)> {
    let pairs = combinations.iter().filter(|combination| {
        combination.is_tested()
            && !std::ptr::eq(*combination, against)
            && !over_seeds.can_compare(combination, against)
    });
    let mut runs: Vec<&RunSummary> =
        pairs.filter_map(|other| Some(pair(other, against)?.1)).collect();
    runs.sort_by_key(|run| run.seed);
    runs.dedup_by_key(|run| run.seed);
    in_parallel(&runs, |run| (run.seed, read_outcomes(run)))
}

fn read_outcomes(run: &RunSummary) -> Result<Outcomes, String> {
    Outcomes::read(&run.directory).map_err(|error| error.to_string())
}

impl OverSeeds<'_> {
    /// Whether both combinations have several seeds.
    fn can_compare(self, left: &Combination, right: &Combination) -> bool {
        self.compare(left, right, Family { level: LEVEL, comparisons: 1 }).is_some()
    }

    fn compare(
        self,
        combination: &Combination,
        against: &Combination,
        family: Family,
    ) -> Option<AccuracyDifference> {
        let (own, baseline) = (self.spread(combination)?, self.spread(against)?);
        welch(&own, &baseline, self.resolution(combination), family)
    }

    /// Mean and deviation over the seeds of the tested runs. The seed decides everything in a run, so a second run with
    /// the same seed is not a second observation.
    fn spread(self, combination: &Combination) -> Option<Spread> {
        let mut seeds = HashSet::new();
        let runs = tested(combination).filter(|run| seeds.insert(run.seed));
        Spread::of(runs.filter_map(|run| match self.accuracy {
            Accuracy::Validation => self.ranking.of_run(run),
            Accuracy::Test => run.test.map(|test| test.accuracy),
        }))
    }

    /// The smallest step between two accuracies: one image of the smallest set.
    fn resolution(self, combination: &Combination) -> f64 {
        let images = tested(combination).filter_map(|run| match self.accuracy {
            Accuracy::Validation => Some(run.validation_rows),
            Accuracy::Test => run.test.map(|test| test.examples),
        });
        images.filter(|images| *images > 0).min().map_or(0.0, |images| 1.0 / images as f64)
    }
}

/// A tested run of each: two with the same seed if there are any, otherwise the first ones.
fn pair<'a>(
    combination: &'a Combination,
    against: &'a Combination,
) -> Option<(&'a RunSummary, &'a RunSummary)> {
    let same_seed = tested(combination)
        .find_map(|run| Some((run, tested(against).find(|other| other.seed == run.seed)?)));
    same_seed.or_else(|| Some((tested(combination).next()?, tested(against).next()?)))
}

impl BaselineContext<'_> {
    fn compare(&self, combination: &Combination) -> Result<Verdict, Missing> {
        if !same_data(combination, self.against) {
            return Err(Missing::OtherData);
        }
        if is_partly_pruned(combination) || is_partly_pruned(self.against) {
            return Err(Missing::Pruned);
        }
        let by_seeds = self.over_seeds.compare(combination, self.against, self.family);
        if let Some(difference) = by_seeds {
            return Ok(verdict(difference, self.family, Method::Welch, self.over_seeds.accuracy));
        }
        // Two runs with the same settings and different seeds differ on many images. The test by images would often
        // call one of them better, although only the seeds differ.
        let is_setting = |column: &usize| Some(*column) != self.name;
        let columns = 0..combination.settings.len();
        if columns
            .filter(is_setting)
            .all(|column| combination.settings[column] == self.against.settings[column])
        {
            return Err(Missing::SameSettings);
        }
        let no_predictions = || Missing::Predictions("it has no predictions".to_owned());
        let (run, other) = pair(combination, self.against).ok_or_else(no_predictions)?;
        let baseline = self.outcomes.iter().find(|(seed, _)| *seed == other.seed);
        let (_, baseline) = baseline.ok_or_else(no_predictions)?;
        let baseline =
            baseline.as_ref().map_err(|problem| Missing::Predictions(problem.clone()))?;
        let own = read_outcomes(run).map_err(Missing::Predictions)?;
        by_images(&own, baseline, self.family).ok_or(Missing::OtherImages)
    }
}

/// The verdict on two runs from their predictions for the same test images; `None` if the images are not the same.
pub(crate) fn by_images(run: &Outcomes, baseline: &Outcomes, family: Family) -> Option<Verdict> {
    if run.labels != baseline.labels || run.class_names != baseline.class_names {
        return None;
    }
    let pairs = || run.right.iter().zip(&baseline.right);
    let counts = Discordant {
        only_first: pairs().filter(|(run, baseline)| **run && !**baseline).count(),
        only_second: pairs().filter(|(run, baseline)| !**run && **baseline).count(),
        images: run.labels.len(),
    };
    Some(verdict(mcnemar(counts, family)?, family, Method::McNemar, Accuracy::Test))
}

fn verdict(
    estimate: AccuracyDifference,
    family: Family,
    method: Method,
    accuracy: Accuracy,
) -> Verdict {
    let outcome = if estimate.p_value >= family.level {
        VerdictOutcome::NotDistinguishable
    } else if estimate.difference > 0.0 {
        VerdictOutcome::Better
    } else {
        VerdictOutcome::Worse
    };
    let AccuracyDifference { difference, interval, p_value } = estimate;
    // The difference of two shares is between -1 and 1. Welch's interval is not limited to that range.
    let interval = interval.map(|(low, high)| (low.max(-1.0), high.min(1.0)));
    Verdict { outcome, difference, interval, p_value, method, accuracy }
}
