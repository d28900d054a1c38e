use std::collections::HashMap;
use std::num::NonZeroUsize;

use kiln_config::{ConfigError, Table};
use kiln_train::MetricName;

/// The `[prune]` table: asynchronous successive halving, in the variant that stops runs.
///
/// Runs are compared at the epochs `min_epochs`, `min_epochs · reduction`, `min_epochs · reduction²`, …, which are
/// called rungs. A run continues if it is among the best 1/`reduction` (rounded up) of the runs that have reached the rung
/// so far, including itself. Otherwise it ends there.
///
/// No run waits for another. The first runs at a rung therefore continue more easily, and which runs are pruned depends
/// on the order in which they arrive. See Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
/// 2020. Like Ray Tune's scheduler of that name, Kiln ends runs for good instead of pausing them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneConfig {
    /// The metric that runs are compared by.
    pub metric: MetricName,
    /// The first rung. No run is pruned at an earlier epoch.
    pub min_epochs: NonZeroUsize,
    /// The reduction factor η, at least 2: one of η runs continues at each rung, and each rung is η times as late as
    /// the previous one.
    pub reduction: usize,
}

impl PruneConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            metric: table.default("metric", MetricName::VAL_ACCURACY)?,
            min_epochs: table.default("min_epochs", NonZeroUsize::MIN)?,
            reduction: table.checked("reduction", 3, "a whole number, 2 or more", |r| *r >= 2)?,
        })
    }

    /// Whether runs of `epochs` epochs are compared after this epoch. The last epoch is never a rung, because ending a
    /// run there would save nothing.
    pub(crate) fn is_rung(&self, epoch: usize, epochs: usize) -> bool {
        let mut rung = self.min_epochs.get();
        while rung < epoch {
            rung = rung.saturating_mul(self.reduction);
        }
        rung == epoch && epoch < epochs
    }
}

/// The metrics of the runs at the rungs that they have reached.
#[derive(Debug)]
pub(crate) struct Rungs {
    pub(crate) config: PruneConfig,
    /// The metric by epoch and by run.
    values: HashMap<usize, HashMap<usize, f64>>,
}

impl Rungs {
    pub(crate) fn new(config: PruneConfig) -> Self {
        Self { config, values: HashMap::new() }
    }

    /// Records the metric of a run after an epoch and returns whether the run continues. A run without a metric
    /// continues, because it is about to diverge and ends by itself.
    pub(crate) fn record(
        &mut self,
        run: usize,
        epoch: usize,
        epochs: usize,
        value: Option<f64>,
    ) -> bool {
        let Some(value) = value.filter(|_| self.config.is_rung(epoch, epochs)) else { return true };
        let rung = self.values.entry(epoch).or_default();
        // A resumed run reports its last epoch again; the value is the same and counts once.
        rung.insert(run, value);
        let metric = self.config.metric.better();
        let better = rung.values().filter(|other| metric.improves(**other, value, 0.0)).count();
        better < rung.len().div_ceil(self.config.reduction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rungs(min_epochs: usize, reduction: usize, metric: MetricName) -> Rungs {
        let min_epochs = NonZeroUsize::new(min_epochs).expect("not zero");
        Rungs::new(PruneConfig { metric, min_epochs, reduction })
    }

    #[test]
    fn rungs_are_powers_of_the_reduction_apart() {
        let config = rungs(2, 3, MetricName::VAL_LOSS).config;
        let found: Vec<usize> = (1..=54).filter(|epoch| config.is_rung(*epoch, 54)).collect();
        assert_eq!(found, [2, 6, 18]);
    }

    #[test]
    fn the_best_third_continues() {
        let mut rungs = rungs(1, 3, MetricName::VAL_ACCURACY);
        // The best run of up to three continues, the best two of up to six, the best three of seven.
        let values = [0.5, 0.4, 0.3, 0.45, 0.6, 0.1, 0.55];
        let found: Vec<bool> =
            (0..).zip(values).map(|(run, value)| rungs.record(run, 1, 10, Some(value))).collect();
        assert_eq!(found, [true, false, false, true, true, false, true]);
    }

    #[test]
    fn a_lower_loss_is_better_and_only_rungs_count() {
        let mut rungs = rungs(1, 2, MetricName::VAL_LOSS);
        assert!(rungs.record(0, 1, 8, Some(0.2)));
        assert!(!rungs.record(1, 1, 8, Some(0.3)));
        assert!(rungs.record(1, 3, 8, Some(9.0)), "not a rung");
        assert!(rungs.record(1, 8, 8, Some(9.0)), "the last epoch");
        assert!(rungs.record(2, 1, 8, None), "no value");
    }
}
