//! Pruning: runs that fall behind are stopped.

mod arrival;
mod fixed;

use std::num::NonZeroUsize;

use kiln_config::{ConfigError, FromValue, Table, Value};
use kiln_train::MetricName;

pub(crate) use arrival::Rungs;
pub(crate) use fixed::{Brackets, Decision, RungSplit};

/// The `[prune]` table: successive halving, in the variant that stops runs.
///
/// Runs are compared at the epochs `min_epochs`, `min_epochs · reduction`, `min_epochs · reduction²`, …, which are
/// called rungs. The best 1/`reduction` (rounded up) of the runs that reach a rung continue. The others end there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneConfig {
    /// The metric that runs are compared by.
    pub metric: MetricName,
    /// The first rung. No run is pruned at an earlier epoch.
    pub min_epochs: NonZeroUsize,
    /// The reduction factor η, at least 2: one of η runs continues at each rung, and each rung is η times as late as
    /// the previous one.
    pub reduction: usize,
    /// Which runs a run is compared with.
    pub order: PruneOrder,
}

/// Which runs are compared at a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneOrder {
    /// All runs that reach the rung. A run waits until it is certain whether it continues, so which runs are pruned depends
    /// on nothing but the plan and the results.
    Fixed,
    /// The runs that have reached the rung so far. No run waits, and which runs are pruned depends on the order in which
    /// they arrive.
    Arrival,
}

impl FromValue for PruneOrder {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match String::from_value(value)?.as_str() {
            "fixed" => Ok(Self::Fixed),
            "arrival" => Ok(Self::Arrival),
            _ => Err(value.expected("\"fixed\" or \"arrival\"")),
        }
    }
}

impl PruneConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            metric: table.default("metric", MetricName::VAL_ACCURACY)?,
            min_epochs: table.default("min_epochs", NonZeroUsize::MIN)?,
            reduction: table.checked("reduction", 3, "a whole number, 2 or more", |r| *r >= 2)?,
            order: table.default("order", PruneOrder::Fixed)?,
        })
    }

    /// The rules of a search with a budget, for runs of so many epochs: rungs at 1/27, 1/9 and 1/3 of them.
    pub(crate) fn of_budget(metric: MetricName, epochs: usize) -> Self {
        const REDUCTION: usize = 3;
        let first = epochs.div_ceil(REDUCTION.pow(3));
        Self {
            metric,
            min_epochs: NonZeroUsize::new(first).unwrap_or(NonZeroUsize::MIN),
            reduction: REDUCTION,
            order: PruneOrder::Arrival,
        }
    }

    /// Whether runs of `epochs` epochs are compared after this epoch. The last epoch is never a rung, because ending a
    /// run there would save nothing.
    pub(crate) fn is_rung(&self, epoch: usize, epochs: usize) -> bool {
        self.rungs(epochs).any(|rung| rung == epoch)
    }

    /// The epochs after which runs of `epochs` epochs are compared.
    pub fn rungs(&self, epochs: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, reduction) = (self.min_epochs.get(), self.reduction);
        let rungs = std::iter::successors(Some(first), move |rung| rung.checked_mul(reduction));
        rungs.take_while(move |rung| *rung < epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_powers_of_the_reduction_apart() {
        let config = PruneConfig {
            metric: MetricName::VAL_LOSS,
            min_epochs: NonZeroUsize::new(2).expect("not zero"),
            reduction: 3,
            order: PruneOrder::Fixed,
        };
        let found: Vec<usize> = (1..=54).filter(|epoch| config.is_rung(*epoch, 54)).collect();
        assert_eq!(found, [2, 6, 18]);
    }
}
