use std::f64::consts::PI;

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::{Place, ScheduleRule, keys};

/// The rate rises from start_factor · η to η and falls to end_factor · η (Smith and Topin 2018, "Super-Convergence"). The
/// two phases are those of PyTorch's `OneCycleLR`: of N steps, number peak · N has the rate η.
///
/// The defaults are PyTorch's: `start_factor` is 1 / `div_factor` = 1 / 25, and `end_factor` is that divided by
/// `final_div_factor` = 10,000. PyTorch's `max_lr` is `optimizer.learning_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OneCycle {
    /// The first rate, as a share of η.
    pub start_factor: f64,
    /// The last rate, as a share of η.
    pub end_factor: f64,
    /// The share of the steps in which the rate rises.
    pub peak: f64,
    /// The curve between the rates.
    pub annealing: Annealing,
    /// Whether the optimizer's momentum (β₁ in Adam) falls while the rate rises, and rises while the rate falls. PyTorch
    /// cycles the momentum by default. Kiln does not, because its SGD has no momentum by default.
    pub cycle_momentum: bool,
    /// The momentum at the peak.
    pub momentum_low: f64,
    /// The momentum in the first and in the last step.
    pub momentum_high: f64,
}

kiln_config::keywords! {
    /// The curves of [`OneCycle`].
    pub enum Annealing as "annealing" {
        /// Half a cosine wave.
        Cosine = "cosine",
        /// A straight line.
        Linear = "linear",
    }
}

impl ScheduleRule for OneCycle {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            start_factor: keys::positive(table, "start_factor", 0.04)?,
            end_factor: keys::positive(table, "end_factor", 4e-6)?,
            peak: keys::share(table, "peak", 0.3)?,
            annealing: table.default("annealing", Annealing::Cosine)?,
            cycle_momentum: table.default("cycle_momentum", false)?,
            momentum_low: momentum(table, "momentum_low", 0.85)?,
            momentum_high: momentum(table, "momentum_high", 0.95)?,
        })
    }

    fn rate(&self, rate: f64, place: Place) -> f64 {
        self.between(self.start_factor * rate, rate, self.end_factor * rate, place)
    }

    fn momentum(&self, place: Place) -> Option<f64> {
        let (low, high) = (self.momentum_low, self.momentum_high);
        self.cycle_momentum.then(|| self.between(high, low, high, place))
    }
}

impl OneCycle {
    /// The value at a place of a curve that has these values at the start, at the peak and at the end.
    fn between(&self, start: f64, peak: f64, end: f64, place: Place) -> f64 {
        // Steps are counted from 0, so a phase of n steps ends at step n − 1, as in PyTorch.
        let at_peak = self.peak * place.total - 1.0;
        if place.steps <= at_peak {
            self.annealing.value(start, peak, share(place.steps, at_peak))
        } else {
            let share = share(place.steps - at_peak, place.total - 1.0 - at_peak);
            self.annealing.value(peak, end, share)
        }
    }
}

/// The completed share of a phase. A phase without steps is complete.
fn share(steps: f64, length: f64) -> f64 {
    if length > 0.0 { steps / length } else { 1.0 }
}

impl Annealing {
    /// The value between `start` and `end`, with the operations in PyTorch's order.
    fn value(self, start: f64, end: f64, share: f64) -> f64 {
        match self {
            Self::Cosine => end + (start - end) / 2.0 * (libm::cos(PI * share) + 1.0),
            Self::Linear => (end - start) * share + start,
        }
    }
}

fn momentum(table: &mut Table<'_>, key: &'static str, default: f64) -> Result<f64, ConfigError> {
    table.checked(key, default, "a number above 0 and below 1", |momentum| {
        // The engines compute in f32. The largest f64 below 1 rounds to 1 there.
        *momentum > 0.0 && (*momentum as f32) < 1.0
    })
}
