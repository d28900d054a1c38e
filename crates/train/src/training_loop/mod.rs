//! The training loop: [`TrainingLoop::run`] trains epoch by epoch. After each epoch, it evaluates the
//! network and writes a checkpoint.

mod best_weights;
pub(crate) mod cross_fit;
mod early_stopping;
pub(crate) mod epoch;
pub(crate) mod observer;
mod pending_steps;
pub(crate) mod state;
mod stopwatch;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use kiln_data::{Batch, gather_augmented};
use kiln_store::{EpochRow, History, HistoryWriter};
use tracing::warn;

use crate::TrainError;
use crate::engine::{Engine, EngineSettings, Targets};
use crate::metrics::columns_of_steps;
use crate::resume::checkpoint_writer::CheckpointWriter;
use crate::resume::lock::RunLock;
use crate::shared_training::{SharedEpoch, SharedTraining};
use epoch::{EvaluatedEpoch, TrainingData, ValidationHalf};
use observer::{EpochLog, Observer, Progress, Stop};
use pending_steps::{DivergedStep, PendingSteps};
use state::{PartialEpoch, TrainingState};

pub(crate) use best_weights::WeightsSnapshot;
pub(crate) use stopwatch::Stopwatch;

/// The result of the training loop.
pub(crate) struct Trained {
    pub(crate) stop_reason: StopReason,
    /// The weights to test and to keep.
    pub(crate) weights: WeightsSnapshot,
    /// Time spent on training.
    pub(crate) seconds: f64,
}

/// Why training ended. The texts are shown to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopReason {
    AllEpochs,
    EarlyStopping(String),
    Diverged(String),
    Interrupted(String),
    Pruned(String),
}

impl StopReason {
    /// The observer requested a stop at this place.
    fn requested(stop: Stop, place: String) -> Self {
        match stop {
            Stop::Interrupted => Self::Interrupted(place),
            Stop::Pruned => Self::Pruned(place),
        }
    }

    /// A number that training depends on is not finite.
    fn diverged(what: &str, value: f64, epoch: usize, step: usize) -> Self {
        Self::Diverged(format!("the {what} became {value} in epoch {epoch}, step {step}"))
    }
}

/// How an epoch ended.
enum EpochResult {
    Completed,
    Stopped(StopReason),
}

pub(crate) struct TrainingLoop<'a> {
    pub(crate) data: TrainingData<'a>,
    /// The settings of the engine.
    pub(crate) settings: &'a EngineSettings,
    pub(crate) engine: &'a mut Engine,
    /// After how many steps their logits are read from the device.
    pub(crate) read_interval: NonZeroUsize,
    pub(crate) state: &'a mut TrainingState,
    /// The completed epochs.
    pub(crate) history: &'a mut History,
    pub(crate) history_writer: HistoryWriter,
    pub(crate) checkpoints: CheckpointWriter<'a>,
    pub(crate) lock: &'a RunLock,
    pub(crate) observer: &'a mut dyn Observer,
    /// The training that the run has in common with others.
    pub(crate) shared: Option<&'a mut SharedTraining>,
    pub(crate) epoch_log: Option<&'a mut (dyn EpochLog + 'static)>,
}

/// The results of the steps of an epoch.
struct Steps {
    /// That of the last step.
    learning_rate: f64,
    /// The metrics by the names of their columns and the seconds, if another run has trained the epoch.
    shared: Option<(BTreeMap<String, f64>, f64)>,
}

impl TrainingLoop<'_> {
    /// Trains from the current state until all epochs are done, early stopping or the observer ends training, or a
    /// number is no longer finite.
    ///
    /// # Errors
    ///
    /// A file cannot be written, or another process has taken over the run.
    pub(crate) fn run(mut self) -> Result<Trained, TrainError> {
        self.state.stopwatch.start();
        let stop_reason = self.train()?;
        let TrainingState { best, last, stopwatch, .. } = self.state;
        // A diverged run saves its last finite weights and not its best: they are the last ones before the failure, so
        // they help to find its cause.
        let diverged = matches!(stop_reason, StopReason::Diverged(_));
        let best = best.snapshot.take().filter(|_| !diverged);
        let weights = best.unwrap_or_else(|| last.clone());
        Ok(Trained { stop_reason, weights, seconds: stopwatch.seconds() })
    }

    fn train(&mut self) -> Result<StopReason, TrainError> {
        if let Some(stop) = self.replay_last_epoch() {
            return Ok(stop);
        }
        loop {
            if let Some(reason) = &self.state.stopped_early {
                return Ok(StopReason::EarlyStopping(reason.clone()));
            }
            if self.state.epochs >= self.data.epochs() {
                return Ok(StopReason::AllEpochs);
            }
            if let EpochResult::Stopped(reason) = self.train_epoch()? {
                return Ok(reason);
            }
        }
    }

    /// Reports the last completed epoch of a resumed run again, because the interruption may have come between saving
    /// that epoch and reporting it. Returns why training ends there, if the observer stops it.
    fn replay_last_epoch(&mut self) -> Option<StopReason> {
        // If the run was interrupted within the next epoch, the observer had let it continue.
        let row = self.history.rows.last().filter(|_| self.state.position().step == 0)?;
        let best = &self.state.best;
        let is_best = best.restores_best && best.epoch == row.epoch;
        let stop = self.observer.on_resume(self.data.epoch_end(row, is_best)).break_value()?;
        Some(StopReason::requested(stop, after_epoch(row.epoch)))
    }

    /// Trains the next epoch, or the rest of it if it was interrupted, and saves it.
    fn train_epoch(&mut self) -> Result<EpochResult, TrainError> {
        let data = self.data;
        let TrainingData { experiment, dataset, split, normalizer, class_weights } = data;
        let (epoch, epochs) = (self.state.epochs + 1, self.data.epochs());
        if let Some(result) = self.load_epoch(epoch)? {
            return Ok(result);
        }
        let steps = self.data.steps_per_epoch();
        let order = self.data.row_order(epoch);
        let augmenter = data.augmenter(epoch);
        let schedule = self.data.schedule(&self.history.rows);
        let mut batch = Batch::new(dataset.images.shape);
        let mut pending = PendingSteps::new(self.read_interval);
        let mut stop = None;
        // In a resumed epoch, this continues from the time that earlier processes spent on it.
        self.state.partial_epoch.stopwatch.start();

        let batches = order.chunks(experiment.training.batch_size.get());
        for (index, batch_rows) in batches.enumerate().skip(self.state.partial_epoch.step) {
            let step = index + 1;
            let settings = schedule.step(index);
            let rate = settings.learning_rate;
            if !rate.is_finite() {
                // A loss of an earlier step is reported first.
                let loss = self.read_metrics(&mut pending);
                let rate = StopReason::diverged("learning rate", rate, epoch, step);
                return Ok(EpochResult::Stopped(loss.unwrap_or(rate)));
            }
            gather_augmented(
                &dataset.images,
                batch_rows,
                &split.training,
                &augmenter,
                normalizer,
                &mut batch,
            );
            let targets = Targets { class_weights, ..Targets::from(&batch) };
            let dropout_rng = &mut self.state.partial_epoch.dropout_rng;
            let logits = self.engine.queue_step(&batch.pixels, targets, settings, dropout_rng);
            pending.push(step, logits, &batch);
            self.state.partial_epoch.step = step;
            if (pending.is_full() || step == steps)
                && let Some(diverged) = self.read_metrics(&mut pending)
            {
                return Ok(EpochResult::Stopped(diverged));
            }

            let metrics = &self.state.partial_epoch.metrics;
            let progress = Progress { epoch, epochs, step, steps, metrics };
            stop = self.observer.on_step_end(progress).break_value();
            let saves = self.observer.wants_checkpoint() || self.checkpoints.is_due();
            // The end of the epoch saves a checkpoint anyway, so the last step needs none.
            if step < steps && (stop.is_some() || saves) {
                if let Some(diverged) = self.read_metrics(&mut pending) {
                    return Ok(EpochResult::Stopped(diverged));
                }
                self.checkpoints.save(self.engine, self.state, self.history)?;
            }
            // After the last step, the epoch is completed first: it would be lost otherwise.
            if let Some(stop) = stop.filter(|_| step < steps) {
                let place = format!("in epoch {epoch} at step {step}");
                return Ok(EpochResult::Stopped(StopReason::requested(stop, place)));
            }
        }
        let learning_rate = schedule.step(steps - 1).learning_rate;
        self.end_epoch(epoch, Steps { learning_rate, shared: None }, stop)
    }

    /// Loads an epoch that another run has trained instead of training it. Returns its result; `None` if there is none.
    fn load_epoch(&mut self, epoch: usize) -> Result<Option<EpochResult>, TrainError> {
        let Some(shared) = &mut self.shared else { return Ok(None) };
        // The rest of an epoch that was interrupted is trained.
        if self.state.partial_epoch.step > 0 {
            return Ok(None);
        }
        let columns = columns_of_steps(self.data.experiment);
        let Some(loaded) = shared.load(epoch, &columns, self.settings) else { return Ok(None) };
        let SharedEpoch { engine, learning_rate, seconds, metrics } = loaded;
        *self.engine = engine;
        let (epochs, steps) = (self.data.epochs(), self.data.steps_per_epoch());
        let of_epoch = &self.state.partial_epoch.metrics;
        let progress = Progress { epoch, epochs, step: steps, steps, metrics: of_epoch };
        let stop = self.observer.on_step_end(progress).break_value();
        let steps = Steps { learning_rate, shared: Some((metrics, seconds)) };
        self.end_epoch(epoch, steps, stop).map(Some)
    }

    /// Adds the pending steps to the metrics of the epoch. Returns why training ends if a loss is not finite.
    fn read_metrics(&mut self, pending: &mut PendingSteps) -> Option<StopReason> {
        let metrics = &mut self.state.partial_epoch.metrics;
        let DivergedStep { number, loss } = pending.read(self.data.class_weights, metrics).err()?;
        Some(StopReason::diverged("loss", loss, self.state.epochs + 1, number))
    }

    /// Evaluates an epoch, appends it to the history, saves a checkpoint and reports the epoch. `stop` is what the observer
    /// requested in its last step.
    fn end_epoch(
        &mut self,
        epoch: usize,
        steps: Steps,
        stop: Option<Stop>,
    ) -> Result<EpochResult, TrainError> {
        // What is evaluated is what is kept.
        let (weights, averaging) = match self.engine.average() {
            Some(average) => {
                let engine = Engine::new(self.settings, &average).map_err(TrainError::Engine)?;
                (average, Some(engine))
            }
            None => (self.engine.weights(), None),
        };
        let current = WeightsSnapshot::new(weights, epoch);
        let engine = averaging.as_ref().unwrap_or(self.engine);
        let EvaluatedEpoch { row, halves } = self.evaluate(engine, epoch, &steps);
        self.lock.check()?;
        self.history_writer.append(&row)?;
        epoch::log(&row);
        self.history.rows.push(row.clone());

        let is_finite = self.is_finite(&row, &current);
        let is_best = is_finite && self.commit_epoch(&row, halves.as_ref(), current)?;
        if let (true, None, Some(shared)) = (is_finite, &steps.shared, &self.shared)
            && let Err(error) =
                shared.store(self.engine, &row, &columns_of_steps(self.data.experiment))
        {
            // The other runs train the epoch themselves.
            warn!("cannot store epoch {epoch} for other runs: {error}");
        }
        // By now the epoch is saved, so no epoch is reported that a resumed run would not have. One that is not finite
        // is reported, too: the numbers that it has show how the run diverged.
        if let Some(log) = &mut self.epoch_log {
            log.append(&row);
        }
        let answer = self.observer.on_epoch_end(self.data.epoch_end(&row, is_best));
        if !is_finite {
            return Ok(EpochResult::Stopped(StopReason::Diverged(format!(
                "weights or validation loss were no longer finite after epoch {epoch}"
            ))));
        }
        // The answer to the epoch counts first: a sweep decides with it about pruning.
        Ok(match answer.break_value().or(stop) {
            Some(stop) => EpochResult::Stopped(StopReason::requested(stop, after_epoch(epoch))),
            None => EpochResult::Completed,
        })
    }

    /// The results of an epoch whose steps are completed. `engine` has the weights to evaluate.
    fn evaluate(&self, engine: &Engine, epoch: usize, steps: &Steps) -> EvaluatedEpoch {
        let PartialEpoch { metrics, stopwatch, .. } = &self.state.partial_epoch;
        let in_halves = self.state.best.cross_fit.is_some();
        let of_steps = |column: &str| match &steps.shared {
            Some((shared, _)) => shared.get(column).copied(),
            None => metrics.value(column),
        };
        let rate = steps.learning_rate;
        let mut evaluated = self.data.evaluate(engine, epoch, &of_steps, rate, in_halves);
        // The seconds include the evaluation. Those of an epoch that another run has trained are its seconds.
        evaluated.row.seconds = match steps.shared {
            Some((_, seconds)) => seconds,
            // Rounded as in history.csv, so that all readers get the same number.
            None => (stopwatch.seconds() * 1000.0).round() / 1000.0,
        };
        evaluated
    }

    /// Whether the numbers after an epoch are finite. The losses of its steps do not show this, because each is computed
    /// before the update of its step: the last update may have made weights infinite or NaN.
    fn is_finite(&self, row: &EpochRow, current: &WeightsSnapshot) -> bool {
        // The row has only finite values. Without validation rows, there is no validation loss to check.
        let val_loss_is_finite =
            self.data.split.validation.is_empty() || row.metric("val_loss").is_some();
        val_loss_is_finite && current.weights.are_finite()
    }

    /// Counts an epoch as completed and saves a checkpoint. `current` are the weights after it. Returns whether they are
    /// the ones to test, as far as is known by now.
    fn commit_epoch(
        &mut self,
        row: &EpochRow,
        halves: Option<&[ValidationHalf; 2]>,
        current: WeightsSnapshot,
    ) -> Result<bool, TrainError> {
        let epoch = current.epoch;
        let is_best = self.state.best.observe(row, &current);
        if let (Some(cross_fit), Some(halves)) = (&mut self.state.best.cross_fit, halves) {
            cross_fit.observe(halves);
        }
        self.state.last = current;
        self.state.epochs = epoch;
        self.state.partial_epoch = self.data.new_epoch(epoch + 1);
        let early_stopping = self.state.early_stopping.as_mut();
        let stopped_early = early_stopping.and_then(|stopping| stopping.observe(row));
        // After the last epoch there is nothing left to stop.
        self.state.stopped_early = stopped_early.filter(|_| epoch < self.data.epochs());
        self.checkpoints.save(self.engine, self.state, self.history)?;
        Ok(is_best)
    }
}

fn after_epoch(epoch: usize) -> String {
    format!("after epoch {epoch}")
}
