use std::sync::Arc;

use kiln_model::Weights;
use kiln_store::EpochRow;

use super::cross_fit::CrossFit;
use crate::experiment::{Experiment, WeightsChoice};
use crate::metrics::Monitor;

/// A copy of the weights on the host, and the epoch after which it was taken; 0 is before the first.
///
/// Cloning it shares the weights.
#[derive(Clone)]
pub(crate) struct WeightsSnapshot {
    pub(crate) weights: Arc<Weights>,
    pub(crate) epoch: usize,
}

impl WeightsSnapshot {
    pub(crate) fn new(weights: Weights, epoch: usize) -> Self {
        Self { weights: Arc::new(weights), epoch }
    }
}

/// Tracks the best epoch, and keeps its weights if the experiment asks for them.
pub(crate) struct BestWeights {
    pub(crate) monitor: Monitor,
    /// Whether the run tests the weights of the best epoch instead of the last one's.
    pub(crate) restores_best: bool,
    /// The best epoch so far, from 1; 0 before the first.
    pub(crate) epoch: usize,
    /// The weights of that epoch, if the run tests them.
    pub(crate) snapshot: Option<WeightsSnapshot>,
    /// Present if the run tests the best epoch by a metric of the validation rows. Absent in a run that was resumed from a
    /// checkpoint of an earlier version of Kiln.
    pub(crate) cross_fit: Option<CrossFit>,
}

impl BestWeights {
    pub(crate) fn new(experiment: &Experiment) -> Self {
        let restoring = experiment.early_stopping.as_ref().filter(|stopping| stopping.restore_best);
        let monitor = match restoring {
            Some(stopping) => Monitor::new(stopping.monitor, stopping.min_delta),
            None => Monitor::new(experiment.training.monitor, 0.0),
        };
        let restores_best =
            restoring.is_some() || experiment.training.weights == WeightsChoice::Best;
        let is_cross_fitted = restores_best && monitor.metric.is_of_validation();
        let cross_fit = is_cross_fitted.then(|| CrossFit::new(&monitor));
        Self { monitor, restores_best, epoch: 0, snapshot: None, cross_fit }
    }

    /// Records an epoch. Returns whether its weights are the ones to test, as far as is known by now.
    pub(crate) fn observe(&mut self, row: &EpochRow, current: &WeightsSnapshot) -> bool {
        if !self.monitor.observe(row) {
            return false;
        }
        // Also without `restores_best`: a checkpoint of the best epoch is kept in any case.
        self.epoch = current.epoch;
        if self.restores_best {
            self.snapshot = Some(current.clone());
        }
        self.restores_best
    }
}
