//! What training carries from one step to the next, beside the engine.

use kiln_model::Weights;
use kiln_store::EpochRow;
use rand_chacha::ChaCha8Rng;

use crate::config::{EarlyStoppingConfig, WeightsChoice};
use crate::experiment::Experiment;
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::random::{Purpose, stream};

/// Where training stands. With the engine it decides all that is still to come.
pub(crate) struct Course {
    /// Epochs completed.
    pub(crate) epochs: usize,
    /// The epoch after these, where it has begun.
    pub(crate) under_way: Option<UnderWay>,
    pub(crate) keeper: Keeper,
    pub(crate) patience: Option<Patience>,
    /// The weights after the last completed epoch.
    pub(crate) last: Kept,
    /// Why training is over before its last epoch.
    pub(crate) stopped_early: Option<String>,
    /// Time spent, also by processes that were interrupted.
    pub(crate) seconds: f64,
}

/// An epoch between its first step and its last.
pub(crate) struct UnderWay {
    /// Steps done.
    pub(crate) step: usize,
    /// Dropout's generator.
    pub(crate) masks: ChaCha8Rng,
    pub(crate) metrics: Metrics,
    /// Time spent in the epoch by processes that were interrupted.
    pub(crate) seconds: f64,
}

/// Weights, and the epoch after which they were taken; 0 is before the first.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) weights: Weights,
    pub(crate) epoch: usize,
}

impl Course {
    /// Before the first step.
    pub(crate) fn new(experiment: &Experiment, weights: Weights) -> Self {
        Self {
            epochs: 0,
            under_way: None,
            keeper: Keeper::new(experiment),
            patience: experiment.early_stopping.as_ref().map(Patience::new),
            last: Kept { weights, epoch: 0 },
            stopped_early: None,
            seconds: 0.0,
        }
    }
}

impl UnderWay {
    /// Before the epoch's first step.
    pub(crate) fn new(experiment: &Experiment, epoch: usize) -> Self {
        Self {
            step: 0,
            masks: stream(experiment.seed, Purpose::Dropout, epoch),
            metrics: Metrics::new(experiment.loss, &experiment.training.top_k),
            seconds: 0.0,
        }
    }
}

/// Early stopping: counts the epochs since the monitor's best.
pub(crate) struct Patience {
    pub(crate) monitor: Monitor,
    epochs: usize,
}

impl Patience {
    fn new(config: &EarlyStoppingConfig) -> Self {
        Self { monitor: Monitor::new(config.monitor, config.min_delta), epochs: config.patience }
    }

    /// Why to stop after this epoch, if it is time.
    pub(crate) fn observe(&mut self, row: &EpochRow) -> Option<String> {
        self.monitor.observe(row);
        let waited = self.monitor.seen.waited;
        (waited > 0 && waited >= self.epochs).then(|| {
            let metric = self.monitor.metric;
            let epochs = if waited == 1 { "epoch" } else { "epochs" };
            format!("early stopping: {metric} did not improve for {waited} {epochs}")
        })
    }
}

/// Knows the best epoch, and keeps its weights where the experiment asks for them.
pub(crate) struct Keeper {
    pub(crate) monitor: Monitor,
    /// Whether the best epoch's weights are those that are tested.
    pub(crate) keeps_weights: bool,
    /// The best epoch so far; 0 where there is none.
    pub(crate) best: usize,
    pub(crate) kept: Option<Kept>,
}

impl Keeper {
    fn new(experiment: &Experiment) -> Self {
        let restored = experiment.early_stopping.as_ref().filter(|stopping| stopping.restore_best);
        let monitor = match restored {
            Some(stopping) => Monitor::new(stopping.monitor, stopping.min_delta),
            None => Monitor::new(experiment.training.monitor, 0.0),
        };
        let keeps_weights =
            restored.is_some() || experiment.training.weights == WeightsChoice::Best;
        Self { monitor, keeps_weights, best: 0, kept: None }
    }

    /// Takes an epoch in; whether it is one whose weights are to be tested, as far as one can tell.
    pub(crate) fn observe(&mut self, row: &EpochRow, now: &Kept) -> bool {
        if !self.monitor.observe(row) {
            return false;
        }
        self.best = now.epoch;
        if self.keeps_weights {
            self.kept = Some(now.clone());
        }
        self.keeps_weights
    }
}
