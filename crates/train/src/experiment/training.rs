use std::num::NonZeroUsize;

use kiln_config::{ConfigError, Table};
use kiln_report::history::MAX_EPOCHS;
use serde::Serialize;

use crate::metrics::{MetricName, OptionalMetric};

/// The `[training]` table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingConfig {
    /// Passes over the training rows.
    pub epochs: NonZeroUsize,
    /// Images a step; the last step of an epoch takes what is left.
    pub batch_size: NonZeroUsize,
    /// Whether the rows are put in a new order every epoch.
    pub shuffle: bool,
    /// Which weights are tested and kept.
    pub weights: WeightsChoice,
    /// What `weights = "best"` goes by.
    pub monitor: MetricName,
    /// Whether the weights before training are written to `initial.safetensors`.
    pub save_initial: bool,
    /// Whether the training rows are evaluated at the end of every epoch, beside the running
    /// averages: columns `train_loss` and `train_accuracy` of the history.
    pub evaluate_training_set: bool,
    /// For each k here the history and the report say how often the right class was among the k
    /// most probable.
    pub top_k: Vec<usize>,
    /// Further metrics of the history, each a column on the training rows and one on the validation rows. Metrics that the
    /// experiment monitors are computed anyway. An empty list is not written, so that run ids from before this key stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<OptionalMetric>,
}

kiln_config::keywords! {
    /// Which weights are tested and kept.
    pub enum WeightsChoice {
        /// Those after the last epoch.
        Last = "last",
        /// Those of the epoch that the monitor found best.
        Best = "best",
    }
}

/// The `[early_stopping]` table: ends the run when the monitor has not improved for a while.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EarlyStoppingConfig {
    /// What must improve.
    pub monitor: MetricName,
    /// Stops after this many epochs in a row without improvement; 0 is as 1, as in Keras.
    pub patience: usize,
    /// By how much it must improve to count.
    pub min_delta: f64,
    /// Whether the best epoch's weights are tested and kept rather than the last's.
    pub restore_best: bool,
}

/// The `[checkpoint]` table: what is kept to go on from. No result depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CheckpointConfig {
    /// Beside the checkpoint at the end of every epoch, one is written within an epoch when so many
    /// minutes have gone by since the last; 0 writes none there.
    pub minutes: f64,
    /// Whether the last and the best are kept when the run is finished.
    pub keep: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { minutes: 10.0, keep: true }
    }
}

impl CheckpointConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let expected = "a number from 0 to 1,000,000";
        Ok(Self {
            minutes: table.checked("minutes", default.minutes, expected, |minutes| {
                (0.0..=1e6).contains(minutes)
            })?,
            keep: table.default("keep", default.keep)?,
        })
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: NonZeroUsize::MIN,
            batch_size: NonZeroUsize::MIN.saturating_add(31),
            shuffle: true,
            weights: WeightsChoice::Last,
            monitor: MetricName::VAL_LOSS,
            save_initial: false,
            evaluate_training_set: false,
            top_k: Vec::new(),
            metrics: Vec::new(),
        }
    }
}

impl Default for EarlyStoppingConfig {
    fn default() -> Self {
        Self { monitor: MetricName::VAL_LOSS, patience: 0, min_delta: 0.0, restore_best: false }
    }
}

impl TrainingConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let expected = "different whole numbers above 1, such as [3, 5]";
        Ok(Self {
            epochs: table.checked(
                "epochs",
                default.epochs,
                "a whole number from 1 to 100000",
                |epochs: &NonZeroUsize| epochs.get() <= MAX_EPOCHS,
            )?,
            batch_size: table.default("batch_size", default.batch_size)?,
            shuffle: table.default("shuffle", default.shuffle)?,
            weights: table.default("weights", default.weights)?,
            monitor: table.default("monitor", default.monitor)?,
            save_initial: table.default("save_initial", default.save_initial)?,
            evaluate_training_set: table
                .default("evaluate_training_set", default.evaluate_training_set)?,
            top_k: table.checked("top_k", default.top_k, expected, |top_k| {
                let mut sorted = top_k.clone();
                sorted.sort_unstable();
                sorted.dedup();
                sorted.len() == top_k.len() && top_k.iter().all(|k| *k > 1)
            })?,
            metrics: OptionalMetric::sorted(&table.default("metrics", default.metrics)?),
        })
    }
}

impl EarlyStoppingConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let expected = "a number, 0 or more";
        Ok(Self {
            monitor: table.default("monitor", default.monitor)?,
            patience: table.default("patience", default.patience)?,
            min_delta: table.checked("min_delta", default.min_delta, expected, |d| *d >= 0.0)?,
            restore_best: table.default("restore_best", default.restore_best)?,
        })
    }
}
