//! A run: its directory, from the start to the report.

mod preparation;
mod testing;

use std::num::NonZeroUsize;
use std::path::Path;

use kiln_store::{
    Checkpoints, History, HistoryWriter, Optimism, Position, RunDirectory, RunRecord, Status,
    TestReport,
};
use tracing::{error, info, warn};

use crate::TrainError;
use crate::engine::Engine;
use crate::experiment::{Declaration, Experiment, PreparedExperiment};
use crate::metrics::extra_columns;
use crate::resume::checkpoint_writer::CheckpointWriter;
use crate::resume::lock::RunLock;
use crate::shared_training::SharedTraining;
use crate::training_loop::epoch::TrainingData;
use crate::training_loop::observer::{EpochLog, Observer};
use crate::training_loop::state::TrainingState;
use crate::training_loop::{StopReason, Trained, TrainingLoop};
use crate::weights_file::write_weights;

pub use preparation::PlannedId;

/// A run that is ready to train: its experiment is checked against its data, its directory exists and is locked.
pub struct Run {
    pub(crate) declaration: Declaration,
    pub(crate) prepared: PreparedExperiment,
    pub(crate) training: StartingPoint,
    pub(crate) directory: RunDirectory,
    pub(crate) record: RunRecord,
    pub(crate) lock: RunLock,
    pub(crate) read_interval: NonZeroUsize,
    pub(crate) shared: Option<SharedTraining>,
    pub(crate) epoch_log: Option<Box<dyn EpochLog>>,
}

/// The starting point of training, and then the state that it has reached.
pub(crate) struct StartingPoint {
    pub(crate) engine: Engine,
    pub(crate) state: TrainingState,
    /// The completed epochs.
    pub(crate) history: History,
    /// The checkpoint that the run resumes from.
    pub(crate) checkpoint: Option<Position>,
}

impl StartingPoint {
    /// The start of training from scratch, with the initial weights.
    pub(crate) fn from_scratch(
        experiment: &Experiment,
        prepared: &PreparedExperiment,
    ) -> Result<Self, TrainError> {
        let weights = prepared.initial_weights(experiment);
        let engine = Engine::new(&prepared.settings, &weights).map_err(TrainError::Engine)?;
        let extra_columns = extra_columns(experiment);
        Ok(Self {
            engine,
            state: TrainingState::new(experiment, prepared.classes(), weights),
            history: History { extra_columns, ..History::default() },
            checkpoint: None,
        })
    }
}

/// The reason of a run that trained all its epochs.
pub const ALL_EPOCHS_DONE: &str = "all epochs done";

/// How a run ended.
#[derive(Debug)]
pub struct TrainingOutcome {
    /// The status, as in `run.json`.
    pub status: Status,
    /// Why the run ended, as a phrase: [`ALL_EPOCHS_DONE`], or another reason.
    pub reason: String,
    /// Status and reason as one phrase, see [`RunRecord::ending`].
    pub ending: String,
    /// The test results, if the run finished.
    pub report: Option<TestReport>,
}

impl Run {
    /// Marks the run as failed, if that can still be written.
    pub fn fail(&mut self, reason: &str) {
        if self.lock.check().is_err() {
            // Another process has taken over the run, including its log.
            return;
        }
        error!(reason, "failed");
        // An incomplete report is useless, and removing it frees space on a full disk for the record.
        self.directory.remove_report();
        let history = self.directory.read_history().unwrap_or_default();
        self.record.epochs = history.rows.len();
        self.record.end(Status::Failed, reason.to_owned());
        // The caller already has an error to report, so another one from the same disk adds nothing.
        if self.directory.write_record(&self.record).is_ok() {
            let _ = kiln_report::stop(&self.directory, &self.record, &history);
        }
    }

    /// Returns the result, and marks the run as failed if it is an error.
    pub(crate) fn or_fail<T>(&mut self, result: Result<T, TrainError>) -> Result<T, TrainError> {
        result.inspect_err(|error| self.fail(&error.to_string()))
    }

    /// The directory of the run.
    #[must_use]
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// Notes for the user about how the images were read, split and batched, and about the initial weights, as sentences
    /// without a final full stop.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let PreparedExperiment { dataset, split, transfer, .. } = &self.prepared;
        let mut notes = [&*dataset.notes, &*split.notes].concat();
        notes.extend(self.declaration.experiment.notes_on(split.training.len()));
        let whole = transfer.as_ref().filter(|transfer| !transfer.is_partial());
        notes.extend(whole.map(|transfer| transfer.note.clone()));
        notes
    }

    /// Sets after how many training steps their logits are read from the device, instead of a number that suits the backend.
    /// It does not affect the result. A divergence is found up to this many steps late.
    pub const fn set_read_interval(&mut self, steps: NonZeroUsize) {
        self.read_interval = steps;
    }

    /// Shares training with other runs, through this directory: see [`Experiment::training_identity`].
    pub fn share_training(&mut self, directory: &Path) {
        let origin = &self.prepared.origin;
        self.shared = Some(SharedTraining::new(directory, &self.record.id, origin));
    }

    /// The experiment of the run.
    #[must_use]
    pub fn experiment(&self) -> &Experiment {
        &self.declaration.experiment
    }

    /// Sets what follows the history of the run.
    pub fn set_epoch_log(&mut self, log: Box<dyn EpochLog>) {
        self.epoch_log = Some(log);
    }

    /// The record of the run, as far as it is known.
    #[must_use]
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Trains, writes the weights, evaluates the test set once, and completes the run directory.
    ///
    /// # Errors
    ///
    /// A file cannot be written. The run is then marked as failed, if that can still be written.
    pub fn train(mut self, observer: &mut dyn Observer) -> Result<TrainingOutcome, TrainError> {
        info!(
            name = self.record.name,
            id = self.record.id,
            seed = self.record.seed,
            backend = self.record.backend,
            engine = self.record.engine,
            dataset = self.record.dataset.name,
            fingerprint = self.record.dataset.fingerprint,
            parameters = self.record.parameters,
            "run"
        );
        for note in self.notes() {
            info!(note, "data");
        }
        for warning in &self.record.warnings {
            info!(warning, "run");
        }
        if let Some(weights) = &self.record.initial_weights {
            info!(
                file = weights.file,
                sha256 = weights.sha256,
                loaded = weights.loaded.join(", "),
                drawn = weights.kept.join(", "),
                unused = weights.unused.join(", "),
                "initial weights"
            );
        }
        let result = self.train_and_test(observer);
        self.or_fail(result)
    }

    fn train_and_test(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<TrainingOutcome, TrainError> {
        let Trained { stop_reason, weights, seconds } = self.train_epochs(observer)?;
        self.lock.check()?;
        write_weights(&self.directory.model_path(), &weights.weights, &self.prepared)?;
        self.record.training_seconds = Some(seconds);
        self.record.epochs =
            self.training.history.rows.iter().filter(|row| row.metric("loss").is_some()).count();
        let (mut status, mut reason) = match stop_reason {
            StopReason::AllEpochs => (Status::Finished, ALL_EPOCHS_DONE.to_owned()),
            StopReason::EarlyStopping(reason) => (Status::Finished, reason),
            StopReason::Diverged(reason) => (Status::Diverged, reason),
            StopReason::Interrupted(reason) => (Status::Interrupted, reason),
            StopReason::Pruned(reason) => (Status::Pruned, reason),
        };
        let mut evaluation = None;
        if status == Status::Finished {
            let tested = self.test(&weights.weights)?;
            if tested.metrics.loss().is_finite() {
                evaluation = Some(tested);
            } else {
                // Without validation rows, the test is the first evaluation after the last update.
                (status, reason) = (Status::Diverged, "the test loss is not finite".to_owned());
            }
        }
        if status != Status::Finished {
            reason = format!("{reason}; saved {}", describe_weights(weights.epoch));
        }
        self.record.optimism = evaluation.as_ref().and_then(|_| self.optimism(weights.epoch));
        self.record.end(status, reason.clone());
        self.lock.check()?;
        info!(status = status.as_str(), reason, seconds, "ended");
        let report = match &evaluation {
            Some(evaluation) => {
                let report = self.report(weights.epoch, &weights.weights, evaluation)?;
                // The run is finished whether or not its checkpoints can be removed.
                if let Err(error) = self.tidy_checkpoints() {
                    warn!("cannot remove checkpoints that are no longer needed: {error}");
                }
                Some(report)
            }
            None => {
                kiln_report::stop(&self.directory, &self.record, &self.training.history)?;
                None
            }
        };
        if let Some(log) = &mut self.epoch_log {
            log.end(&self.record);
        }
        Ok(TrainingOutcome { status, reason, ending: self.record.ending(), report })
    }

    /// How much too high the validation accuracy of the kept epoch is, if it was chosen by validation.
    fn optimism(&self, kept: usize) -> Option<Optimism> {
        let best = &self.training.state.best;
        let cross_fit = best.cross_fit.as_ref().filter(|_| best.epoch == kept)?;
        let row = self.training.history.rows.get(kept.checked_sub(1)?)?;
        let validation_rows = self.prepared.split.validation.len();
        cross_fit.optimism(self.record.epochs, row.metric("val_accuracy")?, validation_rows)
    }

    fn train_epochs(&mut self, observer: &mut dyn Observer) -> Result<Trained, TrainError> {
        let experiment = &self.declaration.experiment;
        let PreparedExperiment {
            dataset, split, normalizer, class_weights, settings, origin, ..
        } = &self.prepared;
        let (directory, lock) = (&self.directory, &self.lock);
        let StartingPoint { engine, state, history, checkpoint } = &mut self.training;
        if let Some(log) = &mut self.epoch_log {
            log.start(&self.record, history);
        }
        let training = TrainingLoop {
            data: TrainingData { experiment, dataset, split, normalizer, class_weights },
            settings,
            engine,
            read_interval: self.read_interval,
            state,
            // Written from the checkpoint: the file on disk may be damaged, or have epochs after the checkpoint.
            history_writer: HistoryWriter::resume(&directory.history_path(), history)?,
            history,
            checkpoints: CheckpointWriter::new(
                Checkpoints::of(directory),
                experiment.checkpoint,
                origin,
                *checkpoint,
                lock,
            ),
            lock,
            observer,
            shared: self.shared.as_mut(),
            epoch_log: self.epoch_log.as_deref_mut(),
        };
        let trained = training.run();
        if let Some(shared) = self.shared.as_ref().filter(|shared| shared.loaded.epochs > 0) {
            self.record
                .shared
                .get_or_insert_default()
                .add(shared.loaded.epochs, &shared.loaded.runs);
        }
        trained
    }

    /// Completes a finished run whose process was killed before it could clean up: removes temporary files, and the
    /// checkpoints unless the experiment keeps them. No other process may work on the run.
    ///
    /// # Errors
    ///
    /// The experiment cannot be read, or a file cannot be removed.
    pub fn tidy(directory: &RunDirectory) -> Result<(), TrainError> {
        directory.remove_partial()?;
        if !Declaration::of_run(directory)?.experiment.checkpoint.keep {
            Checkpoints::of(directory).remove()?;
        }
        Ok(())
    }

    /// Keeps the last checkpoint and the one of the best epoch, or none.
    fn tidy_checkpoints(&self) -> Result<(), TrainError> {
        let checkpoints = Checkpoints::of(&self.directory);
        if !self.declaration.experiment.checkpoint.keep {
            return Ok(checkpoints.remove()?);
        }
        let TrainingState { epochs, best, .. } = &self.training.state;
        let kept = [*epochs, best.epoch].map(|epochs| Position { epochs, step: 0 });
        Ok(checkpoints.retain(&kept)?)
    }
}

/// The weights that an unfinished run saves.
fn describe_weights(epoch: usize) -> String {
    match epoch {
        0 => "the initial weights".to_owned(),
        epoch => format!("the weights of epoch {epoch}"),
    }
}
