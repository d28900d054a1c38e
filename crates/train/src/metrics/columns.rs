//! The metric columns of an experiment's history: which there are, their names and their order.

use std::sync::Arc;

use kiln_data::SplitSize;
use kiln_store::{MetricInfo, history};

use super::{Computed, METRICS, MetricName, MetricType, Metrics, OptionalMetric};
use crate::experiment::Experiment;

/// A set of rows that metrics are computed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rows {
    /// The training rows, each with the weights before its step.
    Running,
    /// The validation rows after the epoch.
    Validation,
    /// The training rows after the epoch.
    Training,
}

impl Rows {
    pub(super) const ALL: [Self; 3] = [Self::Running, Self::Validation, Self::Training];

    /// The prefix of the names of the columns.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Running => "",
            Self::Validation => "val_",
            Self::Training => "train_",
        }
    }

    fn are_evaluated(self, experiment: &Experiment) -> bool {
        match self {
            Self::Running => true,
            Self::Validation => validates(experiment),
            Self::Training => experiment.training.evaluate_training_set,
        }
    }

    /// Whether a metric can be computed on these rows. Top-k accuracies are not computed on the training rows after the
    /// epoch. While the weights change, the loss itself has the label smoothing.
    pub(super) fn has_column(self, metric: &MetricType) -> bool {
        match self {
            Self::Running => metric.computed != Computed::WithLabelSmoothing,
            Self::Validation => true,
            Self::Training => !metric.has_k(),
        }
    }
}

/// Whether an experiment has validation rows.
pub(super) fn validates(experiment: &Experiment) -> bool {
    !matches!(experiment.data.validation, SplitSize::Rows(0))
}

/// The metrics that an experiment computes, in the order of [`METRICS`]: those that every experiment has, those of
/// `training.metrics`, those that it monitors, and with label smoothing the loss with and without it.
pub(super) fn computed(experiment: &Experiment) -> impl Iterator<Item = &'static MetricType> {
    let Experiment { loss, schedule, training, early_stopping, .. } = experiment;
    let mut monitored = vec![training.monitor];
    monitored.extend(early_stopping.iter().map(|stopping| stopping.monitor));
    monitored.extend(schedule.monitor());
    let listed = training.metrics.iter().map(|optional| optional.metric);
    let named: Vec<_> = monitored.into_iter().map(|name| name.metric).chain(listed).collect();
    // Filtering `METRICS` keeps its order, and counts a metric once that is named twice.
    let is_smoothed = loss.is_smoothed();
    METRICS.iter().copied().filter(move |metric| match metric.computed {
        Computed::Always => true,
        Computed::IfNamed => named.contains(metric),
        Computed::WithLabelSmoothing => is_smoothed,
    })
}

impl Experiment {
    /// Makes the experiment compute a metric. If it does so already, it stays unchanged, and so does its identity.
    pub fn compute(&mut self, name: MetricName) {
        if !computed(self).any(|metric| metric == name.metric) {
            self.training.metrics.push(OptionalMetric { metric: name.metric });
            self.training.metrics = OptionalMetric::sorted(&self.training.metrics);
        }
    }
}

/// A metric column of the history.
struct Column {
    rows: Rows,
    /// The name without the prefix.
    name: String,
    info: MetricInfo,
}

fn all(experiment: &Experiment) -> Vec<Column> {
    let mut columns = Vec::new();
    for rows in Rows::ALL.into_iter().filter(|rows| rows.are_evaluated(experiment)) {
        for metric in computed(experiment).filter(|metric| rows.has_column(metric)) {
            for name in metric.columns(&experiment.training.top_k) {
                let info =
                    MetricInfo { name: format!("{}{name}", rows.prefix()), better: metric.better };
                columns.push(Column { rows, name, info });
            }
        }
    }
    // The columns that every history has come first. The sort is stable.
    columns.sort_by_key(|column| is_extra(&column.info.name));
    columns
}

/// Whether a column comes after those that every history has.
fn is_extra(column: &str) -> bool {
    !history::COLUMNS.contains(&column)
}

/// The metrics of an experiment's history, in the order of its columns.
pub(crate) fn columns(experiment: &Experiment) -> Vec<MetricInfo> {
    all(experiment).into_iter().map(|column| column.info).collect()
}

/// The columns of an experiment's history after those that every history has.
pub(crate) fn extra_columns(experiment: &Experiment) -> Vec<String> {
    let columns = columns(experiment).into_iter().map(|column| column.name);
    columns.filter(|column| is_extra(column)).collect()
}

/// The columns of the metrics of the training steps.
pub(crate) fn columns_of_steps(experiment: &Experiment) -> Vec<String> {
    let columns = all(experiment).into_iter().filter(|column| column.rows == Rows::Running);
    columns.map(|column| column.name).collect()
}

/// The values of an epoch in the order of the columns, without those that are not finite. `of_steps` returns those of the
/// training steps, by their columns.
pub(crate) fn values(
    experiment: &Experiment,
    of_steps: &dyn Fn(&str) -> Option<f64>,
    evaluated: &[(Rows, &Metrics)],
) -> Vec<(Arc<str>, f64)> {
    let value = |column: Column| {
        if column.rows == Rows::Running {
            return Some((column.name.as_str().into(), of_steps(&column.name)?));
        }
        let (_, metrics) = evaluated.iter().find(|(rows, _)| *rows == column.rows)?;
        Some((column.info.name.into(), metrics.value(&column.name)?))
    };
    all(experiment).into_iter().filter_map(value).collect()
}
