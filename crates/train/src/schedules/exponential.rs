use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::{Place, ScheduleRule, keys};

/// η · decay_rate^(t / decay_epochs), where t is the time in epochs since the warm-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Exponential {
    /// The factor of the rate over `decay_epochs`.
    pub decay_rate: f64,
    /// In epochs.
    pub decay_epochs: f64,
}

impl ScheduleRule for Exponential {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            decay_rate: keys::positive(table, "decay_rate", 0.9)?,
            decay_epochs: keys::positive(table, "decay_epochs", 1.0)?,
        })
    }

    fn rate(&self, rate: f64, place: Place) -> f64 {
        let epochs = place.steps / place.steps_per_epoch;
        rate * libm::pow(self.decay_rate, epochs / self.decay_epochs)
    }
}
