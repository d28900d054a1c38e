use std::path::Path;
use std::process::{Command, Stdio};

use kiln_data::Normalizer;
use kiln_model::Weights;
use kiln_report::TestImages;
use kiln_store::{
    Checkpoints, Claim, Held, History, HistoryWriter, Position, RunDirectory, RunRecord, Status,
    StoreError, TestReport, Tested, files,
};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::TrainError;
use crate::checkpoint::Saver;
use crate::config::WeightsChoice;
use crate::course::Course;
use crate::engine::Engine;
use crate::epoch::{TrainingData, extra_columns};
use crate::evaluation::{Evaluation, evaluate_each};
use crate::experiment::{Declaration, Experiment};
use crate::material::Material;
use crate::observer::Observer;
use crate::origin::Origin;
use crate::resume::Restored;
use crate::training_loop::{Ending, Trained, TrainingLoop};

/// A run that is ready to train: checked against its data, its directory claimed.
pub struct Run {
    pub(crate) declaration: Declaration,
    pub(crate) material: Material,
    pub(crate) engine: Engine,
    pub(crate) directory: RunDirectory,
    pub(crate) record: RunRecord,
    pub(crate) course: Course,
    /// What it goes on from, where it was interrupted before.
    pub(crate) restored: Option<Restored>,
    pub(crate) hold: Hold,
}

/// Who sees to it that nobody else works on a run.
#[derive(Debug)]
pub enum Hold {
    /// The run itself, until it is over.
    Own(Claim),
    /// Whoever called for it, with what shows that it still does so, where there is such a thing.
    Caller(Option<Held>),
}

impl Hold {
    /// Makes sure that it still holds.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Own(claim) => claim.held().check(),
            Self::Caller(held) => held.as_ref().map_or(Ok(()), Held::check),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// How.
    pub status: Status,
    /// Why, in words.
    pub reason: String,
    /// What the test came to, where the run finished.
    pub report: Option<TestReport>,
}

/// The version of the metadata that this build writes, and the newest that it reads.
pub(crate) const WEIGHTS_VERSION: u32 = 1;

/// What the weights file says beside the weights: all that a prediction needs and `config.toml`
/// does not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WeightsMetadata {
    pub(crate) format_version: u32,
    pub(crate) image: kiln_data::ImageShape,
    pub(crate) class_names: Vec<String>,
    pub(crate) normalizer: Normalizer,
}

impl Run {
    /// Reads the data, checks the experiment against it, draws the initial weights, and claims a
    /// directory under `runs`: that of the id that is `given` with who holds it, else one by the time. What is wrong
    /// with experiment or data leaves no run directory behind; where the directory cannot be filled, the run in it is
    /// marked as failed.
    ///
    /// # Errors
    ///
    /// The data cannot be read, the experiment does not fit it, the backend is not there, or the
    /// directory cannot be made.
    pub fn prepare(
        declaration: Declaration,
        data: &Path,
        runs: &Path,
        given: Option<(&str, Hold)>,
    ) -> Result<Self, TrainError> {
        let experiment = &declaration.experiment;
        let material = Material::read(&declaration, data)?;
        let weights = material.initial_weights(experiment);
        let engine = Engine::new(&material.settings, &weights).map_err(TrainError::Engine)?;

        let id = given.as_ref().map(|(id, _)| *id);
        let directory = RunDirectory::create(runs, &experiment.name, id)?;
        let Origin { dataset, versions, backend, engine: implementation, .. } =
            material.origin.clone();
        let record = RunRecord {
            name: experiment.name.clone(),
            id: directory.id(),
            status: Status::Running,
            stop_reason: None,
            seed: experiment.seed,
            backend,
            engine: implementation,
            threads: 1,
            versions,
            git_commit: git_commit(),
            dataset,
            parameters: material.architecture.parameters() as u64,
            started: kiln_store::now(),
            ended: None,
            training_seconds: None,
            epochs: 0,
            resumed: Vec::new(),
            files: std::collections::BTreeMap::new(),
        };
        let course = Course::new(experiment, weights);
        let hold = match given {
            Some((_, hold)) => hold,
            None => match Claim::of(&directory) {
                Ok(claim) => Hold::Own(claim),
                Err(error) => {
                    // Nothing is in it yet. The first error is the one to tell.
                    let _ = files::remove_directory(directory.path());
                    return Err(error.into());
                }
            },
        };
        let restored = None;
        let mut run =
            Self { declaration, material, engine, directory, record, course, restored, hold };
        match run.begin() {
            Ok(()) => Ok(run),
            Err(error) => {
                run.fail(&error.to_string());
                Err(error)
            }
        }
    }

    fn begin(&self) -> Result<(), TrainError> {
        self.hold.check()?;
        files::write(&self.directory.config_path(), &self.material.origin.config)?;
        self.directory.write_record(&self.record)?;
        self.write_initial()
    }

    /// Writes `initial.safetensors`, where it is asked for.
    pub(crate) fn write_initial(&self) -> Result<(), TrainError> {
        let experiment = &self.declaration.experiment;
        if !experiment.training.save_initial {
            return Ok(());
        }
        let weights = self.material.initial_weights(experiment);
        self.write_weights(&self.directory.initial_path(), &weights)
    }

    /// Marks the run as failed, as far as that can still be written.
    pub fn fail(&mut self, reason: &str) {
        if self.hold.check().is_err() {
            // The log is another's, too.
            return;
        }
        error!(reason, "failed");
        // Half a report is of no use, and on a full disk its room is needed to say so.
        self.directory.remove_report();
        let history = self.directory.read_history().unwrap_or_default();
        self.record.epochs = history.rows.len();
        self.record.end(Status::Failed, reason.to_owned());
        // The record first. That the disk is gone is no news, and the first error is already told.
        if self.directory.write_record(&self.record).is_ok() {
            let _ = kiln_report::stop(&self.directory, &self.record, &history);
        }
    }

    /// Where the run leaves its files.
    #[must_use]
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// What is known of the run so far.
    #[must_use]
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Trains, keeps the weights, tests once, and completes the run directory.
    ///
    /// # Errors
    ///
    /// A file cannot be written; the run is then marked as failed where that can still be written.
    pub fn train(mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
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
        let result = self.train_and_test(observer);
        if let Err(error) = &result {
            self.fail(&error.to_string());
        }
        result
    }

    fn train_and_test(&mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        let trained = self.train_epochs(observer)?;
        self.hold.check()?;
        self.write_weights(&self.directory.model_path(), &trained.kept.weights)?;
        self.record.training_seconds = Some(trained.seconds);
        self.record.epochs = trained.history.rows.iter().filter(|row| row.loss.is_some()).count();
        let (mut status, mut reason) = match &trained.ending {
            Ending::AllEpochs => (Status::Finished, "all epochs done".to_owned()),
            Ending::Early(reason) => (Status::Finished, reason.clone()),
            Ending::Diverged(reason) => (Status::Diverged, reason.clone()),
            Ending::Interrupted(reason) => (Status::Interrupted, reason.clone()),
            Ending::Pruned(reason) => (Status::Pruned, reason.clone()),
        };
        let mut evaluation = None;
        if status == Status::Finished {
            let tested = self.test(&trained.kept.weights)?;
            if tested.metrics.loss().is_finite() {
                evaluation = Some(tested);
            } else {
                // Without validation rows nothing looked at the weights after their last step.
                (status, reason) = (Status::Diverged, "the test loss is not finite".to_owned());
            }
        }
        if status != Status::Finished {
            reason = format!("{reason}; {} kept", kept_words(trained.kept.epoch));
        }
        self.record.end(status, reason.clone());
        self.hold.check()?;
        info!(status = status.as_str(), reason, seconds = trained.seconds, "ended");
        let report = match &evaluation {
            Some(evaluation) => {
                let report = self.report(&trained, evaluation)?;
                // It is finished, and nothing undoes that.
                if let Err(error) = self.tidy_checkpoints() {
                    warn!("checkpoints that are not needed any more stay: {error}");
                }
                Some(report)
            }
            None => {
                kiln_report::stop(&self.directory, &self.record, &trained.history)?;
                None
            }
        };
        Ok(Outcome { status, reason, report })
    }

    fn train_epochs(&mut self, observer: &mut dyn Observer) -> Result<Trained, TrainError> {
        let experiment = &self.declaration.experiment;
        let columns = extra_columns(experiment);
        let (writer, history, last) = match self.restored.take() {
            Some(Restored { history, position }) => {
                let writer = HistoryWriter::go_on(&self.directory.history_path(), &history)?;
                (writer, history, position)
            }
            None => {
                let names: Vec<&str> = columns.iter().map(String::as_str).collect();
                let writer = self.directory.start_history(&names)?;
                (writer, History { extra_columns: columns, ..History::default() }, None)
            }
        };
        let Material { dataset, split, normalizer, origin, .. } = &self.material;
        let checkpoints = Checkpoints::of(&self.directory);
        let training = TrainingLoop {
            data: TrainingData { experiment, dataset, split, normalizer },
            engine: &mut self.engine,
            course: &mut self.course,
            history,
            writer,
            hold: &self.hold,
            saver: Saver::new(checkpoints, experiment.checkpoint, origin, last, &self.hold),
            observer,
        };
        training.run()
    }

    /// Does what is left to do for a finished run that was killed at its very end: removes what was half written, and
    /// the checkpoints where it was to keep none. Nobody else may be at work on it.
    ///
    /// # Errors
    ///
    /// Its experiment cannot be read, or something cannot be removed.
    pub fn tidy(directory: &RunDirectory) -> Result<(), TrainError> {
        directory.remove_partial()?;
        if !Declaration::of_run(directory)?.experiment.checkpoint.keep {
            Checkpoints::of(directory).remove()?;
        }
        Ok(())
    }

    /// A finished run keeps its last checkpoint and its best, or none.
    fn tidy_checkpoints(&self) -> Result<(), TrainError> {
        let checkpoints = Checkpoints::of(&self.directory);
        if !self.declaration.experiment.checkpoint.keep {
            return Ok(checkpoints.remove()?);
        }
        let Course { epochs, keeper, .. } = &self.course;
        let kept = [*epochs, keeper.best].map(|epochs| Position { epochs, step: 0 });
        Ok(checkpoints.retain(&kept)?)
    }

    /// The test set is evaluated here and nowhere else.
    fn test(&self, weights: &Weights) -> Result<Evaluation, TrainError> {
        let experiment = &self.declaration.experiment;
        let Material { settings, dataset, normalizer, .. } = &self.material;
        let engine = Engine::new(settings, weights).map_err(TrainError::Engine)?;
        let images = &dataset.test;
        let rows: Vec<u32> = (0..).take(images.len()).collect();
        let top_k = &experiment.training.top_k;
        Ok(evaluate_each(&engine, images, &rows, normalizer, experiment.loss, top_k))
    }

    fn report(&self, trained: &Trained, evaluation: &Evaluation) -> Result<TestReport, TrainError> {
        let Experiment { training, early_stopping, .. } = &self.declaration.experiment;
        let chosen = training.weights == WeightsChoice::Best
            || early_stopping.as_ref().is_some_and(|stopping| stopping.restore_best);
        let dataset = &self.material.dataset;
        let images = &dataset.test;
        let tested = Tested {
            class_names: &dataset.class_names,
            labels: &images.labels,
            probabilities: &evaluation.probabilities,
            loss: evaluation.metrics.loss(),
            weights: if chosen { kiln_store::Weights::Best } else { kiln_store::Weights::Last },
            epoch: trained.kept.epoch,
            top_k: &training.top_k,
        };
        let shape = kiln_report::ImageShape {
            channels: images.shape.channels,
            height: images.shape.height,
            width: images.shape.width,
        };
        let pictures = TestImages { pixels: &images.pixels, shape };
        let (directory, record) = (&self.directory, &self.record);
        Ok(kiln_report::finish(directory, record, &trained.history, &tested, pictures)?)
    }

    fn write_weights(&self, path: &Path, weights: &Weights) -> Result<(), TrainError> {
        let error =
            |message: String| TrainError::Weights { place: path.display().to_string(), message };
        let metadata = WeightsMetadata {
            format_version: WEIGHTS_VERSION,
            image: self.material.dataset.train.shape,
            class_names: self.material.dataset.class_names.clone(),
            normalizer: self.material.normalizer.clone(),
        };
        let metadata = serde_json::to_string(&metadata).map_err(|e| error(e.to_string()))?;
        let bytes = weights.to_safetensors(metadata).map_err(|e| error(e.to_string()))?;
        Ok(files::write(path, bytes)?)
    }
}

/// Which weights an unfinished run leaves.
fn kept_words(epoch: usize) -> String {
    match epoch {
        0 => "the weights before training are".to_owned(),
        epoch => format!("the weights after epoch {epoch} are"),
    }
}

/// The commit of the repository that the run is started in, where there is one and git to ask.
fn git_commit() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
