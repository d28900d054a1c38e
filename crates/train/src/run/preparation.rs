//! The preparation of a run: everything before its first step, until its directory exists.

use std::path::Path;
use std::process::{Command, Stdio};

use kiln_store::{
    Checkpoints, Continuation, DatasetRecord, FileLock, RunDirectory, RunRecord, Status, files,
    splits::{self, Splits},
};

use super::{Run, StartingPoint};
use crate::TrainError;
use crate::experiment::{Backend, Declaration, PreparedExperiment};
use crate::initial_weights::{SourceWeights, Transfer};
use crate::metrics;
use crate::resume::checkpoint_writer::CheckpointWriter;
use crate::resume::lock::RunLock;
use crate::resume::origin::Origin;
use crate::weights_file::write_weights;

/// The id that a sweep has given to a run, and what it is valid for.
#[derive(Debug)]
pub struct PlannedId<'a> {
    /// The id.
    pub id: &'a str,
    /// The fingerprint of the data that the run was planned with.
    pub fingerprint: &'a str,
    /// The lock on the run.
    pub lock: RunLock,
}

impl Run {
    /// Reads the data, checks the experiment against it, draws the initial weights, and creates a locked run directory
    /// under `runs`. Without a `planned` id, the id is made from the time. If the experiment or the data
    /// is wrong, no run directory is left. If the directory cannot be filled, its run is marked as failed.
    ///
    /// # Errors
    ///
    /// The data or the initial weights cannot be read, the data is not that of the `planned` id or makes every result
    /// meaningless, the experiment does not fit the data or none of the initial weights, this build lacks the backend, or the directory cannot be created.
    pub fn prepare(
        mut declaration: Declaration,
        data: &Path,
        runs: &Path,
        planned: Option<PlannedId<'_>>,
    ) -> Result<Self, TrainError> {
        // First, because reading the data takes longer.
        let weights = SourceWeights::read(&mut declaration)?;
        let mut prepared = match &planned {
            None => PreparedExperiment::read(&mut declaration, data)?,
            Some(PlannedId { fingerprint, .. }) => {
                PreparedExperiment::read_recorded(&mut declaration, data, fingerprint)?
            }
        };
        if let Some(PlannedId { fingerprint, .. }) = &planned
            && prepared.origin.dataset.fingerprint != *fingerprint
        {
            // Under the planned id, the results would be taken for those of the other data.
            let DatasetRecord { name, fingerprint: now, .. } = prepared.origin.dataset;
            return Err(TrainError::DataChanged { name, planned: (*fingerprint).to_owned(), now });
        }
        prepared.check_data(&declaration)?;
        let transfer = weights.map(|source| Transfer::new(source, &declaration, &prepared));
        prepared.transfer = transfer.transpose()?;
        Self::create(declaration, prepared, runs, planned, None)
    }

    /// Like [`prepare`](Self::prepare), with data that was read, and from the checkpoint of another run if one is given.
    ///
    /// # Errors
    ///
    /// Those of [`prepare`](Self::prepare), except those about the data.
    pub(crate) fn create(
        declaration: Declaration,
        prepared: PreparedExperiment,
        runs: &Path,
        planned: Option<PlannedId<'_>>,
        continued: Option<(StartingPoint, Continuation)>,
    ) -> Result<Self, TrainError> {
        let experiment = &declaration.experiment;
        let (training, continued) = match continued {
            Some((training, continued)) => (training, Some(continued)),
            None => (StartingPoint::from_scratch(experiment, &prepared)?, None),
        };

        // Everything that can fail because of the experiment or the data has succeeded: now create the directory.
        let id = planned.as_ref().map(|planned| planned.id);
        let directory = RunDirectory::create(runs, &experiment.name, id)?;
        let Origin { dataset, versions, backend, engine: implementation, .. } =
            prepared.origin.clone();
        let unsupported_by_fused = declaration.unsupported_by_fused(&prepared.architecture);
        let record = RunRecord {
            unsupported_by_fused,
            name: experiment.name.clone(),
            id: directory.id(),
            status: Status::Running,
            stop_reason: None,
            seed: experiment.seed,
            backend,
            engine: implementation,
            threads: prepared.settings.threads,
            visible_devices: visible_devices(experiment.device.backend),
            versions,
            git_commit: git_commit(),
            dataset,
            validation_fingerprint: prepared.validation_fingerprint(),
            normalization: Some(prepared.normalization()),
            data_warnings: prepared.data_warnings.clone(),
            warnings: prepared.warnings(experiment),
            parameters: prepared.architecture.parameters() as u64,
            initial_weights: prepared.transfer.as_ref().map(|transfer| transfer.record.clone()),
            started: kiln_store::now(),
            ended: None,
            training_seconds: None,
            epochs: 0,
            optimism: None,
            metrics: metrics::columns(experiment),
            reused: None,
            shared: None,
            continued,
            evaluations: Vec::new(),
            resumed: Vec::new(),
            files: std::collections::BTreeMap::new(),
            removed: std::collections::BTreeMap::new(),
        };
        let lock = match planned {
            Some(planned) => planned.lock,
            None => match FileLock::of(&directory) {
                Ok(lock) => RunLock::Run(lock),
                Err(error) => {
                    // The directory is still empty. If it cannot be removed, the first error is more useful.
                    let _ = files::remove_directory(directory.path());
                    return Err(error.into());
                }
            },
        };
        let mut run = Self::new(declaration, prepared, training, directory, record, lock);
        let written = run.write_first_files();
        run.or_fail(written)?;
        Ok(run)
    }

    /// A run that trains alone and whose history has no other reader.
    pub(crate) fn new(
        declaration: Declaration,
        prepared: PreparedExperiment,
        training: StartingPoint,
        directory: RunDirectory,
        record: RunRecord,
        lock: RunLock,
    ) -> Self {
        let read_interval = declaration.experiment.device.backend.read_interval();
        Self {
            declaration,
            prepared,
            training,
            directory,
            record,
            lock,
            read_interval,
            shared: None,
            epoch_log: None,
        }
    }

    fn write_first_files(&self) -> Result<(), TrainError> {
        self.lock.check()?;
        files::write(&self.directory.config_path(), &self.prepared.origin.config)?;
        // Before the record, which has its checksum.
        self.write_initial()?;
        self.directory.write_record(&self.record)?;
        self.write_splits()?;
        if self.record.continued.is_some() {
            // If the run is interrupted in its first epoch, it is resumed from here and not from scratch.
            let StartingPoint { engine, state, history, .. } = &self.training;
            let config = self.declaration.experiment.checkpoint;
            let checkpoints = Checkpoints::of(&self.directory);
            let origin = &self.prepared.origin;
            CheckpointWriter::new(checkpoints, config, origin, None, &self.lock)
                .save(engine, state, history)?;
        }
        Ok(())
    }

    /// Writes `splits.csv`.
    pub(crate) fn write_splits(&self) -> Result<(), TrainError> {
        let PreparedExperiment { dataset, split, .. } = &self.prepared;
        let splits = Splits {
            training: &split.training,
            validation: &split.validation,
            test: &split.test,
            file_names: dataset.file_names.as_deref(),
        };
        Ok(splits::write(&self.directory.splits_path(), &splits)?)
    }

    /// Writes `initial.safetensors`, if the experiment asks for it or the weights come from a file, which may change.
    fn write_initial(&self) -> Result<(), TrainError> {
        let experiment = &self.declaration.experiment;
        if experiment.model.initial_weights.is_none() && !experiment.training.save_initial {
            return Ok(());
        }
        let weights = self.prepared.initial_weights(experiment);
        write_weights(&self.directory.initial_path(), &weights, &self.prepared)
    }
}

/// The GPUs that a run on a GPU sees, if the environment lists them.
fn visible_devices(backend: Backend) -> Option<String> {
    let is_on_cpu = matches!(backend, Backend::Flex | Backend::Ndarray);
    std::env::var("CUDA_VISIBLE_DEVICES").ok().filter(|list| !is_on_cpu && !list.is_empty())
}

/// The commit of the repository in the current directory; `None` without a repository or git.
fn git_commit() -> Option<String> {
    // Without streams, git can neither ask for anything nor print a message.
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
