//! The metrics of a run's history, reduced to the epochs that matter.

use std::collections::HashMap;

use kiln_store::{Direction, History};

/// A metric of the history at the epochs by which runs are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSummary {
    /// The metric's column in `history.csv`: `val_accuracy`.
    pub name: String,
    /// Whether lower or higher values are better, as `run.json` says.
    pub better: Direction,
    /// The epoch with the best value; the earliest if several have it.
    pub best: Option<EpochValue>,
    /// The last epoch.
    pub last: Option<EpochValue>,
    /// The epoch whose weights the run keeps and tests, or would keep if it ended now.
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

impl MetricSummary {
    /// Reads these metrics from the history. The kept epoch is set by [`set_kept`].
    pub(crate) fn all<'a>(
        metrics: impl IntoIterator<Item = (&'a str, Direction)>,
        history: &History,
    ) -> Vec<Self> {
        let mut summaries = Vec::new();
        let mut places = HashMap::new();
        for (place, (name, better)) in metrics.into_iter().enumerate() {
            places.insert(name, place);
            let name = name.to_owned();
            summaries.push(Self { name, better, best: None, last: None, kept: None });
        }
        let last = history.rows.len();
        // One pass over all values, because a history may have many columns and many epochs.
        for row in &history.rows {
            for (name, value) in row.metrics.iter().filter(|(_, value)| value.is_finite()) {
                let Some(place) = places.get(&**name) else { continue };
                let summary = &mut summaries[*place];
                let value = EpochValue { epoch: row.epoch, value: *value };
                let improves =
                    |best: EpochValue| summary.better.improves(value.value, best.value, 0.0);
                if summary.best.is_none_or(improves) {
                    summary.best = Some(value);
                }
                if row.epoch == last {
                    summary.last = Some(value);
                }
            }
        }
        summaries
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

/// Sets the values of the epoch whose weights are kept.
pub(crate) fn set_kept(summaries: &mut [MetricSummary], history: &History, epoch: usize) {
    let Some(row) = history.rows.iter().find(|row| row.epoch == epoch) else { return };
    // A map, because a history may have many columns.
    let values: HashMap<&str, f64> =
        row.metrics.iter().map(|(name, value)| (&**name, *value)).collect();
    for summary in summaries {
        let value = values.get(summary.name.as_str()).filter(|value| value.is_finite());
        summary.kept = value.map(|value| EpochValue { epoch, value: *value });
    }
}
