use kiln_store::EpochRow;
use serde::{Deserialize, Serialize};

kiln_config::keywords! {
    /// What a monitor can watch: a column of the history.
    pub enum Metric {
        /// The running training loss.
        Loss = "loss",
        /// The running training accuracy.
        Accuracy = "accuracy",
        /// The validation loss.
        ValLoss = "val_loss",
        /// The validation accuracy.
        ValAccuracy = "val_accuracy",
    }
}

impl Metric {
    /// Whether it needs validation rows.
    #[must_use]
    pub const fn needs_validation(self) -> bool {
        matches!(self, Self::ValLoss | Self::ValAccuracy)
    }

    /// Its value in an epoch.
    #[must_use]
    pub fn of(self, row: &EpochRow) -> Option<f64> {
        row.metric(self.as_str())
    }

    /// Whether `value` is better than `best` by more than `min_delta`.
    #[must_use]
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Loss | Self::ValLoss => value < best - min_delta,
            Self::Accuracy | Self::ValAccuracy => value > best + min_delta,
        }
    }
}

/// Follows a metric over the epochs and remembers the best.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    pub(crate) metric: Metric,
    min_delta: f64,
    pub(crate) state: MonitorState,
}

/// What a monitor remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MonitorState {
    best: Option<f64>,
    /// Epochs since the last improvement.
    pub(crate) waited: usize,
}

impl Monitor {
    pub(crate) fn new(metric: Metric, min_delta: f64) -> Self {
        Self { metric, min_delta, state: MonitorState::default() }
    }

    /// Takes an epoch in; whether it is the best so far. The first always is.
    pub(crate) fn observe(&mut self, row: &EpochRow) -> bool {
        let Some(value) = self.metric.of(row) else { return false };
        let MonitorState { best, waited } = &mut self.state;
        let better = best.is_none_or(|best| self.metric.improves(value, best, self.min_delta));
        if better {
            (*best, *waited) = (Some(value), 0);
        } else {
            *waited = waited.saturating_add(1);
        }
        better
    }
}
