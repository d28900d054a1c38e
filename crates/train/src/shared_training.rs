//! Training that several runs of a sweep have in common, epoch by epoch.
//!
//! Runs with the same [`training_identity`](crate::Experiment::training_identity) have the same weights after the same epoch:
//! they differ in when they end, in which weights they keep, or in what is computed from the weights. The run that trains an
//! epoch first stores the state after it; the others load it instead of training, and do the rest of the epoch themselves:
//! they evaluate, write their history and their checkpoint, and decide whether to stop. So each run has the bytes that it
//! would have alone, whichever run has stored the epoch, and at any moment a run may find nothing and train by itself.
//!
//! ```text
//! EPOCH.safetensors   the weights, their running average, and the state of the optimizer
//! EPOCH.json          what else the epoch yields, and the checksum of the other file; it appears last
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::{WeightTensor, Weights};
use kiln_store::{Checksum, EpochRow, StoreError, files, versioned};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineSettings, OptimizerState};
use crate::resume::checkpoint::{AVERAGE, Checkpoint, OPTIMIZER, WEIGHTS, part, prefixed};
use crate::resume::origin::Origin;

/// The format version that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The largest `EPOCH.json` that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The directory of training that runs share.
#[derive(Debug)]
pub(crate) struct SharedTraining {
    directory: PathBuf,
    /// The id of this run.
    run: String,
    /// What determines the results of the steps, without the experiment, which differs between the runs.
    origin: Origin,
    /// How many epochs were loaded, and the runs that had trained them.
    pub(crate) loaded: Loaded,
}

/// The epochs of a run that other runs have trained.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) epochs: usize,
    pub(crate) runs: Vec<String>,
}

/// `EPOCH.json`.
#[derive(Debug, Serialize, Deserialize)]
struct EpochFile {
    /// The run that trained the epoch.
    run: String,
    origin: Origin,
    /// Those of the last step, and of all steps: the bits of 64-bit numbers, because JSON may round them.
    learning_rate: u64,
    seconds: u64,
    /// The metrics of the training steps, by the names of their columns.
    metrics: BTreeMap<String, u64>,
    /// The counters of the optimizer.
    optimizer: BTreeMap<String, u64>,
    tensors: Checksum,
}

/// An epoch that another run has trained.
pub(crate) struct SharedEpoch {
    pub(crate) engine: Engine,
    pub(crate) learning_rate: f64,
    pub(crate) seconds: f64,
    /// The metrics of the training steps, by the names of their columns.
    pub(crate) metrics: BTreeMap<String, f64>,
}

impl SharedTraining {
    pub(crate) fn new(directory: &Path, run: &str, origin: &Origin) -> Self {
        Self {
            directory: directory.to_owned(),
            run: run.to_owned(),
            origin: Origin { config: String::new(), ..origin.clone() },
            loaded: Loaded::default(),
        }
    }

    fn path(&self, epoch: usize, extension: &str) -> PathBuf {
        self.directory.join(format!("{epoch}.{extension}"))
    }

    /// Stores the state after an epoch, unless another run has. `columns` are those of the metrics of the training steps.
    ///
    /// # Errors
    ///
    /// The state cannot be written. No result depends on that.
    pub(crate) fn store(
        &self,
        engine: &Engine,
        row: &EpochRow,
        columns: &[String],
    ) -> Result<(), StoreError> {
        let place = self.path(row.epoch, "json");
        if files::exists(&place)? {
            return Ok(());
        }
        let refused = |message: String| StoreError::Inconsistent(message);
        let OptimizerState { tensors: optimizer, counters } =
            engine.optimizer_state().map_err(refused)?;
        let mut tensors: Vec<WeightTensor> = prefixed(WEIGHTS, &engine.weights().tensors).collect();
        if let Some(average) = engine.average() {
            tensors.extend(prefixed(AVERAGE, &average.tensors));
        }
        tensors.extend(prefixed(OPTIMIZER, &optimizer));
        let tensors = Weights { tensors }.to_safetensors("{}".to_owned());
        let tensors = tensors.map_err(|error| refused(error.to_string()))?;
        let metric = |name: &String| Some((name.clone(), row.metric(name)?.to_bits()));
        let file = EpochFile {
            run: self.run.clone(),
            origin: self.origin.clone(),
            learning_rate: row.learning_rate.to_bits(),
            seconds: row.seconds.to_bits(),
            metrics: columns.iter().filter_map(metric).collect(),
            optimizer: counters,
            tensors: Checksum::of(&tensors),
        };
        files::create_directories(&self.directory)?;
        files::write(&self.path(row.epoch, "safetensors"), tensors)?;
        files::write(&place, versioned::to_checked_json(VERSION, &file)?)
    }

    /// Loads an epoch that another run has stored; `None` if there is none, if it is damaged or was computed by another
    /// program, and if it lacks one of the `columns`.
    pub(crate) fn load(
        &mut self,
        epoch: usize,
        columns: &[String],
        settings: &EngineSettings,
    ) -> Option<SharedEpoch> {
        let place = self.path(epoch, "json");
        let text = files::read(&place, MAX_BYTES).ok()?;
        let file: EpochFile = versioned::parse_checked(&place, &text, VERSION).ok()?;
        let metrics: BTreeMap<String, f64> =
            file.metrics.iter().map(|(name, bits)| (name.clone(), f64::from_bits(*bits))).collect();
        let has_all = columns.iter().all(|column| metrics.contains_key(column));
        if file.origin != self.origin || !has_all {
            return None;
        }
        let path = self.path(epoch, "safetensors");
        let max_bytes = Checkpoint::max_bytes(&settings.architecture, &settings.optimizer.kind);
        let bytes = kiln_config::read_bytes(&path, max_bytes).ok()?;
        if Checksum::of(&bytes) != file.tensors {
            return None;
        }
        let (Weights { tensors }, _) = Weights::from_safetensors(&bytes).ok()?;
        let checked = |prefix: &str| {
            let weights = Weights { tensors: part(&tensors, prefix) };
            weights.check(&settings.architecture).ok().map(|()| weights)
        };
        let average = match settings.average_decay {
            Some(_) => Some(checked(AVERAGE)?),
            None => None,
        };
        let optimizer =
            OptimizerState { tensors: part(&tensors, OPTIMIZER), counters: file.optimizer };
        let engine =
            Engine::restore(settings, &checked(WEIGHTS)?, &optimizer, average.as_ref()).ok()?;
        self.loaded.epochs += 1;
        if !self.loaded.runs.contains(&file.run) {
            self.loaded.runs.push(file.run);
        }
        let (learning_rate, seconds) =
            (f64::from_bits(file.learning_rate), f64::from_bits(file.seconds));
        Some(SharedEpoch { engine, learning_rate, seconds, metrics })
    }
}
