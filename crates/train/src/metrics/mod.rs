//! The metrics of a run. Each is one file here and its line in [`METRICS`].
//!
//! A metric counts samples and computes its values from the counts. An experiment computes a metric on up to three sets of
//! rows, and each is a column of the history: `accuracy` on the training rows while the weights change, `val_accuracy` on
//! the validation rows and `train_accuracy` on the training rows after the epoch. [`columns()`] makes these names; everything
//! else refers to a column by its name.

mod accuracy;
mod balanced_accuracy;
mod batch;
mod class_counter;
mod columns;
mod loss;
mod macro_f1;
mod metric_name;
mod metrics_of_rows;
mod monitor;
mod optional_metric;
mod smoothed_loss;
mod top_k_accuracy;

use std::fmt;

use kiln_store::Direction;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::loss::LossConfig;
use batch::ScoredBatch;

pub(crate) use batch::largest;
pub(crate) use columns::{Rows, columns, columns_of_steps, extra_columns, values};
pub use metric_name::{MetricName, MissingSetting};
pub use metrics_of_rows::Metrics;
pub(crate) use monitor::{Monitor, MonitorState};
pub use optional_metric::OptionalMetric;

/// Every metric. The order is that of the history's columns.
pub(crate) const METRICS: &[&MetricType] = &[
    &loss::LOSS,
    &accuracy::ACCURACY,
    &top_k_accuracy::TOP_K_ACCURACY,
    &macro_f1::MACRO_F1,
    &balanced_accuracy::BALANCED_ACCURACY,
    &smoothed_loss::SMOOTHED_LOSS,
];

/// Counts samples, and computes one or more values from the counts.
pub(crate) trait Metric: fmt::Debug + Send {
    /// Counts the samples of a batch. Called once per batch, so that a virtual call costs nothing that can be measured.
    fn add(&mut self, batch: &ScoredBatch<'_>);

    /// One value for each of [`MetricType::columns`], over all `samples` that were counted; NaN if there is no value.
    fn values(&self, samples: usize) -> Vec<f64>;

    /// The counts, for a checkpoint.
    fn counters(&self) -> Value;

    /// Sets the counts to those of a checkpoint, which were counted over `samples`.
    ///
    /// # Errors
    ///
    /// The problem with them. The counts are then unchanged.
    fn restore(&mut self, counters: Value, samples: usize) -> Result<(), String>;
}

/// The properties of a metric before it counts anything.
pub(crate) struct MetricType {
    /// The name in the configuration and in the history, without `val_` or `train_`. [`K`] in it is replaced by a number of
    /// `training.top_k`; the metric then has one column for each.
    pub(crate) name: &'static str,
    pub(crate) better: Direction,
    pub(crate) computed: Computed,
    /// The key of its counts in a checkpoint.
    pub(crate) key: &'static str,
    pub(crate) new: fn(&Setup<'_>) -> Box<dyn Metric>,
}

/// Which experiments compute a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Computed {
    /// All.
    Always,
    /// Those that name it, in `training.metrics` or as what they monitor.
    IfNamed,
    /// Those with label smoothing, on the rows that are evaluated after an epoch.
    WithLabelSmoothing,
}

/// The settings that a metric needs before it counts.
pub(crate) struct Setup<'a> {
    /// `training.top_k`.
    pub(crate) top_k: &'a [usize],
    /// The number of classes.
    pub(crate) classes: usize,
    /// The loss that training minimizes.
    pub(crate) objective: &'a LossConfig,
}

/// The placeholder in a metric's name for a number of `training.top_k`.
const K: &str = "<k>";

impl MetricType {
    /// The names of its columns on the training rows: one, or with [`K`] in the name one for each of `training.top_k`.
    fn columns(&self, top_k: &[usize]) -> Vec<String> {
        if !self.has_k() {
            return vec![self.name.to_owned()];
        }
        top_k.iter().map(|k| self.name.replace(K, &k.to_string())).collect()
    }

    fn has_k(&self) -> bool {
        self.name.contains(K)
    }
}

impl PartialEq for MetricType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for MetricType {}

impl fmt::Debug for MetricType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Reads a metric's counts from a checkpoint.
fn counter<T: DeserializeOwned>(counters: Value) -> Result<T, String> {
    serde_json::from_value(counters).map_err(|error| error.to_string())
}

/// NaN before the first sample.
#[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
fn share(count: usize, samples: usize) -> f64 {
    count as f64 / samples as f64
}
