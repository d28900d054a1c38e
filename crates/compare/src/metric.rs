//! The metrics of a run's history, reduced to the epochs that matter.

use kiln_store::History;

/// A metric of the history at the epochs by which runs are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSummary {
    /// The metric's column in `history.csv`: `val_accuracy`.
    pub name: String,
    /// The epoch with the best value; the earliest if several have it.
    pub best: Option<EpochValue>,
    /// The last epoch.
    pub last: Option<EpochValue>,
    /// The epoch whose weights the run keeps and tests; `None` until the run is finished.
    pub kept: Option<EpochValue>,
}

/// The value of a metric in one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochValue {
    /// Counted from 1.
    pub epoch: usize,
    /// The value; finite.
    pub value: f64,
}

/// The epoch of a run at which a metric is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEpoch {
    /// The epoch with the metric's best value.
    Best,
    /// The last epoch.
    Last,
    /// The epoch whose weights the run keeps.
    Kept,
}

/// Which of two values is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The higher one, as for an accuracy.
    Higher,
    /// The lower one, as for a loss.
    Lower,
}

impl AtEpoch {
    /// The word for headings: "best", "last", "kept".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
            Self::Kept => "kept",
        }
    }
}

impl Direction {
    /// The direction of a metric of the history.
    #[must_use]
    pub fn of_metric(name: &str) -> Self {
        if name.ends_with("loss") { Self::Lower } else { Self::Higher }
    }

    /// Whether `value` is better than `other`.
    #[must_use]
    pub fn is_better(self, value: f64, other: f64) -> bool {
        match self {
            Self::Higher => value > other,
            Self::Lower => value < other,
        }
    }
}

impl MetricSummary {
    /// Reads the metric from the history; `kept` is the number of the epoch whose weights are kept.
    pub(crate) fn new(name: &str, history: &History, kept: Option<usize>) -> Self {
        let direction = Direction::of_metric(name);
        let mut summary = Self { name: name.to_owned(), best: None, last: None, kept: None };
        for row in &history.rows {
            let value = row.metric(name).map(|value| EpochValue { epoch: row.epoch, value });
            if let Some(value) = value
                && summary.best.is_none_or(|best| direction.is_better(value.value, best.value))
            {
                summary.best = Some(value);
            }
            if kept == Some(row.epoch) {
                summary.kept = value;
            }
            // The last epoch's value, even if it has none: an earlier value is not the last one.
            summary.last = value;
        }
        summary
    }

    /// The value at that epoch.
    #[must_use]
    pub fn at(&self, at: AtEpoch) -> Option<EpochValue> {
        match at {
            AtEpoch::Best => self.best,
            AtEpoch::Last => self.last,
            AtEpoch::Kept => self.kept,
        }
    }
}
