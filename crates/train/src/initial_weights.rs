//! The weights before training: drawn, or loaded from a file as far as its tensors fit (`model.initial_weights`).

use std::fs;
use std::path::{Path, PathBuf};

use kiln_config::read_bytes;
use kiln_model::{MAX_WEIGHTS_BYTES, MatchedTensors, WeightTensor, Weights};
use kiln_store::{Checksum, InitialWeightsRecord, RunDirectory, RunRecord};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::experiment::{Declaration, PreparedExperiment};
use crate::weights_file::{encode_weights, read_weights};

/// The key.
const KEY: &str = "model.initial_weights";

/// The largest number of tensors that a message lists.
const MAX_LISTED: usize = 4;

/// A file of weights and what identifies its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsFile {
    /// Its path.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl WeightsFile {
    /// The file at `path`, or the weights of the run whose directory `path` is.
    ///
    /// # Errors
    ///
    /// It cannot be read, or the run has no intact weights. The message says why.
    pub fn find(path: &Path) -> Result<Self, String> {
        Self::read(path).map(|(file, _)| file)
    }

    /// Like [`find`](Self::find), and returns the content.
    fn read(path: &Path) -> Result<(Self, Vec<u8>), String> {
        let path = if path.is_dir() { weights_of_run(path)? } else { path.to_owned() };
        let unreadable = |error: String| format!("{} cannot be read: {error}", path.display());
        // The user may name a link, unlike a run directory from elsewhere.
        let target = fs::canonicalize(&path).map_err(|error| unreadable(error.to_string()))?;
        let bytes = read_bytes(&target, MAX_WEIGHTS_BYTES)
            .map_err(|error| unreadable(error.to_string()))?;
        let sha256 = Checksum::of(&bytes).sha256;
        Ok((Self { path, sha256 }, bytes))
    }
}

fn weights_of_run(path: &Path) -> Result<PathBuf, String> {
    let run = RunDirectory::open(path).map_err(|error| error.to_string())?;
    let record = run.read_record().map_err(|error| error.to_string())?;
    let weights = run.model_path();
    if !weights.exists() {
        return Err(format!("{} has no model.safetensors ({})", path.display(), record.status));
    }
    run.check(&record, &["model.safetensors"]).map_err(|error| error.to_string())?;
    Ok(weights)
}

/// The weights that an experiment names, read and identified, but not compared with its model yet.
pub(crate) struct SourceWeights {
    file: WeightsFile,
    weights: Weights,
}

impl SourceWeights {
    /// Reads the weights that the experiment names, and writes their path and checksum into it. `None` if it names none.
    ///
    /// # Errors
    ///
    /// They cannot be read, or have another checksum than the experiment says.
    pub(crate) fn read(declaration: &mut Declaration) -> Result<Option<Self>, TrainError> {
        let model = &declaration.experiment.model;
        let Some(source) = model.initial_weights.clone() else { return Ok(None) };
        let error = |message: String| TrainError::from(declaration.error_at(KEY, message));
        let (file, bytes) = WeightsFile::read(Path::new(&source)).map_err(error)?;
        let (weights, _) = Weights::from_safetensors(&bytes)
            .map_err(|problem| error(format!("{}: {problem}", file.path.display())))?;
        declaration.set_initial_weights(&file)?;
        Ok(Some(Self { file, weights }))
    }
}

/// Weights before training of which some were loaded from a file.
pub(crate) struct Transfer {
    /// All of them.
    pub(crate) weights: Weights,
    pub(crate) record: InitialWeightsRecord,
    /// A sentence about what was loaded, without a final full stop.
    pub(crate) note: String,
}

impl Transfer {
    /// Whether some tensors of the model have their own initial values.
    pub(crate) fn is_partial(&self) -> bool {
        !self.record.kept.is_empty()
    }

    /// Loads the tensors of `source` that fit the model.
    ///
    /// # Errors
    ///
    /// None fits.
    pub(crate) fn new(
        source: SourceWeights,
        declaration: &Declaration,
        prepared: &PreparedExperiment,
    ) -> Result<Self, TrainError> {
        let SourceWeights { file, weights: source } = source;
        let mut weights = prepared.drawn_weights(&declaration.experiment);
        let matched = weights.load_matching(&source);
        let path = file.path.display().to_string();
        if matched.loaded.is_empty() {
            let message = format!(
                "no tensor of {path} has the name and the shape of one of the model; the file has {}, the model needs {}",
                shapes(&source.tensors),
                shapes(&weights.tensors)
            );
            return Err(declaration.error_at(KEY, message).into());
        }
        let note = note(&path, &matched);
        let MatchedTensors { loaded, unmatched: kept, unused } = matched;
        let bytes = encode_weights(Path::new("initial.safetensors"), &weights, prepared)?;
        let (initial, sha256) = (Checksum::of(&bytes), file.sha256);
        let record = InitialWeightsRecord { file: path, sha256, loaded, kept, unused, initial };
        Ok(Self { weights, record, note })
    }

    /// The same weights as those of an earlier run of the experiment: from its `initial.safetensors`, or if that is gone,
    /// from the file that the run loaded them from. `None` if the experiment loads no weights.
    ///
    /// # Errors
    ///
    /// Both are missing or have changed.
    pub(crate) fn of_run(
        run: &RunDirectory,
        record: &RunRecord,
        declaration: &Declaration,
        prepared: &PreparedExperiment,
    ) -> Result<Option<Self>, TrainError> {
        if declaration.experiment.model.initial_weights.is_none() {
            return Ok(None);
        }
        if let Some(record) = &record.initial_weights {
            let path = run.initial_path();
            if record.initial.check(&path).is_ok() {
                let (weights, _) = read_weights(&path)?;
                weights.check(&prepared.architecture).map_err(TrainError::Engine)?;
                let note = format!("initial weights from {}", path.display());
                return Ok(Some(Self { weights, record: record.clone(), note }));
            }
        }
        let source =
            SourceWeights::read(&mut declaration.clone()).map_err(|error| match error {
                TrainError::Config(error) => {
                    error.note("initial.safetensors of the run is missing or damaged").into()
                }
                error => error,
            })?;
        source.map(|source| Self::new(source, declaration, prepared)).transpose()
    }
}

fn note(path: &str, matched: &MatchedTensors) -> String {
    let MatchedTensors { loaded, unmatched, unused } = matched;
    let tensors = if loaded.len() == 1 { "tensor" } else { "tensors" };
    let mut note = format!("initial weights: {} {tensors} loaded from {path}", loaded.len());
    if !unmatched.is_empty() {
        note.push_str(&format!("; drawn as without a file: {}", listed(unmatched)));
    }
    if !unused.is_empty() {
        note.push_str(&format!("; not used: {}", listed(unused)));
    }
    note
}

fn shapes(tensors: &[WeightTensor]) -> String {
    let shown = |tensor: &WeightTensor| format!("`{}` {:?}", tensor.name, tensor.shape);
    listed(&tensors.iter().map(shown).collect::<Vec<_>>())
}

fn listed(names: &[String]) -> String {
    let mut list = names.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MAX_LISTED {
        list.push_str(&format!(" and {} more", names.len() - MAX_LISTED));
    }
    if list.is_empty() { "none".to_owned() } else { list }
}
