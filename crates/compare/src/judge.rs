//! From runs to verdicts.

use std::collections::{BTreeMap, HashSet};

use kiln_store::{Outcomes, Status, in_parallel};

use crate::column::Column;
use crate::combination::{Combination, RunSummary};
use crate::statistics::{Difference, Discordant, Family, Spread, mcnemar, welch};
use crate::verdict::{Accuracy, Baseline, BaselineChoice, Method, Verdict, VerdictOutcome};

/// How often, at most, combinations that do not differ get a verdict.
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

/// Gives each tested combination its verdict against the one at `baseline`; what cannot be compared is told in notes.
pub(crate) fn judge(
    combinations: &mut [Combination],
    columns: &[Column],
    baseline: usize,
    chosen: BaselineChoice,
) -> (Option<Baseline>, Vec<String>) {
    let Some(against) = combinations.get(baseline).filter(|against| is_tested(against)) else {
        return (None, Vec::new());
    };
    let comparable = combinations
        .iter()
        .filter(|combination| is_tested(combination) && same_data(combination, against))
        .count();
    let comparisons = match chosen {
        BaselineChoice::Given => comparable.saturating_sub(1),
        BaselineChoice::Best => comparable * comparable.saturating_sub(1) / 2,
    };
    let family = Family { level: LEVEL, comparisons };
    // One question for all: by validation, which ranks, where every run that counts has any and on the same images.
    let compared = combinations.iter().filter(|combination| same_data(combination, against));
    let is_validated = |run: &RunSummary| run.best.is_some();
    let same_split = !columns.iter().any(|column| column.key.starts_with("data."));
    let accuracy = if same_split && compared.flat_map(tested).all(is_validated) {
        Accuracy::Validation
    } else {
        Accuracy::Test
    };
    let outcomes = baseline_outcomes(against, combinations, accuracy);
    let name = columns.iter().position(|column| column.key == "name");
    let bench = Bench { against, family, accuracy, outcomes, name };
    let verdicts = in_parallel(&combinations.iter().enumerate().collect::<Vec<_>>(), |item| {
        let (index, combination) = item;
        if *index == baseline || !is_tested(combination) {
            None
        } else {
            Some(bench.compare(combination))
        }
    });
    // By kind: of a thousand files that cannot be read, one is told.
    let mut missing: BTreeMap<u8, (Missing, Vec<String>)> = BTreeMap::new();
    for (combination, verdict) in combinations.iter_mut().zip(verdicts) {
        match verdict {
            None => {}
            Some(Ok(verdict)) => combination.verdict = Some(verdict),
            Some(Err(reason)) => {
                let (_, labels) = missing.entry(reason.kind()).or_insert((reason, Vec::new()));
                labels.push(combination.label(columns));
            }
        }
    }
    let notes = missing.into_values().map(|(reason, labels)| note(&reason, &labels)).collect();
    (Some(Baseline { combination: baseline, chosen, comparisons, level: LEVEL }), notes)
}

fn is_tested(combination: &Combination) -> bool {
    combination.runs.iter().any(|run| run.test.is_some())
}

fn tested(combination: &Combination) -> impl Iterator<Item = &RunSummary> {
    combination.runs.iter().filter(|run| run.test.is_some())
}

/// Whether the tested runs are what pruning left of several.
fn is_partly_pruned(combination: &Combination) -> bool {
    combination.runs.iter().any(|run| run.status == Status::Pruned)
}

/// Whether all tested runs of both had the same data.
fn same_data(left: &Combination, right: &Combination) -> bool {
    let mut runs = tested(left).chain(tested(right));
    let first = runs.next();
    first.is_none_or(|first| runs.all(|run| run.fingerprint == first.fingerprint))
}

fn note(reason: &Missing, labels: &[String]) -> String {
    let why = match reason {
        Missing::Pruned => {
            "some of its or the baseline's seeds were pruned, and what is left was chosen by what is compared"
        }
        Missing::SameSettings => {
            "its settings are the baseline's, and what differs is the noise of the seed"
        }
        Missing::OtherData => "not all of its and the baseline's runs had the same data",
        Missing::OtherImages => "its test images are not the baseline's",
        Missing::Predictions(problem) => problem,
    };
    match labels {
        [label] => format!("No verdict for {label}: {why}."),
        [label, others @ ..] => format!("No verdict for {label} and {} more: {why}.", others.len()),
        [] => String::new(),
    }
}

/// The baseline, ready to be compared with.
struct Bench<'a> {
    against: &'a Combination,
    family: Family,
    /// What is compared over seeds.
    accuracy: Accuracy,
    /// The column of the experiment's name, which is no setting, where names differ.
    name: Option<usize>,
    /// What its runs said of the test images, where a comparison needs that.
    outcomes: Vec<(u64, Result<Outcomes, String>)>,
}

/// Reads what the baseline's runs said of the images, where any comparison goes by images: for each seed that is
/// met with, and for its first run.
fn baseline_outcomes(
    against: &Combination,
    combinations: &[Combination],
    accuracy: Accuracy,
) -> Vec<(u64, Result<Outcomes, String>)> {
    let pairs = combinations.iter().filter(|combination| {
        is_tested(combination)
            && !std::ptr::eq(*combination, against)
            && !by_seeds(combination, against, accuracy)
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

/// Whether two combinations are compared over their seeds: both have several.
fn by_seeds(left: &Combination, right: &Combination, accuracy: Accuracy) -> bool {
    over_seeds(left, right, accuracy, Family { level: LEVEL, comparisons: 1 }).is_some()
}

fn over_seeds(
    combination: &Combination,
    against: &Combination,
    accuracy: Accuracy,
    family: Family,
) -> Option<Difference> {
    let (own, others) = (of_seeds(combination, accuracy)?, of_seeds(against, accuracy)?);
    welch(&own, &others, resolution(combination, accuracy), family)
}

/// The accuracy over the seeds of the tested runs. The seed decides all of a run, so a second run of one seed is the
/// same once more and no second witness.
fn of_seeds(combination: &Combination, accuracy: Accuracy) -> Option<Spread> {
    let mut seeds = HashSet::new();
    let runs = tested(combination).filter(|run| seeds.insert(run.seed));
    Spread::of(runs.filter_map(|run| match accuracy {
        Accuracy::Validation => run.best.map(|best| best.value),
        Accuracy::Test => run.test.map(|test| test.accuracy),
    }))
}

/// The step between two accuracies: one over the images that they are shares of.
fn resolution(combination: &Combination, accuracy: Accuracy) -> f64 {
    let images = tested(combination).filter_map(|run| match accuracy {
        Accuracy::Validation => Some(run.validation_rows),
        Accuracy::Test => run.test.map(|test| test.examples),
    });
    images.filter(|images| *images > 0).min().map_or(0.0, |images| 1.0 / images as f64)
}

/// A tested run of each, of the same seed where there are such, else the first ones.
fn pair<'a>(
    combination: &'a Combination,
    against: &'a Combination,
) -> Option<(&'a RunSummary, &'a RunSummary)> {
    let same_seed = tested(combination)
        .find_map(|run| Some((run, tested(against).find(|other| other.seed == run.seed)?)));
    same_seed.or_else(|| Some((tested(combination).next()?, tested(against).next()?)))
}

impl Bench<'_> {
    fn compare(&self, combination: &Combination) -> Result<Verdict, Missing> {
        if !same_data(combination, self.against) {
            return Err(Missing::OtherData);
        }
        if is_partly_pruned(combination) || is_partly_pruned(self.against) {
            return Err(Missing::Pruned);
        }
        let by_seeds = over_seeds(combination, self.against, self.accuracy, self.family);
        if let Some(difference) = by_seeds {
            return Ok(verdict(difference, self.family, Method::Welch, self.accuracy));
        }
        // One run each of the same settings differ on more images than chance would have it: by their seeds.
        let is_setting = |column: &usize| Some(*column) != self.name;
        let columns = 0..combination.settings.len();
        if columns
            .filter(is_setting)
            .all(|it| combination.settings[it] == self.against.settings[it])
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

/// The verdict on two runs from what they said of the same images; `None` where the images are not the same.
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

fn verdict(found: Difference, family: Family, method: Method, accuracy: Accuracy) -> Verdict {
    let outcome = if found.p_value >= family.level {
        VerdictOutcome::NotDistinguishable
    } else if found.difference > 0.0 {
        VerdictOutcome::Better
    } else {
        VerdictOutcome::Worse
    };
    let Difference { difference, interval, p_value } = found;
    // No difference of two shares is larger than 1.
    let interval = interval.map(|(low, high)| (low.max(-1.0), high.min(1.0)));
    Verdict { outcome, difference, interval, p_value, method, accuracy }
}
