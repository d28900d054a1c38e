use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::{Place, ScheduleRule, keys};

/// η · factor^⌊t / every_epochs⌋, where t is the time in epochs since the warm-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// The epochs between two drops.
    pub every_epochs: f64,
    /// The factor of the rate at each drop.
    pub factor: f64,
}

impl ScheduleRule for Step {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            every_epochs: keys::positive(table, "every_epochs", 10.0)?,
            factor: keys::positive(table, "factor", 0.1)?,
        })
    }

    fn rate(&self, rate: f64, place: Place) -> f64 {
        let epochs = place.steps / place.steps_per_epoch;
        rate * libm::pow(self.factor, (epochs / self.every_epochs).floor())
    }
}
