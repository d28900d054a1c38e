use std::fmt;

use kiln_config::{ConfigError, FromValue, Value};
use serde::{Serialize, Serializer};

use super::{Computed, METRICS, MetricName, MetricType};

/// A metric of `training.metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionalMetric {
    pub(super) metric: &'static MetricType,
}

impl OptionalMetric {
    /// Every metric that an experiment computes only if it names it.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let optional = METRICS.iter().filter(|metric| metric.computed == Computed::IfNamed);
        optional.map(|metric| Self { metric })
    }

    /// The list of `training.metrics` in the order of the history's columns, without duplicates and without metrics that
    /// every experiment computes. Equivalent lists therefore have the same text and the same run id.
    pub(crate) fn sorted(list: &[Self]) -> Vec<Self> {
        Self::all().filter(|metric| list.contains(metric)).collect()
    }
}

impl FromValue for OptionalMetric {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        // The name of a metric, but not one for this list.
        if let Some(k) = MetricName::from_value(value).ok().and_then(MetricName::k) {
            let message = format!("{} has its own setting", value.describe());
            return Err(value.error(message).help(format!("set training.top_k to [{k}]")));
        }
        let metrics: Vec<&MetricType> = METRICS
            .iter()
            .copied()
            .filter(|metric| !metric.has_k() && metric.computed != Computed::WithLabelSmoothing)
            .collect();
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
        Ok(Self { metric: metrics[value.keyword("metric", &names)?] })
    }
}

impl fmt::Display for OptionalMetric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.metric.name)
    }
}

impl Serialize for OptionalMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.metric.name)
    }
}
