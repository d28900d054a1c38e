//! The measures of a comparison: everything that it reports about a run as a number.
//!
//! [`MEASURES`] lists them. [`Comparison::measures`] adds the metric that ranks if the list does not have it. The tables in
//! the terminal, CSV, Markdown, JSON and the page, the heatmaps, `--sort` and `--columns` iterate over it, so a new measure
//! is one row here and its test. JSON also has some of these numbers as fields of a run, which are listed there by hand.

use std::fmt;

use kiln_store::Direction;
use kiln_store::number::{decimals, grouped};

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::metric::AtEpoch;
use crate::ranking::DEFAULT_METRIC;
use kiln_statistics::Spread;

/// A number that a comparison reports about a run. A combination reports its mean and deviation over the runs that
/// count.
#[derive(Clone, Copy)]
pub struct Measure<'a> {
    /// The name in JSON: `best_val_accuracy`.
    pub key: &'a str,
    /// The heading of the column: `best val_accuracy`. With underscores it is the name in CSV.
    pub heading: &'a str,
    /// Whether lower or higher values are better; `None` if neither is. Only measures with a direction have heatmaps.
    pub direction: Option<Direction>,
    /// How tables show the numbers. CSV and JSON have them in full precision.
    pub format: Format,
    /// When the tables have the column without being asked for it.
    pub shown: Shown,
    /// The order in which a narrow terminal omits columns, lowest first; see [`drop_order`]. The measure that ranks is
    /// never omitted; others without a number only with the settings. The page puts the columns in the opposite order.
    pub drop_order: Option<u8>,
    /// Where the value comes from.
    pub value: MeasureValue<'a>,
}

/// Where the value of a [`Measure`] comes from.
#[derive(Debug, Clone, Copy)]
pub enum MeasureValue<'a> {
    /// From the summary of the run.
    OfRun(fn(&RunSummary) -> Option<f64>),
    /// The value of this metric of the history at this epoch.
    Metric(&'a str, AtEpoch),
    /// The number of that epoch.
    Epoch(&'a str, AtEpoch),
}

/// When a table has a column without being asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In every comparison.
    Always,
    /// In every comparison, but after the other columns in CSV, whose positions earlier versions of Kiln have set.
    AlwaysLast,
    /// If not all combinations have the same value. These columns come last, so the positions of the other columns in
    /// CSV do not depend on them.
    IfDifferent,
}

/// How tables show a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A share or a loss, with its deviation and the number of runs: `0.8640 ± 0.0002 (2)`.
    Decimal,
    /// The number of an epoch: `2`, and `2.5` for the mean of several runs.
    Epoch,
    /// Seconds: `21.5`.
    Seconds,
    /// A whole number: `286,810`.
    Count,
}

/// The points at which a narrow terminal changes columns other than measures; see [`Measure::drop_order`].
pub mod drop_order {
    /// Verdicts say "unclear" instead of "not distinguishable".
    pub const SHORT_OUTCOME: u8 = 0;
    /// Notes go, which `kiln show` has in full.
    pub const NOTE: u8 = 5;
    /// Settings with very long texts, such as lists of layers, are cut.
    pub const LONG_SETTINGS: u8 = 15;
    /// The status goes, if all runs are finished.
    pub const STATUS_IF_FINISHED: u8 = 25;
    /// Verdicts lose their difference and interval. The page puts measures that go later before the verdict.
    pub const VERDICT_NUMBERS: u8 = 50;
    /// The tags go.
    pub const TAGS: u8 = 55;
    /// The run's id goes.
    pub const RUN: u8 = 60;
    /// Settings with long texts are cut.
    pub const SETTINGS: u8 = 65;
    /// The distance to the best is omitted, after the test accuracy.
    pub const BEHIND: u8 = 72;
    /// Settings are cut to a few words.
    pub const SHORT_SETTINGS: u8 = 75;
    /// The status goes, whatever it is.
    pub const STATUS: u8 = 90;
}

/// All measures, in the order of the columns that people read.
pub static MEASURES: [Measure<'static>; 9] = [
    Measure {
        key: "kept_epoch",
        heading: "kept epoch",
        format: Format::Epoch,
        shown: Shown::AlwaysLast,
        drop_order: Some(30),
        value: MeasureValue::Epoch(DEFAULT_METRIC, AtEpoch::Kept),
        ..NEUTRAL
    },
    Measure {
        key: "kept_val_accuracy",
        heading: "kept val_accuracy",
        shown: Shown::AlwaysLast,
        drop_order: Some(22),
        value: MeasureValue::Metric(DEFAULT_METRIC, AtEpoch::Kept),
        ..HIGHER_IS_BETTER
    },
    Measure {
        key: "best_epoch",
        heading: "best epoch",
        format: Format::Epoch,
        drop_order: Some(18),
        value: MeasureValue::Epoch(DEFAULT_METRIC, AtEpoch::Best),
        ..NEUTRAL
    },
    Measure {
        key: "best_val_accuracy",
        heading: "best val_accuracy",
        drop_order: Some(24),
        value: MeasureValue::Metric(DEFAULT_METRIC, AtEpoch::Best),
        ..HIGHER_IS_BETTER
    },
    Measure {
        key: "last_val_accuracy",
        heading: "last val_accuracy",
        drop_order: Some(20),
        value: MeasureValue::Metric(DEFAULT_METRIC, AtEpoch::Last),
        ..HIGHER_IS_BETTER
    },
    Measure {
        key: "test_loss",
        heading: "test loss",
        drop_order: Some(40),
        value: MeasureValue::OfRun(|run| run.test?.loss),
        ..LOWER_IS_BETTER
    },
    Measure {
        key: "test_accuracy",
        heading: "test accuracy",
        drop_order: Some(70),
        value: MeasureValue::OfRun(|run| Some(run.test?.accuracy)),
        ..HIGHER_IS_BETTER
    },
    Measure {
        key: "training_seconds",
        heading: "seconds",
        format: Format::Seconds,
        drop_order: Some(10),
        value: MeasureValue::OfRun(|run| run.training_seconds),
        ..LOWER_IS_BETTER
    },
    Measure {
        key: "parameters",
        heading: "parameters",
        format: Format::Count,
        shown: Shown::IfDifferent,
        drop_order: Some(5),
        value: MeasureValue::OfRun(|run| Some(run.parameters as f64)),
        ..NEUTRAL
    },
];

/// The basis of the rows above, which replace what differs: a decimal number without a direction, always shown.
const NEUTRAL: Measure<'static> = Measure {
    key: "",
    heading: "",
    direction: None,
    format: Format::Decimal,
    shown: Shown::Always,
    drop_order: None,
    value: MeasureValue::OfRun(|_| None),
};
const HIGHER_IS_BETTER: Measure<'static> =
    Measure { direction: Some(Direction::Higher), ..NEUTRAL };
const LOWER_IS_BETTER: Measure<'static> = Measure { direction: Some(Direction::Lower), ..NEUTRAL };

impl Measure<'static> {
    /// The measure of [`MEASURES`] with this key.
    #[must_use]
    pub fn find(key: &str) -> Option<Self> {
        MEASURES.iter().find(|measure| measure.key == key).copied()
    }
}

impl Measure<'_> {
    /// The value of one run; `None` if the run has none.
    #[must_use]
    pub fn of_run(&self, run: &RunSummary) -> Option<f64> {
        match self.value {
            MeasureValue::OfRun(value) => value(run),
            MeasureValue::Metric(metric, at) => Some(run.metric(metric, at)?.value),
            MeasureValue::Epoch(metric, at) => Some(run.metric(metric, at)?.epoch as f64),
        }
    }

    /// Mean and deviation over the combination's runs that count; `None` if none of them has a value.
    #[must_use]
    pub fn of(&self, combination: &Combination) -> Option<Spread> {
        combination.spread(|run| self.of_run(run))
    }

    /// Whether people see the column without asking for it.
    pub(crate) fn is_shown(&self, comparison: &Comparison) -> bool {
        let mean = |combination| self.of(combination).map(|spread| spread.mean);
        match self.shown {
            Shown::Always | Shown::AlwaysLast => !self.repeats_ranking(comparison),
            Shown::IfDifferent => {
                let mut combinations = comparison.combinations.iter();
                let first = combinations.next().map(mean);
                combinations.any(|other| Some(mean(other)) != first)
            }
        }
    }

    /// Whether the measure is about another epoch than the ranking, but that is the same epoch in every run: the last
    /// epoch is that of the kept weights with `training.weights = "last"`.
    fn repeats_ranking(&self, comparison: &Comparison) -> bool {
        let (MeasureValue::Metric(metric, at) | MeasureValue::Epoch(metric, at)) = self.value
        else {
            return false;
        };
        let ranking = &comparison.ranking;
        metric == ranking.metric()
            && at != ranking.at()
            && comparison
                .runs()
                .all(|run| run.metric(metric, at) == run.metric(metric, ranking.at()))
    }
}

impl Comparison {
    /// [`MEASURES`], with the one that ranks in its place or, if it is none of them, at the front.
    #[must_use]
    pub fn measures(&self) -> Vec<Measure<'_>> {
        let ranked = self.ranking.measure();
        let mut measures: Vec<Measure<'_>> = MEASURES.to_vec();
        match measures.iter_mut().find(|measure| **measure == ranked) {
            Some(known) => *known = ranked,
            None => {
                measures.insert(0, ranked);
                measures.splice(0..0, self.ranking.epoch_measure());
            }
        }
        measures
    }

    /// The measures that people see without asking for them, those that a reader needs most first.
    pub(crate) fn shown_measures(&self) -> Vec<Measure<'_>> {
        let mut measures = self.measures_by_importance();
        measures.retain(|measure| measure.is_shown(self));
        measures
    }

    /// The measures that a reader needs most, first.
    fn measures_by_importance(&self) -> Vec<Measure<'_>> {
        let mut measures = self.measures();
        measures.sort_by_key(|measure| std::cmp::Reverse(measure.drop_order.unwrap_or(u8::MAX)));
        measures
    }
}

// Two measures are the same if they have the same key; addresses of functions say nothing.
impl PartialEq for Measure<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Measure<'_> {}

impl fmt::Debug for Measure<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Measure({})", self.key)
    }
}

impl Format {
    /// The decimals of a mean.
    #[must_use]
    pub fn decimals(self) -> usize {
        match self {
            Self::Decimal => 4,
            Self::Epoch | Self::Seconds => 1,
            Self::Count => 0,
        }
    }

    /// Whether a mean has its deviation next to it.
    #[must_use]
    pub fn has_deviation(self) -> bool {
        self == Self::Decimal
    }

    /// The mean of `count` runs as text.
    pub(crate) fn mean(self, mean: f64, count: usize) -> String {
        match self {
            Self::Epoch if count == 1 => decimals(Some(mean), 0),
            Self::Count => grouped(mean.round() as u64),
            _ => decimals(Some(mean), self.decimals()),
        }
    }

    /// The deviation as text; empty if there is only one run, or if this format has none.
    pub(crate) fn deviation(self, spread: Spread) -> String {
        decimals(spread.deviation.filter(|_| self.has_deviation()), self.decimals())
    }
}
