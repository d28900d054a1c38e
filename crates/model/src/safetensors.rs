//! Reads and writes the weights file: safetensors, with the tensor names of [`Weights`] and one
//! metadata entry, `kiln`, which is JSON text.
//!
//! There is only one metadata entry because the `safetensors` crate writes them in the order of a
//! hash map, and the bytes of the file must be reproducible.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use thiserror::Error;

use crate::planner::MAX_PARAMETERS;
use crate::tensor::WeightTensor;
use crate::weights::Weights;

/// The name of the metadata entry.
const METADATA: &str = "kiln";

/// Size limit for a weights file: the largest possible model plus the longest header of the format,
/// 100 MB.
pub const MAX_WEIGHTS_BYTES: u64 = 4 * MAX_PARAMETERS as u64 + 100_000_000;

/// Why a weights file cannot be read or written.
#[derive(Debug, Error)]
pub enum WeightsFileError {
    /// The bytes are not a safetensors file, or the file is damaged.
    #[error("not an intact safetensors file: {error}; {extent}")]
    Damaged {
        /// The error of the `safetensors` crate. Its columns count from byte 8.
        error: safetensors::SafeTensorError,
        /// The extent of the header and of the file in bytes.
        extent: String,
    },
    /// The number of values of a tensor does not fit its shape.
    #[error("cannot write the weights as a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// The values of a tensor are not 32-bit floats.
    #[error("tensor `{name}` is {found}, expected F32")]
    Type {
        /// The name of the tensor.
        name: String,
        /// Its element type.
        found: String,
    },
}

impl Weights {
    /// Encodes the weights. `metadata` is JSON text.
    ///
    /// # Errors
    ///
    /// The number of values of a tensor does not fit its shape.
    pub fn to_safetensors(&self, metadata: String) -> Result<Vec<u8>, WeightsFileError> {
        let bytes: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = self
            .tensors
            .iter()
            .zip(&bytes)
            .map(|(tensor, bytes)| {
                let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?;
                Ok((tensor.name.as_str(), view))
            })
            .collect::<Result<Vec<_>, WeightsFileError>>()?;
        let metadata = HashMap::from([(METADATA.to_owned(), metadata)]);
        Ok(serialize(views, Some(metadata))?)
    }

    /// Decodes the bytes of a file. Returns the weights, sorted by name, and the metadata if the file
    /// has any.
    ///
    /// # Errors
    ///
    /// The bytes are not an intact safetensors file, or a tensor has other values than 32-bit floats.
    pub fn from_safetensors(bytes: &[u8]) -> Result<(Self, Option<String>), WeightsFileError> {
        let damaged = |error| WeightsFileError::Damaged { error, extent: extent(bytes) };
        // `deserialize` does not return the metadata.
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata =
            header.metadata().as_ref().and_then(|entries| entries.get(METADATA).cloned());
        let mut tensors = SafeTensors::deserialize(bytes)
            .map_err(damaged)?
            .iter()
            .map(|(name, view)| {
                if view.dtype() != Dtype::F32 {
                    let found = format!("{:?}", view.dtype());
                    return Err(WeightsFileError::Type { name: name.to_owned(), found });
                }
                let values = view.data().chunks_exact(4);
                let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                Ok(WeightTensor { name: name.to_owned(), shape: view.shape().to_vec(), values })
            })
            .collect::<Result<Vec<_>, WeightsFileError>>()?;
        // The `safetensors` crate returns them in the order of a hash map.
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Self { tensors }, metadata))
    }
}

/// Describes the extent of the header and of the file.
fn extent(bytes: &[u8]) -> String {
    match bytes.first_chunk() {
        Some(length) => format!(
            "the header is bytes 8 to {}, the file ends at byte {}",
            u64::from_le_bytes(*length).saturating_add(8),
            bytes.len()
        ),
        None => format!("the file ends at byte {}, inside the length of the header", bytes.len()),
    }
}
