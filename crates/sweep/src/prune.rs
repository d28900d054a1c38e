use std::collections::HashMap;
use std::num::NonZeroUsize;

use kiln_config::{ConfigError, Table};
use kiln_train::MetricName;

/// The `[prune]` table: asynchronous successive halving in the form that stops runs.
///
/// At the epochs `min_epochs`, `min_epochs · reduction`, `min_epochs · reduction²`, … (the rungs) a run
/// goes on if it is among the best 1/`reduction` of those that have come so far, itself included and
/// rounded up; otherwise it ends there. Nobody waits for others, so the first to come go on more easily,
/// and which runs are ended depends on the order in which they come (Li et al., "A System for Massively
/// Parallel Hyperparameter Tuning", MLSys 2020; runs are stopped for good rather than paused, as Ray
/// Tune's scheduler of that name does).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneConfig {
    /// What runs are compared by.
    pub metric: MetricName,
    /// Epochs before the first rung: no run ends sooner.
    pub min_epochs: NonZeroUsize,
    /// η: one of so many goes on from a rung to the next, and rungs are so many times apart.
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

    /// Whether runs of `epochs` epochs are compared after this one; after the last there is nothing
    /// to spare.
    pub(crate) fn is_rung(&self, epoch: usize, epochs: usize) -> bool {
        let mut rung = self.min_epochs.get();
        while rung < epoch {
            rung = rung.saturating_mul(self.reduction);
        }
        rung == epoch && epoch < epochs
    }
}

/// What runs came to at the rungs.
#[derive(Debug)]
pub(crate) struct Rungs {
    pub(crate) config: PruneConfig,
    /// By epoch, then by run.
    values: HashMap<usize, HashMap<usize, f64>>,
}

impl Rungs {
    pub(crate) fn new(config: PruneConfig) -> Self {
        Self { config, values: HashMap::new() }
    }

    /// Notes what a run came to, and says whether it goes on. A run without a value goes on: it will
    /// end by itself.
    pub(crate) fn goes_on(
        &mut self,
        run: usize,
        epoch: usize,
        epochs: usize,
        value: Option<f64>,
    ) -> bool {
        let Some(value) = value.filter(|_| self.config.is_rung(epoch, epochs)) else { return true };
        let rung = self.values.entry(epoch).or_default();
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
    fn the_best_third_goes_on() {
        let mut rungs = rungs(1, 3, MetricName::VAL_ACCURACY);
        // Of one the best is one; of two to three one; of four two.
        let values = [0.5, 0.4, 0.3, 0.45, 0.6, 0.1, 0.55];
        let found: Vec<bool> =
            (0..).zip(values).map(|(run, value)| rungs.goes_on(run, 1, 10, Some(value))).collect();
        assert_eq!(found, [true, false, false, true, true, false, true]);
    }

    #[test]
    fn a_lower_loss_is_better_and_only_rungs_count() {
        let mut rungs = rungs(1, 2, MetricName::VAL_LOSS);
        assert!(rungs.goes_on(0, 1, 8, Some(0.2)));
        assert!(!rungs.goes_on(1, 1, 8, Some(0.3)));
        assert!(rungs.goes_on(1, 3, 8, Some(9.0)), "no rung");
        assert!(rungs.goes_on(1, 8, 8, Some(9.0)), "the last epoch");
        assert!(rungs.goes_on(2, 1, 8, None), "no value");
    }
}
