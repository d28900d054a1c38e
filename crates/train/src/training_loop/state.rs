use kiln_model::Weights;
use kiln_store::Position;
use rand_chacha::ChaCha8Rng;

use super::best_weights::{BestWeights, WeightsSnapshot};
use super::early_stopping::EarlyStopping;
use super::stopwatch::Stopwatch;
use crate::experiment::Experiment;
use crate::metrics::Metrics;
use crate::random::{Purpose, stream};

/// Everything that training carries from one step to the next, except the engine. Together they determine the rest of
/// the run, and a checkpoint stores both.
pub(crate) struct TrainingState {
    /// Completed epochs.
    pub(crate) epochs: usize,
    /// The epoch after these. Its step is 0 until it begins.
    pub(crate) partial_epoch: PartialEpoch,
    pub(crate) best: BestWeights,
    pub(crate) early_stopping: Option<EarlyStopping>,
    /// The weights after the last completed epoch that the run keeps: their running average if it asks for one.
    pub(crate) last: WeightsSnapshot,
    /// The reason, if early stopping ended training before its last epoch.
    pub(crate) stopped_early: Option<String>,
    /// Time spent on training.
    pub(crate) stopwatch: Stopwatch,
}

/// An epoch that is not completed.
pub(crate) struct PartialEpoch {
    /// Completed steps.
    pub(crate) step: usize,
    /// Draws the dropout masks of this epoch.
    pub(crate) dropout_rng: ChaCha8Rng,
    pub(crate) metrics: Metrics,
    /// Time spent on this epoch.
    pub(crate) stopwatch: Stopwatch,
}

impl TrainingState {
    /// The state before the first step.
    pub(crate) fn new(experiment: &Experiment, classes: usize, weights: Weights) -> Self {
        // The initial weights count as those of epoch 0: a run that is interrupted in its first epoch keeps them.
        Self {
            epochs: 0,
            partial_epoch: PartialEpoch::new(experiment, classes, 1),
            best: BestWeights::new(experiment),
            early_stopping: experiment.early_stopping.as_ref().map(EarlyStopping::new),
            last: WeightsSnapshot::new(weights, 0),
            stopped_early: None,
            stopwatch: Stopwatch::default(),
        }
    }

    /// The number of completed epochs, and of completed steps in the current one.
    pub(crate) fn position(&self) -> Position {
        Position { epochs: self.epochs, step: self.partial_epoch.step }
    }
}

impl PartialEpoch {
    /// An epoch before its first step; `epoch` counts from 1.
    pub(crate) fn new(experiment: &Experiment, classes: usize, epoch: usize) -> Self {
        Self {
            step: 0,
            dropout_rng: stream(experiment.seed, Purpose::Dropout, epoch),
            metrics: Metrics::new(experiment, classes),
            stopwatch: Stopwatch::default(),
        }
    }
}
