//! A list of layers becomes checked shapes, then a Burn module.
//!
//! The way of a model, each step a type that only the step before can give:
//!
//! 1. [`ModelConfig`]: the `[model]` table as it was written, with names and repetitions.
//! 2. [`Architecture`]: the list expanded, every shape checked against the data's; what
//!    [`Summary`] prints. Nothing is allocated yet.
//! 3. [`Weights`]: numbers on the host, drawn from a generator or read from a safetensors file.
//! 4. [`Network`]: the Burn module on a device, from images to one logit a class.
//!
//! A layer is one file under `layers/` and its line in the list of `layers/mod.rs`.

mod activation;
mod architecture;
mod config;
mod initializer;
pub mod layers;
mod network;
mod safetensors;
mod shape;
mod summary;
mod weights;

pub use activation::Activation;
pub use architecture::{Architecture, ModelError, PlannedLayer};
pub use config::{LayerConfig, ModelConfig};
pub use initializer::{Initializer, Scheme};
pub use layers::{LayerKind, LayerType, Mode, ParameterSpec};
pub use network::{Network, images};
pub use safetensors::{MOST_WEIGHTS_BYTES, WeightsFileError};
pub use shape::Shape;
pub use summary::{Summary, SummaryRow};
pub use weights::{WeightTensor, Weights};
