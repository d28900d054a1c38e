//! The order of the combinations.

use std::cmp::Ordering;

use kiln_store::Direction;

use crate::combination::{Combination, RunSummary};
use crate::measures::{Format, Measure, MeasureValue, Shown};
use crate::metric::AtEpoch;
use kiln_statistics::Spread;

/// The metric that ranks unless another one is chosen.
pub const DEFAULT_METRIC: &str = "val_accuracy";

/// The metric of the history that ranks, and the epoch of each run at which it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    metric: String,
    at: AtEpoch,
    better: Direction,
    /// The key and the heading of its measure.
    key: String,
    heading: String,
    /// The key and the heading of the measure of its epoch.
    epoch_key: String,
    epoch_heading: String,
}

impl Default for Ranking {
    fn default() -> Self {
        Self::new(DEFAULT_METRIC, AtEpoch::Kept)
    }
}

impl Ranking {
    /// Ranks by this column of `history.csv`.
    #[must_use]
    pub fn new(metric: &str, at: AtEpoch) -> Self {
        let word = at.as_str();
        Self {
            metric: metric.to_owned(),
            at,
            better: Direction::of_name(metric),
            key: format!("{word}_{metric}"),
            heading: format!("{word} {metric}"),
            epoch_key: format!("{word}_{metric}_epoch"),
            epoch_heading: format!("epoch of {word} {metric}"),
        }
    }

    /// The metric's column in `history.csv`.
    #[must_use]
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// The epoch.
    #[must_use]
    pub fn at(&self) -> AtEpoch {
        self.at
    }

    /// Whether lower or higher values of the metric are better.
    #[must_use]
    pub fn better(&self) -> Direction {
        self.better
    }

    /// The value by which the run is ranked.
    #[must_use]
    pub fn of_run(&self, run: &RunSummary) -> Option<f64> {
        run.metric(&self.metric, self.at).map(|found| found.value)
    }

    /// Mean and deviation over the combination's runs that count; the mean ranks.
    #[must_use]
    pub fn of(&self, combination: &Combination) -> Option<Spread> {
        combination.spread(|run| self.of_run(run))
    }

    /// The heading: "kept val_accuracy".
    #[must_use]
    pub fn heading(&self) -> &str {
        &self.heading
    }

    /// The measure that shows the values.
    #[must_use]
    pub fn measure(&self) -> Measure<'_> {
        Measure {
            key: &self.key,
            heading: &self.heading,
            direction: Some(self.better),
            format: Format::Decimal,
            shown: Shown::AlwaysLast,
            drop_order: None,
            value: MeasureValue::Metric(&self.metric, self.at),
        }
    }

    /// The measure that shows the numbers of the epochs, if [`MEASURES`](crate::MEASURES) has none for them.
    pub(crate) fn epoch_measure(&self) -> Option<Measure<'_>> {
        (self.at == AtEpoch::Best && self.metric != DEFAULT_METRIC).then(|| Measure {
            key: &self.epoch_key,
            heading: &self.epoch_heading,
            direction: None,
            format: Format::Epoch,
            drop_order: Some(30),
            value: MeasureValue::Epoch(&self.metric, self.at),
            ..self.measure()
        })
    }

    /// Takes the direction of the metric from the first run that has recorded it.
    pub(crate) fn read_direction<'a>(&mut self, runs: impl Iterator<Item = &'a RunSummary>) {
        let mut metrics = runs.flat_map(|run| &run.metrics);
        if let Some(found) = metrics.find(|metric| *metric.name == *self.metric) {
            self.better = found.better;
        }
    }

    /// Whether any combination has a value to rank by.
    pub(crate) fn has_values(&self, combinations: &[Combination]) -> bool {
        combinations.iter().any(|combination| self.of(combination).is_some())
    }

    /// Sorts the combinations: first those whose runs all finished, then those with some finished runs, then the others.
    /// Each group is sorted by the mean, the best first, combinations without a value last; equal ones are sorted by
    /// their settings. If no combination has a value, the settings alone decide.
    pub(crate) fn sort(&self, combinations: &mut Vec<Combination>) {
        let has_values = self.has_values(combinations);
        // Each value is computed once, and not for each comparison.
        let mut valued: Vec<(u8, Option<f64>, Combination)> = combinations
            .drain(..)
            .map(|one| (group(&one), self.of(&one).map(|spread| spread.mean), one))
            .collect();
        valued.sort_by(|left, right| {
            let by_mean = || best_first(self.better, left.1, right.1);
            let by_value =
                if has_values { left.0.cmp(&right.0).then_with(by_mean) } else { Ordering::Equal };
            by_value.then_with(|| compare_settings(&left.2.settings, &right.2.settings))
        });
        combinations.extend(valued.into_iter().map(|(.., combination)| combination));
    }
}

/// The groups of the ranking: all runs finished, some, none.
fn group(combination: &Combination) -> u8 {
    match combination.finished() {
        0 => 2,
        finished if finished < combination.runs.len() => 1,
        _ => 0,
    }
}

/// Orders the better number first, and a missing one last.
pub(crate) fn best_first(better: Direction, left: Option<f64>, right: Option<f64>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => match better {
            Direction::Higher => right.total_cmp(&left),
            Direction::Lower => left.total_cmp(&right),
        },
        (left, right) => right.is_some().cmp(&left.is_some()),
    }
}

/// Compares column by column; the first difference decides.
fn compare_settings(left: &[Option<String>], right: &[Option<String>]) -> Ordering {
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| compare_values(left.as_deref(), right.as_deref()))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Orders numbers by size, then text, then missing settings.
pub(crate) fn compare_values(left: Option<&str>, right: Option<&str>) -> Ordering {
    let (Some(left), Some(right)) = (left, right) else {
        return right.is_some().cmp(&left.is_some());
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    best_first(Direction::Lower, number(left), number(right)).then_with(|| left.cmp(right))
}
