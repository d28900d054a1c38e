//! The weights file: safetensors, its tensors named as in [`Weights`], and one metadata entry,
//! `kiln`, that holds a JSON text. One entry only, since the format writes its metadata in the
//! order of a hash map and the file's bytes must be the same every time.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use thiserror::Error;

use crate::architecture::MOST_PARAMETERS;
use crate::weights::{WeightTensor, Weights};

/// The name of the metadata entry.
const METADATA: &str = "kiln";

/// The largest weights file that is read: the most parameters that a model may have, and the longest header that the format
/// allows.
pub const MOST_WEIGHTS_BYTES: u64 = 4 * MOST_PARAMETERS as u64 + 100_000_000;

/// A weights file that cannot be read or written.
#[derive(Debug, Error)]
pub enum WeightsFileError {
    /// It is not a safetensors file, or a damaged one.
    #[error("not a whole safetensors file: {error}; {place}")]
    Damaged {
        /// What the format's reader says; its columns count from byte 8.
        error: safetensors::SafeTensorError,
        /// Where the header and the file end, in bytes.
        place: String,
    },
    /// A tensor's shape and values do not agree.
    #[error("this cannot be put into a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor is of another type than 32-bit floats.
    #[error("tensor `{name}` is {found}, expected F32")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
}

impl Weights {
    /// Encodes the weights; `metadata` is a JSON text.
    ///
    /// # Errors
    ///
    /// A tensor's shape and values do not agree.
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

    /// Decodes a file's bytes; gives the weights in the order of their names, and the metadata
    /// where the file has some.
    ///
    /// # Errors
    ///
    /// The bytes are damaged or hold anything but 32-bit floats.
    pub fn from_safetensors(bytes: &[u8]) -> Result<(Self, Option<String>), WeightsFileError> {
        let damaged = |error| WeightsFileError::Damaged { error, place: place(bytes) };
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
        // The reader gives them in the order of a hash map.
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Self { tensors }, metadata))
    }
}

/// How long the header and the file are.
fn place(bytes: &[u8]) -> String {
    match bytes.first_chunk() {
        Some(length) => format!(
            "its header is bytes 8 to {}, and the file ends at byte {}",
            u64::from_le_bytes(*length).saturating_add(8),
            bytes.len()
        ),
        None => format!("it ends at byte {}, within the length of its header", bytes.len()),
    }
}
