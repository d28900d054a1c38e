use serde::{Deserialize, Serialize};

/// A metric of a run's history, as `run.json` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricInfo {
    /// Its column of `history.csv`.
    pub name: String,
    /// Whether lower or higher values are better.
    pub better: Direction,
}

/// Whether lower or higher values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// As of a loss.
    Lower,
    /// As of an accuracy.
    Higher,
}

impl Direction {
    /// The direction of a metric that `run.json` does not list, because an earlier Kiln wrote it: lower is better if the
    /// name ends in `loss`.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        if name.ends_with("loss") { Self::Lower } else { Self::Higher }
    }

    /// Whether `value` is better than `best` by more than `min_delta`.
    #[must_use]
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Lower => value < best - min_delta,
            Self::Higher => value > best + min_delta,
        }
    }
}
