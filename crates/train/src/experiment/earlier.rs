use std::num::NonZeroUsize;

use kiln_config::{ConfigError, FromValue, Value};
use serde::Serialize;

use crate::schedules::ScheduleConfig;

/// The learning rates of the first epochs of a run that continues another one, if they are not those that the experiment
/// gives them: an element of `[[earlier]]`.
///
/// With them, the experiment determines all of its results, like that of a run from scratch: Kiln can retrain the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EarlierPhase {
    /// The last epoch of the phase.
    pub until: NonZeroUsize,
    /// The number of epochs that the run was to have then.
    pub epochs: NonZeroUsize,
    /// `optimizer.learning_rate` then.
    pub learning_rate: f64,
    /// The schedule then.
    pub schedule: ScheduleConfig,
}

impl FromValue for EarlierPhase {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.read_table(|table| {
            let epochs = table.required("epochs")?;
            let expected = "at most the number of epochs";
            let until = table.checked("until", epochs, expected, |until| *until <= epochs)?;
            let learning_rate = table.required("learning_rate")?;
            if learning_rate <= 0.0 {
                return Err(table.error("learning_rate must be above 0"));
            }
            let schedule = table.optional_table("schedule", ScheduleConfig::read)?;
            Ok(Self { until, epochs, learning_rate, schedule: schedule.unwrap_or_default() })
        })
    }
}

/// The value of `[[earlier]]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct EarlierPhases(pub Vec<EarlierPhase>);

impl EarlierPhases {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The phase of an epoch, which is counted from 1.
    pub(crate) fn of_epoch(&self, epoch: usize) -> Option<&EarlierPhase> {
        self.0.iter().find(|phase| epoch <= phase.until.get())
    }
}

impl FromValue for EarlierPhases {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let phases = Vec::<EarlierPhase>::from_value(value)?;
        for (index, pair) in phases.windows(2).enumerate() {
            if pair[1].until <= pair[0].until {
                let message = format!(
                    "the phase ends in epoch {}, but the one before it in epoch {}",
                    pair[1].until, pair[0].until
                );
                return Err(value.items()?[index + 1].error(message));
            }
        }
        Ok(Self(phases))
    }
}
