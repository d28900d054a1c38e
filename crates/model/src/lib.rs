//! Builds a network from a list of layers: checks every shape, then makes a Burn module.
//!
//! Each step is a type that is made from the previous one:
//!
//! 1. [`ModelConfig`]: the `[model]` table as written, with names, blocks and repetitions.
//! 2. [`Architecture`]: the list expanded, with every shape checked, from the images of the dataset
//!    to one score per class. Nothing is allocated yet; [`Summary`] shows it.
//! 3. [`Weights`]: the parameters in host memory, drawn from a generator or read from a safetensors
//!    file.
//! 4. [`Network`]: the Burn module on a device, from images to logits.
//!
//! A layer is one file in `layers/` and an entry in the list of `layers/mod.rs`.

mod activation;
mod architecture;
mod config;
mod initializer;
pub mod layers;
mod network;
mod planner;
mod safetensors;
mod shape;
mod summary;
mod tensor;
mod weights;

pub use activation::Activation;
pub use architecture::{Architecture, ModelError, PlannedBranch, PlannedLayer, PlannedParameter};
pub use config::{BlockConfig, LayerConfig, LayerKind, LayerTraining, ModelConfig};
pub use initializer::{Initializer, Scheme};
pub use layers::{
    LayerType, Mode, Padding, Pair, ParameterRole, ParameterSpec, PoolingWindow, Window,
};
pub use network::{Network, images};
pub use safetensors::{MAX_WEIGHTS_BYTES, WeightsFileError};
pub use shape::Shape;
pub use summary::{Summary, SummaryRow};
pub use tensor::WeightTensor;
pub use weights::{MatchedTensors, Weights};
