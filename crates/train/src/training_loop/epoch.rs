//! The parts of an epoch: the order of its rows, its learning rates, and its row of the history.

use kiln_data::{Dataset, EpochAugmenter, Normalizer, Split, sample_balanced, shuffle};
use kiln_store::EpochRow;
use tracing::info;

use super::observer::EpochEnd;
use super::state::PartialEpoch;
use crate::engine::Engine;
use crate::evaluation::{evaluate, evaluate_halves};
use crate::experiment::{Experiment, Sampling};
use crate::metrics::{self, Metrics, Rows};
use crate::random::{Purpose, stream};
use crate::schedules::{EpochSchedule, RunLength};

/// The experiment and its data, as the training loop reads them.
#[derive(Clone, Copy)]
pub(crate) struct TrainingData<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) dataset: &'a Dataset,
    pub(crate) split: &'a Split,
    pub(crate) normalizer: &'a Normalizer,
    /// The weight of each class in training; empty if all images count the same.
    pub(crate) class_weights: &'a [f64],
}

impl TrainingData<'_> {
    /// The number of epochs, unless something stops training earlier.
    pub(crate) fn epochs(&self) -> usize {
        self.experiment.training.epochs.get()
    }

    pub(crate) fn steps_per_epoch(&self) -> usize {
        self.split.training.len().div_ceil(self.experiment.training.batch_size.get())
    }

    /// The rows of this epoch, in order. Seed and epoch determine them, so a checkpoint does not store them.
    pub(crate) fn row_order(&self, epoch: usize) -> Vec<u32> {
        let Experiment { seed, training, .. } = self.experiment;
        if training.sampling == Sampling::Balanced {
            let mut rng = stream(*seed, Purpose::Sampling, epoch);
            return sample_balanced(&self.split.training, &self.dataset.images.labels, &mut rng);
        }
        // Always shuffled from the same order: shuffling the previous epoch's rows would depend on all epochs before.
        let mut rows = self.split.training.clone();
        if training.shuffle {
            shuffle(&mut rows, &mut stream(*seed, Purpose::Shuffle, epoch));
        }
        rows
    }

    /// How training images are transformed in this epoch. Seed and epoch determine it, so a checkpoint does not store it.
    pub(crate) fn augmenter(&self, epoch: usize) -> EpochAugmenter<'_> {
        let Experiment { augment, seed, .. } = self.experiment;
        EpochAugmenter::new(augment, epoch, |epoch| stream(*seed, Purpose::Augment, epoch))
    }

    /// The schedule in the epoch after these rows of the history.
    pub(crate) fn schedule(&self, rows: &[EpochRow]) -> EpochSchedule {
        let Experiment { optimizer, schedule, earlier, .. } = self.experiment;
        let steps_per_epoch = self.steps_per_epoch();
        let (schedule, rate, epochs) = match earlier.of_epoch(rows.len() + 1) {
            Some(phase) => (&phase.schedule, phase.learning_rate, phase.epochs.get()),
            None => (schedule, optimizer.learning_rate, self.epochs()),
        };
        schedule.after(rows, rate, RunLength { epochs, steps_per_epoch })
    }

    /// The report of an epoch for the observer.
    pub(crate) fn epoch_end<'b>(&self, row: &'b EpochRow, is_best: bool) -> EpochEnd<'b> {
        EpochEnd { row, epochs: self.epochs(), steps: self.steps_per_epoch(), best: is_best }
    }

    /// The epoch before its first step.
    pub(crate) fn new_epoch(&self, epoch: usize) -> PartialEpoch {
        PartialEpoch::new(self.experiment, self.classes(), epoch)
    }

    fn classes(&self) -> usize {
        self.dataset.class_names.len()
    }

    /// Evaluates an epoch. `of_steps` returns the metrics of the training steps, `learning_rate` is that of the last step.
    /// `in_halves` is whether to evaluate both halves of the validation rows separately, too.
    pub(crate) fn evaluate(
        &self,
        engine: &Engine,
        epoch: usize,
        of_steps: &dyn Fn(&str) -> Option<f64>,
        learning_rate: f64,
        in_halves: bool,
    ) -> EvaluatedEpoch {
        let new = || Metrics::of_evaluation(self.experiment, self.classes());
        let images = &self.dataset.images;
        // Without rows, a mean would be 0 / 0.
        let validation = Some(self.split.validation.as_slice()).filter(|rows| !rows.is_empty());
        let (validation, halves) = match validation {
            Some(rows) if in_halves => {
                let halves = [new(), new()];
                let evaluated =
                    evaluate_halves(engine, images, rows, self.normalizer, new(), halves);
                (Some(evaluated.0), Some(evaluated.1))
            }
            Some(rows) => (Some(evaluate(engine, images, rows, self.normalizer, new())), None),
            None => (None, None),
        };
        let training = self.experiment.training.evaluate_training_set;
        let training = training
            .then(|| evaluate(engine, images, &self.split.training, self.normalizer, new()));
        let mut metrics = Vec::new();
        metrics.extend(validation.iter().map(|metrics| (Rows::Validation, metrics)));
        metrics.extend(training.iter().map(|metrics| (Rows::Training, metrics)));
        let row = |of_steps: &dyn Fn(&str) -> Option<f64>, metrics: &[(Rows, &Metrics)]| EpochRow {
            epoch,
            learning_rate,
            seconds: 0.0,
            metrics: metrics::values(self.experiment, of_steps, metrics),
        };
        let half = |metrics: Metrics| ValidationHalf {
            row: row(&|_| None, &[(Rows::Validation, &metrics)]),
            correct: metrics.correct(),
        };
        EvaluatedEpoch {
            row: row(of_steps, &metrics),
            halves: halves.map(|halves| halves.map(half)),
        }
    }
}

/// The results of an epoch.
pub(crate) struct EvaluatedEpoch {
    /// Its row of the history, except the seconds.
    pub(crate) row: EpochRow,
    /// The validation rows at even places, and those at odd places.
    pub(crate) halves: Option<[ValidationHalf; 2]>,
}

/// The results of an epoch on half of the validation rows.
pub(crate) struct ValidationHalf {
    /// Only with the metrics of the validation rows.
    pub(crate) row: EpochRow,
    /// How many of the rows were classified correctly.
    pub(crate) correct: usize,
}

/// Writes an epoch to the run's log.
pub(crate) fn log(row: &EpochRow) {
    info!(
        epoch = row.epoch,
        loss = row.metric("loss"),
        accuracy = row.metric("accuracy"),
        val_loss = row.metric("val_loss"),
        val_accuracy = row.metric("val_accuracy"),
        seconds = row.seconds,
        "epoch"
    );
}
