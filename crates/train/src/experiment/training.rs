use std::num::NonZeroUsize;

use kiln_config::{ConfigError, Table};
use kiln_store::history::MAX_EPOCHS;
use serde::Serialize;

use crate::metrics::{MetricName, OptionalMetric};

/// The `[training]` table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingConfig {
    /// The number of passes over the training rows.
    pub epochs: NonZeroUsize,
    /// Images per step. The last step of an epoch takes the remaining ones.
    pub batch_size: NonZeroUsize,
    /// Whether each epoch has the rows in a new random order.
    pub shuffle: bool,
    /// The rows of an epoch. The default is not written, so that run ids from before this key stay.
    #[serde(skip_serializing_if = "Sampling::is_all")]
    pub sampling: Sampling,
    /// The weights to test and to keep.
    pub weights: WeightsChoice,
    /// The decay of the running average of the weights; `Some` if [`weights`](Self::weights) is
    /// [`Average`](WeightsChoice::Average), and only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_decay: Option<f64>,
    /// The metric that decides which epoch is best.
    pub monitor: MetricName,
    /// Whether the weights before training are written to `initial.safetensors`.
    pub save_initial: bool,
    /// Whether to evaluate the training rows after every epoch, in addition to the running averages: columns
    /// `train_loss` and `train_accuracy` of the history.
    pub evaluate_training_set: bool,
    /// For each k, the history and the report give the share of images whose class is among the k most probable ones.
    pub top_k: Vec<usize>,
    /// Further metrics of the history, each a column on the training rows and one on the validation rows. Metrics that the
    /// experiment monitors are computed anyway. An empty list is not written, so that run ids from before this key stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<OptionalMetric>,
}

kiln_config::keywords! {
    /// The choice of the weights to test and to keep.
    pub enum WeightsChoice as "weights" {
        /// The weights after the last epoch.
        Last = "last",
        /// The weights after the epoch that is best by the monitor.
        Best = "best",
        /// The exponential moving average of the weights over the steps.
        Average = "average",
    }
}

kiln_config::keywords! {
    /// The choice of the rows of an epoch.
    pub enum Sampling as "sampling" {
        /// Every training row once.
        All = "all",
        /// As many rows as there are training rows, drawn with replacement: each class equally likely, and each row of
        /// the class.
        Balanced = "balanced",
    }
}

impl Sampling {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// The `[early_stopping]` table: ends the run when a metric has not improved for a number of epochs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EarlyStoppingConfig {
    /// The metric that must improve.
    pub monitor: MetricName,
    /// The number of epochs in a row without improvement after which the run stops. 0 behaves like 1, as in Keras.
    pub patience: usize,
    /// Only an improvement by more than this counts.
    pub min_delta: f64,
    /// Whether to test and keep the weights of the best epoch instead of the last one.
    pub restore_best: bool,
}

/// The `[test]` table: how images are classified after training, by the test, `kiln evaluate` and `kiln predict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TestConfig {
    /// Whether the probabilities of an image are the mean of those of the image and of its horizontal mirror image.
    pub flip: bool,
}

impl TestConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { flip: table.default("flip", false)? })
    }

    /// Not written then, so that run ids from before this table stay.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The `[checkpoint]` table: when checkpoints are written and kept. It does not affect the result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CheckpointConfig {
    /// Minutes between two checkpoints within an epoch; 0 writes none there. Every epoch ends with a checkpoint anyway.
    pub minutes: f64,
    /// Whether a finished run keeps its last and its best checkpoint.
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

/// The table `[logging]`: what a run writes for other programs while it trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LoggingConfig {
    /// Whether the run writes event files for TensorBoard.
    pub tensorboard: bool,
}

impl LoggingConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { tensorboard: table.default("tensorboard", Self::default().tensorboard)? })
    }

    /// Whether the table is as if it were missing.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: NonZeroUsize::MIN,
            // 32, as in Keras.
            batch_size: NonZeroUsize::MIN.saturating_add(31),
            shuffle: true,
            sampling: Sampling::All,
            weights: WeightsChoice::Last,
            average_decay: None,
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
    /// The default of `average_decay`: Keras' `ema_momentum`.
    const AVERAGE_DECAY: f64 = 0.99;

    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let expected = "different whole numbers above 1, such as [3, 5]";
        let shuffle = table.default("shuffle", default.shuffle)?;
        let sampling = table.default("sampling", default.sampling)?;
        if let Some(value) = table.value("sampling").filter(|_| !shuffle && !sampling.is_all()) {
            return Err(value
                .error("balanced sampling draws the rows at random, so it needs shuffle = true"));
        }
        let weights = table.default("weights", default.weights)?;
        let expected_decay = "a number from 0 to below 1";
        let average_decay =
            table.checked("average_decay", Self::AVERAGE_DECAY, expected_decay, |decay| {
                (0.0..1.0).contains(decay)
            })?;
        let averages = weights == WeightsChoice::Average;
        if let Some(value) = table.value("average_decay").filter(|_| !averages) {
            let message =
                format!("`average_decay` needs weights = \"average\", but it is \"{weights}\"");
            return Err(value
                .error(message)
                .help("set weights = \"average\", or remove average_decay"));
        }
        Ok(Self {
            epochs: table.checked(
                "epochs",
                default.epochs,
                "a whole number from 1 to 100000",
                |epochs: &NonZeroUsize| epochs.get() <= MAX_EPOCHS,
            )?,
            batch_size: table.default("batch_size", default.batch_size)?,
            shuffle,
            sampling,
            weights,
            average_decay: averages.then_some(average_decay),
            monitor: table.default("monitor", default.monitor)?,
            save_initial: table.default("save_initial", default.save_initial)?,
            evaluate_training_set: table
                .default("evaluate_training_set", default.evaluate_training_set)?,
            // A k of 1 is the accuracy, and each k has its own column in the history.
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
