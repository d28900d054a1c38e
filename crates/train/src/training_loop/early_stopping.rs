use kiln_store::EpochRow;

use crate::experiment::EarlyStoppingConfig;
use crate::metrics::{Monitor, MonitorState};

/// Ends training when the monitored metric has not improved for a number of epochs.
pub(crate) struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
}

impl EarlyStopping {
    pub(crate) fn new(config: &EarlyStoppingConfig) -> Self {
        Self { monitor: Monitor::new(config.monitor, config.min_delta), patience: config.patience }
    }

    /// Records an epoch. Returns the reason to stop after it, if patience has run out.
    pub(crate) fn observe(&mut self, row: &EpochRow) -> Option<String> {
        self.monitor.observe(row);
        let waited = self.monitor.state.waited;
        // Keras stops after one epoch without improvement if patience is 0, not after an improvement.
        (waited > 0 && waited >= self.patience).then(|| {
            let metric = self.monitor.metric;
            let epochs = if waited == 1 { "epoch" } else { "epochs" };
            // With a `min_delta`, the metric may have improved, but not enough.
            let min_delta = self.monitor.min_delta;
            let by = if min_delta > 0.0 {
                format!(" by more than {min_delta:?} (min_delta)")
            } else {
                String::new()
            };
            format!("early stopping: {metric} did not improve{by} for {waited} {epochs}")
        })
    }

    pub(crate) const fn state(&self) -> MonitorState {
        self.monitor.state
    }

    pub(crate) const fn set_state(&mut self, state: MonitorState) {
        self.monitor.state = state;
    }
}
