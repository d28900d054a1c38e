use std::collections::HashMap;

use crate::prune::PruneConfig;

/// Asynchronous successive halving: the metrics of the runs at the rungs that they have reached.
///
/// A run continues if it is among the best 1/`reduction` (rounded up) of the runs that have reached the rung so far,
/// including itself. No run waits for another. The first runs at a rung therefore continue more easily, and which runs are
/// pruned depends on the order in which they arrive. See Li et al., "A System for Massively Parallel Hyperparameter
/// Tuning", MLSys 2020. Like Ray Tune's scheduler of that name, Kiln ends runs for good instead of pausing them.
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
    use std::num::NonZeroUsize;

    use kiln_train::MetricName;

    use super::*;
    use crate::prune::PruneOrder;

    fn rungs(min_epochs: usize, reduction: usize, metric: MetricName) -> Rungs {
        let min_epochs = NonZeroUsize::new(min_epochs).expect("not zero");
        Rungs::new(PruneConfig { metric, min_epochs, reduction, order: PruneOrder::Arrival })
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
