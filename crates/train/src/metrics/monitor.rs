use kiln_store::EpochRow;
use serde::{Deserialize, Serialize};

use super::MetricName;

/// Follows a metric over the epochs and remembers its best value.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    pub(crate) metric: MetricName,
    /// How much better a value must be to count as an improvement.
    pub(crate) min_delta: f64,
    pub(crate) state: MonitorState,
}

/// The memory of a monitor. A checkpoint stores it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MonitorState {
    /// The best value so far.
    best: Option<f64>,
    /// Epochs since the last improvement.
    pub(crate) waited: usize,
}

impl MonitorState {
    /// Whether any epoch had a value.
    pub(crate) fn has_best(&self) -> bool {
        self.best.is_some()
    }
}

impl Monitor {
    pub(crate) fn new(metric: MetricName, min_delta: f64) -> Self {
        Self { metric, min_delta, state: MonitorState::default() }
    }

    /// Records an epoch. Returns whether it is the best so far, which the first always is. An epoch without a value is
    /// skipped.
    pub(crate) fn observe(&mut self, row: &EpochRow) -> bool {
        let Some(value) = self.metric.of(row) else { return false };
        let MonitorState { best, waited } = &mut self.state;
        let is_better =
            best.is_none_or(|best| self.metric.better().improves(value, best, self.min_delta));
        if is_better {
            (*best, *waited) = (Some(value), 0);
        } else {
            *waited = waited.saturating_add(1);
        }
        is_better
    }
}
