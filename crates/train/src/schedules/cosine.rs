use std::f64::consts::PI;

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::{Place, ScheduleRule, keys};

/// η · (alpha + (1 − alpha) · (1 + cos(π s)) / 2), where s rises from 0 at the end of the warm-up to 1 at
/// the end of the run (Loshchilov and Hutter 2017, without restarts).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cosine {
    /// The share of η that is left at the end.
    pub alpha: f64,
}

impl ScheduleRule for Cosine {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { alpha: keys::share(table, "alpha", 0.0)? })
    }

    fn rate(&self, rate: f64, place: Place) -> f64 {
        let cosine = f64::midpoint(1.0, libm::cos(PI * place.steps / place.total));
        rate * (self.alpha + (1.0 - self.alpha) * cosine)
    }
}
