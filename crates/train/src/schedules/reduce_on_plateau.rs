use kiln_config::{ConfigError, Table};
use kiln_store::EpochRow;
use serde::Serialize;

use super::ScheduleRule;
use crate::metrics::{MetricName, Monitor};

/// η ← max(factor · η, min_learning_rate) after `patience` epochs in a row that do not improve the metric by more than
/// `min_delta`.
///
/// Names, defaults and the meaning of `patience` are those of Keras' `ReduceLROnPlateau`; PyTorch waits one epoch longer.
/// The meaning of `cooldown` is PyTorch's. Keras counts the last epoch of the cooldown as one without improvement, so a
/// cooldown of 1 has no effect there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReduceOnPlateau {
    /// The metric that must improve.
    pub monitor: MetricName,
    /// The factor of the rate at each drop.
    pub factor: f64,
    /// The epochs without improvement before a drop; 0 means the same as 1.
    pub patience: usize,
    /// The smallest change that counts as an improvement.
    pub min_delta: f64,
    /// The epochs after a drop that are not counted as ones without improvement.
    pub cooldown: usize,
    /// The rate that drops stop at.
    pub min_learning_rate: f64,
}

impl ScheduleRule for ReduceOnPlateau {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let expected = "a number, 0 or more";
        Ok(Self {
            monitor: table.default("monitor", MetricName::VAL_LOSS)?,
            factor: table.checked("factor", 0.1, "a number above 0 and below 1", |factor| {
                *factor > 0.0 && *factor < 1.0
            })?,
            patience: table.default("patience", 10)?,
            min_delta: table.checked("min_delta", 1e-4, expected, |delta| *delta >= 0.0)?,
            cooldown: table.default("cooldown", 0)?,
            min_learning_rate: table
                .checked("min_learning_rate", 0.0, expected, |rate| *rate >= 0.0)?,
        })
    }

    fn monitor(&self) -> Option<MetricName> {
        Some(self.monitor)
    }

    fn rate_after(&self, rate: f64, rows: &[EpochRow]) -> f64 {
        let mut monitor = Monitor::new(self.monitor, self.min_delta);
        let (mut rate, mut waited, mut cooldown) = (rate, 0_usize, 0_usize);
        for row in rows {
            let improved = monitor.observe(row);
            if improved || cooldown > 0 {
                waited = 0;
            } else {
                waited += 1;
            }
            cooldown = cooldown.saturating_sub(1);
            if waited >= self.patience.max(1) {
                // A rate that starts below the lowest one stays.
                rate = rate.min((rate * self.factor).max(self.min_learning_rate));
                (waited, cooldown) = (0, self.cooldown);
            }
        }
        rate
    }
}
