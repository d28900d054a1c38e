//! The files `model.safetensors` and `initial.safetensors`: weights, and everything that a prediction needs and
//! `config.toml` does not contain.

use std::path::Path;

use kiln_config::read_bytes;
use kiln_data::{ImageShape, Normalizer};
use kiln_model::{MAX_WEIGHTS_BYTES, Weights};
use kiln_store::files;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::experiment::PreparedExperiment;

/// The version of the metadata that this build writes, and the newest that it reads.
const WEIGHTS_VERSION: u32 = 1;

/// The JSON text in the file's `kiln` metadata entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WeightsMetadata {
    format_version: u32,
    pub(crate) image: ImageShape,
    pub(crate) class_names: Vec<String>,
    pub(crate) normalizer: Normalizer,
}

/// Writes the weights of an experiment to `path`.
///
/// # Errors
///
/// The weights cannot be encoded, or the file cannot be written.
pub(crate) fn write_weights(
    path: &Path,
    weights: &Weights,
    prepared: &PreparedExperiment,
) -> Result<(), TrainError> {
    Ok(files::write(path, encode_weights(path, weights, prepared)?)?)
}

/// The content of a file of weights of an experiment. An error names it `path`.
///
/// # Errors
///
/// The weights cannot be encoded.
pub(crate) fn encode_weights(
    path: &Path,
    weights: &Weights,
    prepared: &PreparedExperiment,
) -> Result<Vec<u8>, TrainError> {
    // A prediction must work without the dataset, and after a change of the listed datasets.
    let metadata = WeightsMetadata {
        format_version: WEIGHTS_VERSION,
        image: prepared.dataset.images.shape,
        class_names: prepared.dataset.class_names.clone(),
        normalizer: prepared.normalizer.clone(),
    };
    let metadata = serde_json::to_string(&metadata).map_err(|e| weights_error(path, e))?;
    weights.to_safetensors(metadata).map_err(|e| weights_error(path, e))
}

/// Reads weights and their metadata from `path`.
///
/// # Errors
///
/// The file cannot be read, is damaged, has no metadata or was written by a later version of Kiln.
pub(crate) fn read_weights(path: &Path) -> Result<(Weights, WeightsMetadata), TrainError> {
    let error = |message: String| weights_error(path, message);
    let bytes =
        read_bytes(path, MAX_WEIGHTS_BYTES).map_err(|e| error(format!("cannot be read: {e}")))?;
    let (weights, metadata) =
        Weights::from_safetensors(&bytes).map_err(|e| error(e.to_string()))?;
    let metadata = metadata.ok_or_else(|| error("the file has no `kiln` metadata".to_owned()))?;
    let metadata: WeightsMetadata =
        serde_json::from_str(&metadata).map_err(|e| error(format!("invalid metadata: {e}")))?;
    if metadata.format_version > WEIGHTS_VERSION {
        return Err(error(format!(
            "format_version {} is newer than this Kiln reads ({WEIGHTS_VERSION}): update Kiln",
            metadata.format_version
        )));
    }
    Ok((weights, metadata))
}

/// A [`TrainError::Weights`] for the file at `path`.
pub(crate) fn weights_error(path: &Path, message: impl ToString) -> TrainError {
    TrainError::Weights { place: path.display().to_string(), message: message.to_string() }
}
