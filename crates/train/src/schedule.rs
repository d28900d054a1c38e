use kiln_config::{ConfigError, Table};
use serde::Serialize;

/// The `[schedule]` table: how the learning rate goes on from `optimizer.learning_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScheduleConfig {
    /// What happens after the warm-up.
    #[serde(flatten)]
    pub kind: ScheduleKind,
    /// Epochs (a fraction too) in which the rate first rises linearly from near 0. The schedule
    /// proper begins where they end.
    pub warmup_epochs: f64,
}

kiln_config::keywords! {
    /// The words in `type`.
    pub enum ScheduleName {
        /// [`ScheduleKind::Constant`].
        Constant = "constant",
        /// [`ScheduleKind::Step`].
        Step = "step",
        /// [`ScheduleKind::Exponential`].
        Exponential = "exponential",
        /// [`ScheduleKind::Cosine`].
        Cosine = "cosine",
    }
}

/// The shapes of a schedule; t is the time in epochs since the warm-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ScheduleKind {
    /// The rate stays.
    Constant,
    /// rate · factor^⌊t / every_epochs⌋.
    Step {
        /// Epochs between two drops.
        every_epochs: f64,
        /// What each drop multiplies the rate by.
        factor: f64,
    },
    /// rate · decay_rate^(t / decay_epochs).
    Exponential {
        /// What `decay_epochs` multiply the rate by.
        decay_rate: f64,
        /// Epochs.
        decay_epochs: f64,
    },
    /// rate · (alpha + (1 − alpha) · (1 + cos(π t / T)) / 2), T being the epochs left after the
    /// warm-up (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// The share of the rate that is left at the end.
        alpha: f64,
    },
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::Constant, warmup_epochs: 0.0 }
    }
}

impl ScheduleConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let above = |table: &mut Table<'_>, key, default| {
            table.checked(key, default, "a number above 0", |number: &f64| *number > 0.0)
        };
        let kind = match table.default("type", ScheduleName::Constant)? {
            ScheduleName::Step => ScheduleKind::Step {
                every_epochs: above(table, "every_epochs", 10.0)?,
                factor: above(table, "factor", 0.1)?,
            },
            ScheduleName::Exponential => ScheduleKind::Exponential {
                decay_rate: above(table, "decay_rate", 0.9)?,
                decay_epochs: above(table, "decay_epochs", 1.0)?,
            },
            ScheduleName::Cosine => ScheduleKind::Cosine {
                alpha: table.checked("alpha", 0.0, "a number from 0 to 1", |alpha| {
                    (0.0..=1.0).contains(alpha)
                })?,
            },
            ScheduleName::Constant => ScheduleKind::Constant,
        };
        let warmup_epochs =
            table.checked("warmup_epochs", 0.0, "a number from 0 to 1,000,000", |epochs| {
                (0.0..=1e6).contains(epochs)
            })?;
        Ok(Self { kind, warmup_epochs })
    }

    /// The learning rate of a step, counted from 0 over the whole run.
    ///
    /// In the warm-up of W steps, step i has rate · (i + 1) / W, so that none is 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
    pub fn rate(&self, rate: f64, step: usize, steps_per_epoch: usize, epochs: usize) -> f64 {
        let steps_per_epoch = steps_per_epoch as f64;
        let warmup = (self.warmup_epochs * steps_per_epoch).round();
        let since = step as f64 - warmup;
        if since < 0.0 {
            return rate * (step as f64 + 1.0) / warmup;
        }
        let epoch = since / steps_per_epoch;
        match self.kind {
            ScheduleKind::Constant => rate,
            ScheduleKind::Step { every_epochs, factor } => {
                rate * factor.powf((epoch / every_epochs).floor())
            }
            ScheduleKind::Exponential { decay_rate, decay_epochs } => {
                rate * decay_rate.powf(epoch / decay_epochs)
            }
            ScheduleKind::Cosine { alpha } => {
                let whole = epochs as f64 * steps_per_epoch - warmup;
                let cosine = f64::midpoint(1.0, (std::f64::consts::PI * since / whole).cos());
                rate * (alpha + (1.0 - alpha) * cosine)
            }
        }
    }
}
