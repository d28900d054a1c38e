//! The order of the combinations.

use std::borrow::Cow;
use std::cmp::Ordering;

use kiln_store::Direction;

use crate::combination::{Combination, RunSummary};
use crate::measures::Measure;
use crate::metric::AtEpoch;
use kiln_statistics::Spread;

/// The metric that ranks unless another one is chosen.
pub const DEFAULT_METRIC: &str = "val_accuracy";

/// The metric of the history that ranks, and the epoch of each run at which it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    /// The metric's column in `history.csv`.
    pub metric: Cow<'static, str>,
    /// The epoch.
    pub at: AtEpoch,
}

impl Default for Ranking {
    fn default() -> Self {
        Self { metric: Cow::Borrowed(DEFAULT_METRIC), at: AtEpoch::Best }
    }
}

impl Ranking {
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

    /// The heading: "best val_accuracy".
    #[must_use]
    pub fn heading(&self) -> String {
        format!("{} {}", self.at.as_str(), self.metric)
    }

    /// The measure that shows the values, if there is one.
    #[must_use]
    pub fn measure(&self) -> Option<&'static Measure> {
        Measure::find(&format!("{}_{}", self.at.as_str(), self.metric))
    }

    /// Whether any combination has a value to rank by.
    pub(crate) fn has_values(&self, combinations: &[Combination]) -> bool {
        combinations.iter().any(|combination| self.of(combination).is_some())
    }

    /// Sorts the combinations: first those whose runs all finished, then those with some finished runs, then the others.
    /// Each group is sorted by the mean, the best first, combinations without a value last; equal ones are sorted by
    /// their settings. If no combination has a value, the settings alone decide.
    pub(crate) fn sort(&self, combinations: &mut [Combination]) {
        let has_values = self.has_values(combinations);
        let better = self.better(combinations);
        combinations.sort_by(|left, right| {
            let by_value =
                if has_values { self.compare(left, right, better) } else { Ordering::Equal };
            by_value.then_with(|| compare_settings(&left.settings, &right.settings))
        });
    }

    fn compare(&self, left: &Combination, right: &Combination, better: Direction) -> Ordering {
        let mean = |combination| self.of(combination).map(|spread| spread.mean);
        group(left).cmp(&group(right)).then_with(|| best_first(better, mean(left), mean(right)))
    }

    /// Whether lower or higher values of the metric are better, as recorded by the first run that has the metric.
    pub(crate) fn better(&self, combinations: &[Combination]) -> Direction {
        let runs = combinations.iter().flat_map(|combination| &combination.runs);
        let mut metrics = runs.flat_map(|run| &run.metrics);
        let found = metrics.find(|metric| *metric.name == *self.metric);
        found.map_or_else(|| Direction::of_name(&self.metric), |metric| metric.better)
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
