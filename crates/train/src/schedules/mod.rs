//! The schedules of the learning rate. Each has one file with its keys in `[schedule]` and its formula. To add a schedule,
//! write its file, and add the module and a line in the list below.
//!
//! A schedule is a function of the step, the length of the run and the completed epochs in the history. It keeps no state,
//! so a checkpoint needs nothing of it, and a resumed run continues with the same rates.

mod constant;
mod cosine;
mod exponential;
mod keys;
mod one_cycle;
mod reduce_on_plateau;
mod step;

use kiln_config::{ConfigError, Table};
use kiln_store::EpochRow;
use serde::Serialize;

use crate::metrics::MetricName;

pub use one_cycle::Annealing;

schedules! {
    /// The same rate in every step.
    constant::Constant = "constant";
    /// Drops by a factor every few epochs.
    step::Step = "step";
    /// Decays by a factor, smoothly.
    exponential::Exponential = "exponential";
    /// Falls along half a cosine wave.
    cosine::Cosine = "cosine";
    /// Rises to a peak, then falls far below the start.
    one_cycle::OneCycle = "one_cycle";
    /// Drops by a factor when a metric stops improving.
    reduce_on_plateau::ReduceOnPlateau = "reduce_on_plateau";
}

/// The `[schedule]` table: how the learning rate changes from `optimizer.learning_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScheduleConfig {
    /// The schedule after the warm-up.
    #[serde(flatten)]
    pub kind: ScheduleKind,
    /// The epochs (also a fraction) in which the rate first rises linearly from near 0. The schedule begins
    /// when they end.
    pub warmup_epochs: f64,
}

/// The length of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLength {
    /// The number of epochs.
    pub epochs: usize,
    /// The number of steps in each epoch.
    pub steps_per_epoch: usize,
}

/// A schedule in one epoch.
#[derive(Debug, Clone, Copy)]
pub struct EpochSchedule {
    config: ScheduleConfig,
    /// The optimizer's rate, or its replacement after the epochs before.
    rate: f64,
    epochs_before: usize,
    length: RunLength,
}

/// The values that the schedule sets for one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    /// η.
    pub learning_rate: f64,
    /// The optimizer's momentum or β₁, if the schedule changes it.
    pub momentum: Option<f64>,
}

/// The place of a step in the run, measured from the end of the warm-up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Steps since the warm-up ended.
    pub(crate) steps: f64,
    /// Steps from the end of the warm-up to the end of the run.
    pub(crate) total: f64,
    pub(crate) steps_per_epoch: f64,
}

/// The interface of a schedule. Its constants are the fields of the type that implements the trait.
pub(crate) trait ScheduleRule {
    /// Reads the schedule's own keys.
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError>
    where
        Self: Sized;

    /// The learning rate of a step, if the optimizer's is `rate`.
    fn rate(&self, rate: f64, place: Place) -> f64 {
        let _ = place;
        rate
    }

    /// The momentum of a step, if the schedule changes it.
    fn momentum(&self, place: Place) -> Option<f64> {
        let _ = place;
        None
    }

    /// The metric that the schedule depends on.
    fn monitor(&self) -> Option<MetricName> {
        None
    }

    /// The rate that replaces the optimizer's `rate` after these epochs. It is computed once per epoch.
    fn rate_after(&self, rate: f64, rows: &[EpochRow]) -> f64 {
        let _ = rows;
        rate
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::Constant(Constant {}), warmup_epochs: 0.0 }
    }
}

impl ScheduleConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let kind = ScheduleKind::read(table.default("type", ScheduleName::Constant)?, table)?;
        let expected = "a number from 0 to 1,000,000";
        let warmup_epochs =
            table.checked("warmup_epochs", 0.0, expected, |epochs| (0.0..=1e6).contains(epochs))?;
        Ok(Self { kind, warmup_epochs })
    }

    /// The schedule in the epoch after these rows of the history. `rate` is `optimizer.learning_rate`.
    #[must_use]
    pub fn after(&self, rows: &[EpochRow], rate: f64, length: RunLength) -> EpochSchedule {
        // Epochs that begin during the warm-up do not count, because their rate is not the schedule's.
        let warm_up = self.warmup_epochs.ceil() as usize;
        let counted = rows.get(warm_up..).unwrap_or_default();
        let rate = self.kind.rule().rate_after(rate, counted);
        EpochSchedule { config: *self, rate, epochs_before: rows.len(), length }
    }

    /// The metric that the schedule depends on, if it depends on one.
    pub(crate) fn monitor(&self) -> Option<MetricName> {
        self.kind.rule().monitor()
    }

    /// Whether the rates of the first epochs depend on the number of epochs.
    pub(crate) fn depends_on_length(&self) -> bool {
        let rule = self.kind.rule();
        let settings = |steps: f64, total: f64| {
            let place = Place { steps, total, steps_per_epoch: 10.0 };
            (rule.rate(1.0, place).to_bits(), rule.momentum(place).map(f64::to_bits))
        };
        // Steps of the first 50 epochs, in a run of 100 and in one of 200.
        (0..500).any(|step| settings(f64::from(step), 1000.0) != settings(f64::from(step), 2000.0))
    }

    /// Whether the schedule sets the optimizer's momentum.
    pub(crate) fn sets_momentum(&self) -> bool {
        // Any place will do: a schedule sets the momentum of all steps or of none.
        let place = Place { steps: 0.0, total: 1.0, steps_per_epoch: 1.0 };
        self.kind.rule().momentum(place).is_some()
    }
}

impl EpochSchedule {
    /// The learning rate and the momentum of a step of the epoch, which is counted from 0.
    ///
    /// In a warm-up of W steps, step i of the run has the rate · (i + 1) / W, so that no rate is 0.
    #[must_use]
    pub fn step(&self, step: usize) -> StepSettings {
        let RunLength { epochs, steps_per_epoch } = self.length;
        let rule = self.config.kind.rule();
        let step = (self.epochs_before * steps_per_epoch + step) as f64;
        let steps_per_epoch = steps_per_epoch as f64;
        let warm_up = (self.config.warmup_epochs * steps_per_epoch).round();
        let total = epochs as f64 * steps_per_epoch - warm_up;
        // During the warm-up, the momentum stays at its first value.
        let place = Place { steps: (step - warm_up).max(0.0), total, steps_per_epoch };
        let learning_rate = if step < warm_up {
            self.rate * (step + 1.0) / warm_up
        } else {
            rule.rate(self.rate, place)
        };
        StepSettings { learning_rate, momentum: rule.momentum(place) }
    }
}

impl From<f64> for StepSettings {
    fn from(learning_rate: f64) -> Self {
        Self { learning_rate, momentum: None }
    }
}

/// Turns the list above into [`ScheduleName`] and [`ScheduleKind`].
macro_rules! schedules {
    ($( $(#[$documentation:meta])* $module:ident::$schedule:ident = $name:literal; )+) => {
        $( pub use $module::$schedule; )+

        kiln_config::keywords! {
            /// The values of `schedule.type`.
            pub enum ScheduleName as "schedule" {
                $( $(#[$documentation])* $schedule = $name, )+
            }
        }

        /// A schedule, by its `type` in TOML.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum ScheduleKind {
            $(
                $(#[$documentation])*
                #[serde(rename = $name)]
                $schedule($schedule),
            )+
        }

        impl ScheduleKind {
            fn read(name: ScheduleName, table: &mut Table<'_>) -> Result<Self, ConfigError> {
                match name {
                    $( ScheduleName::$schedule => $schedule::read(table).map(Self::$schedule), )+
                }
            }

            /// The value of `schedule.type`.
            #[must_use]
            pub const fn name(&self) -> ScheduleName {
                match self {
                    $( Self::$schedule(_) => ScheduleName::$schedule, )+
                }
            }

            pub(crate) fn rule(&self) -> &dyn ScheduleRule {
                match self {
                    $( Self::$schedule(rule) => rule, )+
                }
            }
        }
    };
}
use schedules;
