//! Resuming an interrupted run from its last intact checkpoint, and checking runs on disk.

mod check;
pub(crate) mod checkpoint;
pub(crate) mod checkpoint_writer;
pub(crate) mod lock;
mod mismatch;
pub(crate) mod origin;
mod verify;

use std::path::Path;

use kiln_model::Weights;
use kiln_store::{
    CheckpointFiles, Checkpoints, Checksum, History, Position, Resumption, RunDirectory, RunRecord,
    Status, StoreError, files,
};

use crate::TrainError;
use crate::engine::Engine;
use crate::experiment::{Declaration, DeviceConfig, PreparedExperiment};
use crate::initial_weights::Transfer;
use crate::metrics;
use crate::run::{Run, StartingPoint};
use crate::weights_file::encode_weights;
use checkpoint::{Checkpoint, STATE};
use lock::RunLock;
use origin::{Origin, ResumeError, dataset_difference, difference};

pub use check::check;
pub use mismatch::Mismatch;
pub use verify::{Verification, VerificationResult, Verifier};

/// The result of [`Run::resume`].
pub struct Resumed {
    /// The run, ready to train.
    pub run: Run,
    /// The checkpoint that training resumes from; `None` if it starts from scratch.
    pub from: Option<Position>,
    /// Damaged files that were skipped or are written again, one sentence each.
    pub damage: Vec<String>,
}

impl Run {
    /// Prepares a run to resume from its last intact checkpoint, or to start from scratch if there is none. The result
    /// is byte-for-byte identical to that of an uninterrupted run, except for times. `data` is the directory of the
    /// named datasets. `device` has the threads and the instructions to use, which `config.toml` does not contain; `None` leaves
    /// them to Kiln.
    ///
    /// The caller must hold `lock`, so that no other process works on the run.
    ///
    /// # Errors
    ///
    /// [`TrainError::Resume`] if the run is finished or diverged, or if its experiment, data or program differs from the
    /// one in the checkpoint; the errors of [`prepare`](Self::prepare); a file cannot be read.
    pub fn resume(
        directory: RunDirectory,
        data: &Path,
        lock: RunLock,
        device: Option<DeviceConfig>,
    ) -> Result<Resumed, TrainError> {
        let record = directory.read_record()?;
        let run = directory.path().display().to_string();
        let refused = |error: ResumeError| TrainError::Resume { run: run.clone(), error };
        match record.status {
            Status::Finished => return Err(refused("it is finished".into())),
            Status::Diverged => {
                return Err(refused("it has diverged, and would diverge again".into()));
            }
            Status::Running | Status::Interrupted | Status::Failed | Status::Pruned => {}
        }
        if !files::exists(&directory.config_path())? {
            let problem = if Checkpoints::of(&directory).positions()?.is_empty() {
                "it has no config.toml, so it never started; run its experiment again"
            } else {
                "its config.toml is missing: restore it from a backup"
            };
            return Err(refused(problem.into()));
        }
        let mut declaration = Declaration::of_run(&directory)?;
        if let Some(device) = device {
            declaration.experiment.device.set_unwritten(device);
        }
        let fingerprint = &record.dataset.fingerprint;
        let mut prepared = PreparedExperiment::read_recorded(&mut declaration, data, fingerprint)?;
        if let Some(difference) = dataset_difference(&record, &prepared.origin) {
            return Err(refused(difference.into()));
        }
        let checkpoints = Checkpoints::of(&directory);
        // An unreadable directory of checkpoints is an error. Find it before anything is removed.
        checkpoints.positions()?;
        directory.remove_partial()?;

        let mut damage = Vec::new();
        let restored = newest_intact(&checkpoints, &declaration, &prepared, &mut damage, refused)?;
        match (&restored, record.files.get("config.toml")) {
            (Some(restored), _) => damage.extend(history_warning(&directory, &restored.history)),
            // A checkpoint would contain the experiment. Without one, only the checksum shows a changed config.toml.
            (None, Some(sum)) => sum.check(&directory.config_path())?,
            (None, None) => {}
        }
        if restored.is_none() {
            prepared.transfer = Transfer::of_run(&directory, &record, &declaration, &prepared)?;
        }
        let from = restored.as_ref().and_then(|restored| restored.checkpoint);
        let mut run = Self::restored(declaration, prepared, directory, record, restored, lock)?;
        let marked = run.mark_resumed(from);
        damage.extend(run.or_fail(marked)?);
        Ok(Resumed { run, from, damage })
    }

    fn restored(
        declaration: Declaration,
        prepared: PreparedExperiment,
        directory: RunDirectory,
        mut record: RunRecord,
        restored: Option<StartingPoint>,
        lock: RunLock,
    ) -> Result<Self, TrainError> {
        let experiment = &declaration.experiment;
        // An earlier Kiln may have written the record.
        record.metrics = metrics::columns(experiment);
        record.validation_fingerprint = prepared.validation_fingerprint();
        let training = match restored {
            Some(training) => training,
            None => {
                // A run that starts from scratch is trained by this program, so the record must name it.
                let Origin { versions, backend, engine: implementation, .. } =
                    prepared.origin.clone();
                record.seed = experiment.seed;
                let transfer = prepared.transfer.as_ref();
                record.initial_weights = transfer.map(|transfer| transfer.record.clone());
                (record.versions, record.backend, record.engine) =
                    (versions, backend, implementation);
                record.unsupported_by_fused =
                    declaration.unsupported_by_fused(&prepared.architecture);
                StartingPoint::from_scratch(experiment, &prepared)?
            }
        };
        Ok(Self::new(declaration, prepared, training, directory, record, lock))
    }

    /// Records the resumption, and removes the files that the interrupted run left. Returns a warning about
    /// `initial.safetensors`, if there is one.
    fn mark_resumed(&mut self, from: Option<Position>) -> Result<Option<String>, TrainError> {
        self.lock.check()?;
        let from = from.unwrap_or(Position { epochs: 0, step: 0 });
        self.record.status = Status::Running;
        self.record.stop_reason = None;
        self.record.ended = None;
        self.record.training_seconds = None;
        self.record.threads = self.prepared.settings.threads;
        self.record.epochs = from.epochs;
        self.record.optimism = None;
        if from.epochs == 0 {
            self.record.shared = None;
        }
        // Clear the checksums before any of these files changes.
        self.record.files.clear();
        self.record.removed.clear();
        self.record.resumed.push(Resumption { at: kiln_store::now(), from });
        self.directory.write_record(&self.record)?;
        // These files describe the interrupted state, which is about to change.
        self.directory.remove_report();
        files::remove(&self.directory.model_path())?;
        self.write_splits()?;
        self.restore_initial()
    }

    /// Writes `initial.safetensors` again if it is damaged or missing. Returns a warning if it is damaged, or if it cannot
    /// be written again.
    fn restore_initial(&self) -> Result<Option<String>, TrainError> {
        let path = self.directory.initial_path();
        let exists = files::exists(&path)?;
        let experiment = &self.declaration.experiment;
        let weights = match &self.record.initial_weights {
            Some(record) => match record.initial.check(&path) {
                Ok(()) => return Ok(None),
                Err(error) if !is_damage(&error) => return Err(error.into()),
                Err(_) => match self.loaded_weights() {
                    Some(weights) => weights,
                    None => {
                        let state = if exists { "damaged and was removed" } else { "missing" };
                        if exists {
                            files::remove(&path)?;
                        }
                        return Ok(Some(format!(
                            "{} is {state}; it cannot be written again, because {} is missing or has changed; the results are not affected, but `kiln verify` needs one of the two files",
                            path.display(),
                            record.file
                        )));
                    }
                },
            },
            None if experiment.training.save_initial
                && experiment.model.initial_weights.is_none() =>
            {
                self.prepared.drawn_weights(experiment)
            }
            None => return Ok(None),
        };
        let bytes = encode_weights(&path, &weights, &self.prepared)?;
        if exists && Checksum::of(&bytes).check(&path).is_ok() {
            return Ok(None);
        }
        files::write(&path, bytes)?;
        Ok(exists.then(|| format!("{} is damaged; it was written again", path.display())))
    }

    /// The initial weights of a run that loads them, if the recorded ones can still be made from the file.
    fn loaded_weights(&self) -> Option<Weights> {
        if let Some(transfer) = &self.prepared.transfer {
            return Some(transfer.weights.clone());
        }
        let Self { directory, record, declaration, prepared, .. } = self;
        let transfer = Transfer::of_run(directory, record, declaration, prepared).ok()??;
        let recorded = record.initial_weights.as_ref()?;
        (transfer.record.initial == recorded.initial).then_some(transfer.weights)
    }
}

/// Finds the newest intact checkpoint, and adds what is wrong with newer ones to `damage`.
///
/// # Errors
///
/// A checkpoint cannot be read, or shows that the run cannot be resumed; `refused` makes the error.
fn newest_intact(
    checkpoints: &Checkpoints,
    declaration: &Declaration,
    prepared: &PreparedExperiment,
    damage: &mut Vec<String>,
    refused: impl Fn(ResumeError) -> TrainError,
) -> Result<Option<StartingPoint>, TrainError> {
    let PreparedExperiment { architecture, settings, .. } = prepared;
    let max_bytes = Checkpoint::max_bytes(architecture, &settings.optimizer.kind);
    for position in checkpoints.positions()? {
        let place = checkpoints.path(position).display().to_string();
        let files = match checkpoints.read(position, max_bytes) {
            Ok(files) => files,
            Err(error) if is_damage(&error) => {
                damage.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(state) = files.get(STATE) else {
            damage.push(format!("{place}: it has no {STATE}"));
            continue;
        };
        // A checkpoint in another format can be intact. Falling back to an older checkpoint would discard it.
        if let Some(error) = Checkpoint::other_version(state) {
            return Err(refused(error));
        }
        let origin = match Checkpoint::origin(state) {
            Ok(origin) => origin,
            Err(problem) => {
                damage.push(format!("{place}: {problem}"));
                continue;
            }
        };
        if let Some(difference) = difference(&origin, &prepared.origin) {
            return Err(refused(difference));
        }
        match restore(position, files, declaration, prepared) {
            Ok(restored) => return Ok(Some(restored)),
            Err(problem) => damage.push(format!("{place}: {problem}")),
        }
    }
    Ok(None)
}

/// Whether this error means that a file is damaged or missing, not that it cannot be reached.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Malformed { .. }) || error.is_missing()
}

fn restore(
    position: Position,
    files: CheckpointFiles,
    declaration: &Declaration,
    prepared: &PreparedExperiment,
) -> Result<StartingPoint, String> {
    let PreparedExperiment { architecture, settings, split, .. } = prepared;
    let experiment = &declaration.experiment;
    let steps = split.training.len().div_ceil(experiment.training.batch_size.get());
    // The last step completes the epoch, so no checkpoint within an epoch is after it.
    if position.step >= steps {
        return Err(format!("an epoch has {steps} steps, but it was written {position}"));
    }
    let Checkpoint { state, weights, optimizer, average, history } =
        Checkpoint::decode(position, files, experiment, architecture, prepared.classes())?;
    let engine = Engine::restore(settings, &weights, &optimizer, average.as_ref())
        .map_err(|problem| format!("the state of the optimizer: {problem}"))?;
    Ok(StartingPoint { engine, state, history, checkpoint: Some(position) })
}

/// The error in `history.csv`, unless it starts with `history`, the epochs of a checkpoint. It may have more
/// rows: epochs that were completed after the checkpoint are retrained.
pub(crate) fn history_damage(run: &RunDirectory, history: &History) -> Option<StoreError> {
    let path = run.history_path();
    let read = match History::read(&path) {
        Ok(read) if read.rows.starts_with(&history.rows) => return None,
        Ok(read) => read,
        Err(error) => return Some(error),
    };
    let (rows, epochs) = (read.rows.len(), history.rows.len());
    let problem = if history.rows.starts_with(&read.rows) {
        format!("it ends after epoch {rows} of {epochs}")
    } else {
        "it differs from the history in the checkpoint".to_owned()
    };
    Some(StoreError::Damaged { path, problem })
}

/// A warning if `history.csv` is damaged or its last row is incomplete.
fn history_warning(run: &RunDirectory, history: &History) -> Option<String> {
    match history_damage(run, history) {
        Some(error) => Some(format!("{error}; restored from the checkpoint")),
        // The process was killed while it wrote the row.
        None => run.read_history().is_ok_and(|read| read.cut).then(|| {
            let path = run.history_path();
            format!("{}: its last row is incomplete; that epoch is retrained", path.display())
        }),
    }
}
