//! What an epoch consists of: the order of its rows, its learning rates, and its row of the history.

use kiln_data::{Dataset, Normalizer, Split, shuffle};
use kiln_store::EpochRow;
use tracing::info;

use super::observer::EpochEnd;
use crate::engine::Engine;
use crate::evaluation::evaluate;
use crate::experiment::Experiment;
use crate::metrics::Metrics;
use crate::random::{Purpose, stream};
use crate::schedules::{EpochSchedule, RunLength};

/// The experiment and its data, as the training loop reads them.
#[derive(Clone, Copy)]
pub(crate) struct TrainingData<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) dataset: &'a Dataset,
    pub(crate) split: &'a Split,
    pub(crate) normalizer: &'a Normalizer,
}

impl TrainingData<'_> {
    /// The number of epochs, unless something stops training earlier.
    pub(crate) fn epochs(&self) -> usize {
        self.experiment.training.epochs.get()
    }

    pub(crate) fn steps_per_epoch(&self) -> usize {
        self.split.training.len().div_ceil(self.experiment.training.batch_size.get())
    }

    /// The training rows in the order of this epoch. Seed and epoch determine the order, so a checkpoint does not store
    /// it.
    pub(crate) fn rows(&self, epoch: usize) -> Vec<u32> {
        let mut rows = self.split.training.clone();
        if self.experiment.training.shuffle {
            shuffle(&mut rows, &mut stream(self.experiment.seed, Purpose::Shuffle, epoch));
        }
        rows
    }

    /// The schedule in the epoch after these rows of the history.
    pub(crate) fn schedule(&self, rows: &[EpochRow]) -> EpochSchedule {
        let Experiment { optimizer, schedule, .. } = self.experiment;
        let length = RunLength { epochs: self.epochs(), steps_per_epoch: self.steps_per_epoch() };
        schedule.after(rows, optimizer.learning_rate, length)
    }

    /// What the observer learns about an epoch.
    pub(crate) fn epoch_end<'b>(&self, row: &'b EpochRow, is_best: bool) -> EpochEnd<'b> {
        EpochEnd { row, epochs: self.epochs(), steps: self.steps_per_epoch(), best: is_best }
    }

    /// The row of the history for an epoch, except its seconds. `learning_rate` is that of its last step.
    pub(crate) fn row(
        &self,
        engine: &Engine,
        epoch: usize,
        metrics: &Metrics,
        learning_rate: f64,
    ) -> EpochRow {
        let Experiment { training, loss, .. } = self.experiment;
        let on = |rows: &[u32]| {
            let images = &self.dataset.train;
            evaluate(engine, images, rows, self.normalizer, *loss, &training.top_k)
        };
        let validation = &self.split.validation;
        let validation = (!validation.is_empty()).then(|| on(validation));
        let mut row = EpochRow {
            epoch,
            loss: finite(metrics.loss()),
            accuracy: finite(metrics.accuracy()),
            val_loss: validation.as_ref().and_then(|metrics| finite(metrics.loss())),
            val_accuracy: validation.as_ref().and_then(|metrics| finite(metrics.accuracy())),
            learning_rate,
            seconds: 0.0,
            extra: metrics.top_k().map(|(k, share)| (format!("top_{k}_accuracy"), share)).collect(),
        };
        if let Some(metrics) = &validation {
            row.extra
                .extend(metrics.top_k().map(|(k, share)| (format!("val_top_{k}_accuracy"), share)));
        }
        if training.evaluate_training_set {
            let metrics = on(&self.split.training);
            row.extra.insert("train_loss".to_owned(), metrics.loss());
            row.extra.insert("train_accuracy".to_owned(), metrics.accuracy());
        }
        row.extra.retain(|_, value| value.is_finite());
        row
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

pub(crate) fn log(row: &EpochRow) {
    info!(
        epoch = row.epoch,
        loss = row.loss,
        accuracy = row.accuracy,
        val_loss = row.val_loss,
        val_accuracy = row.val_accuracy,
        seconds = row.seconds,
        "epoch"
    );
}

/// The columns of the history after the usual ones.
pub(crate) fn extra_columns(experiment: &Experiment) -> Vec<String> {
    let training = &experiment.training;
    let validates = !matches!(experiment.data.validation, kiln_data::Validation::Rows(0));
    let mut columns: Vec<String> =
        training.top_k.iter().map(|k| format!("top_{k}_accuracy")).collect();
    if validates {
        columns.extend(training.top_k.iter().map(|k| format!("val_top_{k}_accuracy")));
    }
    if training.evaluate_training_set {
        columns.extend(["train_loss".to_owned(), "train_accuracy".to_owned()]);
    }
    columns
}
