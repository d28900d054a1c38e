use std::collections::HashMap;

use kiln_store::history::COLUMNS;
use kiln_store::{Direction, History, MetricInfo};

use crate::combination::EpochValue;

/// A metric of a run's history.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSummary {
    /// Its name, and whether lower or higher values are better.
    pub info: MetricInfo,
    /// The epoch with the best value, the earlier of equals.
    pub best: EpochValue,
    /// The last epoch, if it has the metric.
    pub last: Option<EpochValue>,
}

impl MetricSummary {
    /// The metrics of a history that have a value, in the order of its columns. `recorded` is what `run.json` says of them;
    /// it is empty if an earlier Kiln wrote the run.
    pub(crate) fn all(recorded: &[MetricInfo], history: &History) -> Vec<Self> {
        let recorded: HashMap<&str, Direction> =
            recorded.iter().map(|info| (info.name.as_str(), info.better)).collect();
        let direction =
            |name| recorded.get(name).copied().unwrap_or_else(|| Direction::of_name(name));
        let mut summaries: HashMap<&str, Self> = HashMap::new();
        // One pass over the values: a history from anywhere may have many columns and many epochs.
        for row in &history.rows {
            for (name, value) in row.metrics.iter().filter(|(_, value)| value.is_finite()) {
                let value = EpochValue { epoch: row.epoch, value: *value };
                let summary = summaries.entry(&**name).or_insert_with(|| {
                    let (name, better) = (name.to_string(), direction(name));
                    Self { info: MetricInfo { name, better }, best: value, last: None }
                });
                if summary.info.better.improves(value.value, summary.best.value, 0.0) {
                    summary.best = value;
                }
                summary.last = (row.epoch == history.rows.len()).then_some(value);
            }
        }
        let columns = COLUMNS.into_iter().chain(history.extra_columns.iter().map(String::as_str));
        columns.filter_map(|column| summaries.remove(column)).collect()
    }
}
