use std::fmt;

use kiln_config::{ConfigError, FromValue, Kind, Value};
use kiln_store::{Direction, EpochRow};
use serde::{Serialize, Serializer};

use super::columns::validates;
use super::{Computed, K, METRICS, MetricType, Rows, accuracy, loss};
use crate::experiment::Experiment;

/// The name of a metric's column in the history: `val_loss`, `macro_f1`, `val_top_3_accuracy`. Monitors use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricName {
    pub(super) metric: &'static MetricType,
    rows: Rows,
    /// The number in place of [`K`], if the metric's name has it.
    k: Option<usize>,
}

/// Why an experiment's history lacks a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSetting {
    /// The key to change.
    pub path: &'static str,
    /// The requirement of the metric: "needs validation images, but data.validation is 0".
    pub problem: String,
    /// The setting to change: "set data.validation, such as 5000 or 0.1".
    pub help: String,
    /// A metric that the history has: `val_loss`, or `loss` without validation rows.
    pub instead: &'static str,
}

impl MetricName {
    /// The loss on the validation rows.
    pub const VAL_LOSS: Self = Self { metric: &loss::LOSS, rows: Rows::Validation, k: None };
    /// The accuracy on the validation rows.
    pub const VAL_ACCURACY: Self =
        Self { metric: &accuracy::ACCURACY, rows: Rows::Validation, k: None };

    /// Parses a name; `None` if no metric has it.
    fn parse(name: &str) -> Option<Self> {
        Self::patterns().find_map(|(rows, metric)| {
            let rest = name.strip_prefix(rows.prefix())?;
            let Some((before, after)) = metric.name.split_once(K) else {
                return (rest == metric.name).then_some(Self { metric, rows, k: None });
            };
            let k = rest.strip_prefix(before)?.strip_suffix(after)?;
            // A top-1 accuracy would be the accuracy.
            let number = k.parse().ok().filter(|number| *number > 1)?;
            // `parse` also accepts +3 and 03, which no column has.
            let name = Self { metric, rows, k: Some(number) };
            (k == number.to_string()).then_some(name)
        })
    }

    /// All names, with the placeholder [`K`] instead of numbers.
    fn patterns() -> impl Iterator<Item = (Rows, &'static MetricType)> {
        let rows = Rows::ALL.into_iter();
        rows.flat_map(|rows| METRICS.iter().map(move |metric| (rows, *metric)))
            .filter(|(rows, metric)| rows.has_column(metric))
    }

    /// Whether lower or higher values are better.
    #[must_use]
    pub fn better(self) -> Direction {
        self.metric.better
    }

    /// The value in an epoch.
    #[must_use]
    pub fn of(self, row: &EpochRow) -> Option<f64> {
        row.metric(&self.to_string())
    }

    /// Whether it is computed on the validation rows.
    pub(crate) fn is_of_validation(self) -> bool {
        self.rows == Rows::Validation
    }

    /// The k of a top-k accuracy.
    pub(super) fn k(self) -> Option<usize> {
        self.k
    }

    /// The setting without which the experiment's history has no such column; `None` if it has the column, or would have
    /// it if the metric was in `training.metrics`.
    #[must_use]
    pub fn missing_setting(self, experiment: &Experiment) -> Option<MissingSetting> {
        let training = &experiment.training;
        let (path, problem, help) = match self {
            Self { rows: Rows::Validation, .. } if !validates(experiment) => (
                "data.validation",
                "needs validation images, but data.validation is 0".to_owned(),
                "set data.validation, such as 5000 or 0.1".to_owned(),
            ),
            Self { rows: Rows::Training, .. } if !training.evaluate_training_set => (
                "training.evaluate_training_set",
                "needs the training images to be evaluated after each epoch".to_owned(),
                "set training.evaluate_training_set to true".to_owned(),
            ),
            Self { k: Some(k), .. } if !training.top_k.contains(&k) => {
                ("training.top_k", format!("needs {k} in training.top_k"), format!("add {k} to it"))
            }
            Self {
                metric: MetricType { computed: Computed::WithLabelSmoothing, .. },
                rows,
                ..
            } if !experiment.loss.is_smoothed() => (
                "loss.label_smoothing",
                "needs label smoothing, but loss.label_smoothing is 0".to_owned(),
                format!("use {}loss, which has the same values", rows.prefix()),
            ),
            _ => return None,
        };
        let instead = if validates(experiment) { "val_loss" } else { "loss" };
        Some(MissingSetting { path, problem, help, instead })
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let k = self.k.map(|k| k.to_string()).unwrap_or_default();
        write!(formatter, "{}{}", self.rows.prefix(), self.metric.name.replace(K, &k))
    }
}

impl Serialize for MetricName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromValue for MetricName {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        if let Kind::String(text) = &value.kind
            && let Some(name) = Self::parse(text)
        {
            return Ok(name);
        }
        let names: Vec<String> = Self::patterns()
            .map(|(rows, metric)| format!("{}{}", rows.prefix(), metric.name))
            .collect();
        let keywords: Vec<&str> = names.iter().map(String::as_str).collect();
        match value.keyword("metric", &keywords) {
            // Only a name with the placeholder is a keyword that cannot be parsed.
            Ok(_) => Err(value.expected(&format!("a number in place of {K}, such as 3"))),
            Err(error) => Err(error),
        }
    }
}
