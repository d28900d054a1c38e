//! The training loop: epochs, and steps within them, until the experiment's end or something before it.

use std::time::Instant;

use kiln_data::{Batch, gather};
use kiln_store::{History, HistoryWriter};

use crate::TrainError;
use crate::checkpoint::Saver;
use crate::course::{Course, Kept, UnderWay};
use crate::engine::Engine;
use crate::epoch::{TrainingData, log};
use crate::metrics::Metrics;
use crate::observer::{EpochEnd, Observer, Progress, Stop};
use crate::run::Hold;

/// What the loop leaves.
pub(crate) struct Trained {
    pub(crate) history: History,
    pub(crate) ending: Ending,
    /// The weights that are tested and kept.
    pub(crate) kept: Kept,
    pub(crate) seconds: f64,
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

/// What the steps of an epoch came to.
struct Steps {
    metrics: Metrics,
    /// Time spent on the epoch by processes that were interrupted in it.
    seconds: f64,
    /// Whether the observer wants to end it, after the last step.
    stop: Option<Stop>,
}

/// Why an epoch was not completed.
enum Broken {
    Ending(Ending),
    Error(TrainError),
}

impl From<TrainError> for Broken {
    fn from(error: TrainError) -> Self {
        Self::Error(error)
    }
}

pub(crate) struct TrainingLoop<'a> {
    pub(crate) data: TrainingData<'a>,
    pub(crate) engine: &'a mut Engine,
    pub(crate) course: &'a mut Course,
    pub(crate) hold: &'a Hold,
    pub(crate) history: History,
    pub(crate) writer: HistoryWriter,
    pub(crate) saver: Saver<'a>,
    pub(crate) observer: &'a mut dyn Observer,
}

impl TrainingLoop<'_> {
    /// Trains from where the course stands for the epochs of the experiment, or until early stopping, a
    /// loss that is not finite, or the observer ends it.
    pub(crate) fn run(mut self) -> Result<Trained, TrainError> {
        let epochs = self.data.experiment.training.epochs.get();
        let mut ending = self.take_up();
        while ending.is_none() && self.course.stopped_early.is_none() && self.course.epochs < epochs
        {
            ending = self.epoch()?;
        }
        let Course { keeper, last, stopped_early, seconds, .. } = self.course;
        let stopped_early = stopped_early.clone();
        let ending =
            ending.unwrap_or_else(|| stopped_early.map_or(Ending::AllEpochs, Ending::Early));
        let best = keeper.kept.take().filter(|_| !matches!(ending, Ending::Diverged(_)));
        let kept = best.unwrap_or_else(|| last.clone());
        Ok(Trained { history: self.history, ending, kept, seconds: *seconds })
    }

    /// Tells the observer of the epoch that training goes on after, if it does so; gives what ends it there.
    fn take_up(&mut self) -> Option<Ending> {
        let row = self.history.rows.last().filter(|_| self.course.under_way.is_none())?;
        let keeper = &self.course.keeper;
        let end = EpochEnd {
            row,
            epochs: self.data.experiment.training.epochs.get(),
            steps: self.data.steps_per_epoch(),
            best: keeper.keeps_weights && keeper.best == row.epoch,
        };
        let stop = self.observer.goes_on_after(end).break_value()?;
        Some(Ending::stopped(stop, after_epoch(row.epoch)))
    }

    /// One epoch; gives what ends training with it, if anything but early stopping does.
    fn epoch(&mut self) -> Result<Option<Ending>, TrainError> {
        let epoch = self.course.epochs + 1;
        let epochs = self.data.experiment.training.epochs.get();
        let begun = Instant::now();
        let before = self.course.seconds;
        let Steps { metrics, seconds, stop } = match self.steps(epoch, begun) {
            Ok(steps) => steps,
            Err(Broken::Ending(ending)) => {
                self.course.seconds = before + begun.elapsed().as_secs_f64();
                return Ok(Some(ending));
            }
            Err(Broken::Error(error)) => return Err(error),
        };
        let mut row = self.data.row(self.engine, epoch, &metrics);
        row.seconds = seconds + begun.elapsed().as_secs_f64();
        self.hold.check()?;
        self.writer.append(&row)?;
        log(&row);
        self.history.rows.push(row.clone());

        let now = Kept { weights: self.engine.weights(), epoch };
        // The step that breaks the weights may be the epoch's last: its own loss was still finite.
        let validated = self.data.split.validation.is_empty() || row.val_loss.is_some();
        let sound = validated && now.weights.are_finite();
        let best = sound && self.course.keeper.observe(&row, &now);
        if sound {
            self.course.last = now;
            self.course.epochs = epoch;
            let patience = self.course.patience.as_mut();
            let out_of_patience = patience.and_then(|patience| patience.observe(&row));
            self.course.stopped_early = out_of_patience.filter(|_| epoch < epochs);
            self.course.seconds = before + begun.elapsed().as_secs_f64();
            self.saver.save(self.engine, self.course, None, &self.history)?;
        }
        let steps = self.data.steps_per_epoch();
        let go_on = self.observer.epoch_ended(EpochEnd { row: &row, epochs, steps, best });
        self.course.seconds = before + begun.elapsed().as_secs_f64();
        if !sound {
            return Ok(Some(Ending::Diverged(format!(
                "weights or validation loss were no longer finite after epoch {epoch}"
            ))));
        }
        // What was asked for in the last step counts here.
        let stop = go_on.break_value().or(stop);
        Ok(stop.map(|stop| Ending::stopped(stop, after_epoch(epoch))))
    }

    /// The steps of an epoch that are left. Where it does not come to its end, the course is as it was before
    /// the epoch.
    fn steps(&mut self, epoch: usize, begun: Instant) -> Result<Steps, Broken> {
        let TrainingData { experiment, dataset, normalizer, .. } = self.data;
        let epochs = experiment.training.epochs.get();
        let steps = self.data.steps_per_epoch();
        let before = self.course.seconds;
        let mut under_way = match self.course.under_way.take() {
            Some(under_way) => under_way,
            None => UnderWay::new(experiment, epoch),
        };
        let (done, seconds) = (under_way.step, under_way.seconds);
        let mut stop = None;
        let mut batch = Batch::new(dataset.train.shape);
        let rows = self.data.rows(epoch);
        let batches = rows.chunks(experiment.training.batch_size.get());

        for (index, rows) in batches.enumerate().skip(done) {
            let step = index + 1;
            let rate = self.data.rate(epoch, index);
            if !rate.is_finite() {
                return Err(diverged("learning rate", rate, epoch, step));
            }
            gather(&dataset.train, rows, normalizer, &mut batch);
            let logits = self.engine.step(&batch.pixels, &batch.labels, rate, &mut under_way.masks);
            let loss = under_way.metrics.add(&logits, &batch.labels);
            if !loss.is_finite() {
                return Err(diverged("loss", loss, epoch, step));
            }
            let (loss, accuracy) = (under_way.metrics.loss(), under_way.metrics.accuracy());
            let progress = Progress { epoch, epochs, step, steps, loss, accuracy };
            stop = self.observer.step_ended(progress).break_value();
            let wanted = self.observer.wants_checkpoint() || self.saver.is_due();
            // Behind the last step comes the end of the epoch, with a checkpoint of its own.
            if (stop.is_some() || wanted) && step < steps {
                let spent = begun.elapsed().as_secs_f64();
                self.course.seconds = before + spent;
                (under_way.step, under_way.seconds) = (step, seconds + spent);
                self.saver.save(self.engine, self.course, Some(&under_way), &self.history)?;
            }
            if let Some(stop) = stop.filter(|_| step < steps) {
                let place = format!("in epoch {epoch}, after step {step}");
                return Err(Broken::Ending(Ending::stopped(stop, place)));
            }
        }
        Ok(Steps { metrics: under_way.metrics, seconds, stop })
    }
}

fn after_epoch(epoch: usize) -> String {
    format!("after epoch {epoch}")
}

fn diverged(what: &str, value: f64, epoch: usize, step: usize) -> Broken {
    let reason = format!("the {what} became {value} in epoch {epoch}, step {step}");
    Broken::Ending(Ending::Diverged(reason))
}
