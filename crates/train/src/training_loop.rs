use std::ops::ControlFlow;
use std::time::Instant;

use kiln_data::{Batch, Dataset, Normalizer, Split, gather, shuffle};
use kiln_model::Weights;
use kiln_report::{EpochRow, History, HistoryWriter};
use tracing::info;

use crate::TrainError;
use crate::config::{EarlyStoppingConfig, WeightsChoice};
use crate::engine::Engine;
use crate::evaluation::evaluate;
use crate::experiment::Experiment;
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::observer::{EpochEnd, Observer, Progress, Stop};
use crate::random::{Purpose, stream};

/// What the loop reads.
pub(crate) struct Material<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) dataset: &'a Dataset,
    pub(crate) split: &'a Split,
    pub(crate) normalizer: &'a Normalizer,
}

/// What the loop leaves.
pub(crate) struct Trained {
    pub(crate) history: History,
    pub(crate) ending: Ending,
    /// The weights that are tested and kept.
    pub(crate) kept: Kept,
    pub(crate) seconds: f64,
}

/// Weights, and the epoch after which they were taken; 0 is before the first.
pub(crate) struct Kept {
    pub(crate) weights: Weights,
    pub(crate) epoch: usize,
}

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    AllEpochs,
    Early(String),
    Diverged(String),
    Interrupted(String),
    Pruned(String),
}

impl Ending {
    /// The observer's wish, at this place.
    fn stopped(stop: Stop, place: String) -> Self {
        match stop {
            Stop::Interrupted => Self::Interrupted(place),
            Stop::Pruned => Self::Pruned(place),
        }
    }
}

/// Trains for the epochs of the experiment, or until early stopping, a loss that is not finite, or
/// the observer ends it.
pub(crate) fn train(
    material: &Material<'_>,
    engine: &mut Engine,
    writer: &mut HistoryWriter,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let Experiment { training, early_stopping, .. } = material.experiment;
    let epochs = training.epochs.get();
    let start = Instant::now();
    let mut history =
        History { extra_columns: extra_columns(material.experiment), rows: Vec::new(), cut: false };
    let mut keeper = Keeper::new(material.experiment);
    let mut patience = early_stopping.as_ref().map(Patience::new);
    let mut last = Kept { weights: engine.weights(), epoch: 0 };
    let mut ending = Ending::AllEpochs;

    for epoch in 1..=epochs {
        let begun = Instant::now();
        let metrics = match train_epoch(material, engine, epoch, observer) {
            Ok(metrics) => metrics,
            Err(broken) => {
                ending = broken;
                break;
            }
        };
        let mut row = epoch_row(material, engine, epoch, &metrics);
        row.seconds = begun.elapsed().as_secs_f64();
        writer.append(&row)?;

        let now = Kept { weights: engine.weights(), epoch };
        // The step that breaks the weights may be the epoch's last: its own loss was still finite.
        let validated = material.split.validation.is_empty() || row.val_loss.is_some();
        let sound = validated && now.weights.are_finite();
        let best = sound && keeper.observe(&row, &now);
        let steps = steps_per_epoch(material);
        let go_on = observer.epoch_ended(EpochEnd { row: &row, epochs, steps, best });
        log(&row);
        let out_of_patience = patience.as_mut().and_then(|patience| patience.observe(&row));
        history.rows.push(row);
        if !sound {
            ending = Ending::Diverged(format!(
                "weights or validation loss were no longer finite after epoch {epoch}"
            ));
            break;
        }
        last = now;
        if let ControlFlow::Break(stop) = go_on {
            ending = Ending::stopped(stop, format!("after epoch {epoch}"));
            break;
        }
        if let Some(reason) = out_of_patience.filter(|_| epoch < epochs) {
            ending = Ending::Early(reason);
            break;
        }
    }
    let kept = keeper.kept.filter(|_| !matches!(ending, Ending::Diverged(_))).unwrap_or(last);
    Ok(Trained { history, ending, kept, seconds: start.elapsed().as_secs_f64() })
}

fn log(row: &EpochRow) {
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

/// One pass over the training rows; an error is what ended it before its last step.
fn train_epoch(
    material: &Material<'_>,
    engine: &mut Engine,
    epoch: usize,
    observer: &mut dyn Observer,
) -> Result<Metrics, Ending> {
    let Experiment { seed, training, optimizer, schedule, loss, .. } = material.experiment;
    let epochs = training.epochs.get();
    let steps = steps_per_epoch(material);
    let mut rows = material.split.training.clone();
    if training.shuffle {
        shuffle(&mut rows, &mut stream(*seed, Purpose::Shuffle, epoch));
    }
    let mut masks = stream(*seed, Purpose::Dropout, epoch);
    let mut metrics = Metrics::new(*loss, &training.top_k);
    let mut batch = Batch::new(material.dataset.train.shape);

    for (index, rows) in rows.chunks(training.batch_size.get()).enumerate() {
        let rate =
            schedule.rate(optimizer.learning_rate, (epoch - 1) * steps + index, steps, epochs);
        if !rate.is_finite() {
            return Err(Ending::Diverged(format!(
                "the learning rate became {rate} in epoch {epoch}, step {}",
                index + 1
            )));
        }
        gather(&material.dataset.train, rows, material.normalizer, &mut batch);
        let logits = engine.step(&batch.pixels, &batch.labels, rate, &mut masks);
        let loss = metrics.add(&logits, &batch.labels);
        let step = index + 1;
        if !loss.is_finite() {
            return Err(Ending::Diverged(format!(
                "the loss became {loss} in epoch {epoch}, step {step}"
            )));
        }
        let (loss, accuracy) = (metrics.loss(), metrics.accuracy());
        let progress = Progress { epoch, epochs, step, steps, loss, accuracy };
        if let ControlFlow::Break(stop) = observer.step_ended(progress) {
            return Err(Ending::stopped(stop, format!("in epoch {epoch}, after step {step}")));
        }
    }
    Ok(metrics)
}

fn steps_per_epoch(material: &Material<'_>) -> usize {
    material.split.training.len().div_ceil(material.experiment.training.batch_size.get())
}

fn epoch_row(
    material: &Material<'_>,
    engine: &Engine,
    epoch: usize,
    metrics: &Metrics,
) -> EpochRow {
    let Experiment { training, loss, .. } = material.experiment;
    let on = |rows: &[u32]| {
        let images = &material.dataset.train;
        evaluate(engine, images, rows, material.normalizer, *loss, &training.top_k)
    };
    let validation = &material.split.validation;
    let validation = (!validation.is_empty()).then(|| on(validation));
    let mut row = EpochRow {
        epoch,
        loss: finite(metrics.loss()),
        accuracy: finite(metrics.accuracy()),
        val_loss: validation.as_ref().and_then(|metrics| finite(metrics.loss())),
        val_accuracy: validation.as_ref().and_then(|metrics| finite(metrics.accuracy())),
        learning_rate: last_rate(material, epoch),
        seconds: 0.0,
        extra: metrics.top_k().map(|(k, share)| (format!("top_{k}_accuracy"), share)).collect(),
    };
    if let Some(metrics) = &validation {
        row.extra
            .extend(metrics.top_k().map(|(k, share)| (format!("val_top_{k}_accuracy"), share)));
    }
    if training.evaluate_training_set {
        let metrics = on(&material.split.training);
        row.extra.insert("train_loss".to_owned(), metrics.loss());
        row.extra.insert("train_accuracy".to_owned(), metrics.accuracy());
    }
    row.extra.retain(|_, value| value.is_finite());
    row
}

/// The learning rate of an epoch's last step.
fn last_rate(material: &Material<'_>, epoch: usize) -> f64 {
    let Experiment { training, optimizer, schedule, .. } = material.experiment;
    let steps = steps_per_epoch(material);
    schedule.rate(optimizer.learning_rate, epoch * steps - 1, steps, training.epochs.get())
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The columns of the history behind the usual ones.
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

/// Early stopping: counts the epochs since the monitor's best.
struct Patience {
    monitor: Monitor,
    epochs: usize,
}

impl Patience {
    fn new(config: &EarlyStoppingConfig) -> Self {
        Self { monitor: Monitor::new(config.monitor, config.min_delta), epochs: config.patience }
    }

    /// Why to stop after this epoch, if it is time.
    fn observe(&mut self, row: &EpochRow) -> Option<String> {
        self.monitor.observe(row);
        let waited = self.monitor.waited;
        (waited > 0 && waited >= self.epochs).then(|| {
            let metric = self.monitor.metric;
            let epochs = if waited == 1 { "epoch" } else { "epochs" };
            format!("early stopping: {metric} did not improve for {waited} {epochs}")
        })
    }
}

/// Keeps the best epoch's weights where the experiment asks for them.
struct Keeper {
    monitor: Option<Monitor>,
    kept: Option<Kept>,
}

impl Keeper {
    fn new(experiment: &Experiment) -> Self {
        let restored = experiment.early_stopping.as_ref().filter(|stopping| stopping.restore_best);
        let monitor = match (restored, experiment.training.weights) {
            (Some(stopping), _) => Some(Monitor::new(stopping.monitor, stopping.min_delta)),
            (None, WeightsChoice::Best) => Some(Monitor::new(experiment.training.monitor, 0.0)),
            (None, WeightsChoice::Last) => None,
        };
        Self { monitor, kept: None }
    }

    fn observe(&mut self, row: &EpochRow, now: &Kept) -> bool {
        let best = self.monitor.as_mut().is_some_and(|monitor| monitor.observe(row));
        if best {
            self.kept = Some(Kept { weights: now.weights.clone(), epoch: now.epoch });
        }
        best
    }
}
