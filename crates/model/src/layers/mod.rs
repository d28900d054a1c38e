//! The layers. Each is one file that holds its keys, its shape rule, its parameters and what it
//! computes; the lists below name them all.

pub mod activation;
pub mod batch_normalization;
pub mod block;
pub mod dense;
pub mod dropout;
pub mod flatten;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::shape::Shape;
use crate::weights::WeightTensor;

pub(crate) use activation::ActivationConfig;
pub(crate) use batch_normalization::BatchNormalizationConfig;
pub(crate) use block::BlockConfig;
pub(crate) use dense::DenseConfig;
pub(crate) use dropout::DropoutConfig;
pub(crate) use flatten::FlattenConfig;

/// What a layer is, by its `type` in TOML.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LayerKind {
    /// Several entries that are repeated together.
    Block(BlockConfig),
    /// Images to features.
    Flatten(FlattenConfig),
    /// A fully connected layer.
    Dense(DenseConfig),
    /// An activation function of its own.
    Activation(ActivationConfig),
    /// Dropout.
    Dropout(DropoutConfig),
    /// Batch normalisation.
    BatchNormalization(BatchNormalizationConfig),
}

impl LayerKind {
    const TYPES: &[&str] =
        &["block", "flatten", "dense", "activation", "dropout", "batch_normalization"];

    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let Some(value) = table.value("type") else {
            // Asked for as text, so that a misspelt `type` is found.
            return Err(match table.required::<String>("type") {
                Err(error) => error.help(format!("type is one of {}", Self::TYPES.join(", "))),
                Ok(_) => table.error("a layer needs a `type`"),
            });
        };
        Ok(match Self::TYPES[value.word(Self::TYPES)?] {
            "block" => Self::Block(BlockConfig::read(table)?),
            "flatten" => Self::Flatten(FlattenConfig {}),
            "dense" => Self::Dense(DenseConfig::read(table)?),
            "activation" => Self::Activation(ActivationConfig::read(table)?),
            "dropout" => Self::Dropout(DropoutConfig::read(table)?),
            _ => Self::BatchNormalization(BatchNormalizationConfig::read(table)?),
        })
    }

    /// The layer's rules, or the block that it is instead.
    pub(crate) fn rules(&self) -> Result<&dyn LayerRules, &BlockConfig> {
        match self {
            Self::Block(block) => Err(block),
            Self::Flatten(layer) => Ok(layer),
            Self::Dense(layer) => Ok(layer),
            Self::Activation(layer) => Ok(layer),
            Self::Dropout(layer) => Ok(layer),
            Self::BatchNormalization(layer) => Ok(layer),
        }
    }
}

/// What is known of a layer before anything is allocated.
pub(crate) trait LayerRules {
    /// The word for it, as in TOML.
    fn type_name(&self) -> &'static str;

    /// The shape that it makes of the input's, or what is wrong with that.
    fn output_shape(&self, input: Shape, classes: usize) -> Result<Shape, String>;

    /// Its parameters, in the order of the weights file.
    fn parameters(&self, _input: Shape, _output: Shape) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The floating-point operations of the forward pass for one sample: 2 for each
    /// multiplication and addition of a product. What is a pass over the values only (biases,
    /// activations, dropout) is left out, as is usual; it is below 1 % in networks that matter.
    fn flops(&self, _input: Shape, _output: Shape) -> u64 {
        0
    }

    /// The activation that ends it, if it ends with one.
    fn activation(&self) -> Activation {
        Activation::Linear
    }

    /// The Burn module. `weights` are the layer's own, exactly those of
    /// [`parameters`](Self::parameters) in their order; `activation` replaces the one of the configuration, so
    /// that a final softmax can be left to the loss.
    fn module(&self, weights: &[WeightTensor], activation: Activation, device: &Device) -> Layer;
}

/// A parameter before it has values.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// `weight`, `bias`, `running_mean` or `running_var`.
    pub name: &'static str,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// The number of inputs that one output depends on.
    pub fan_in: usize,
    /// The number of outputs that one input contributes to.
    pub fan_out: usize,
    /// How it starts.
    pub initializer: Initializer,
    /// Whether the optimiser changes it; a running statistic is only observed.
    pub trainable: bool,
}

impl ParameterSpec {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A layer on a device.
#[derive(Module, Debug)]
pub(crate) enum Layer {
    /// See [`FlattenConfig`].
    Flatten(flatten::Flatten),
    /// See [`DenseConfig`].
    Dense(dense::Dense),
    /// See [`ActivationConfig`].
    Activation(activation::ActivationLayer),
    /// See [`DropoutConfig`].
    Dropout(dropout::Dropout),
    /// See [`BatchNormalizationConfig`].
    BatchNormalization(batch_normalization::BatchNormalization),
}

impl Layer {
    pub(crate) fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features {
        match self {
            Self::Flatten(layer) => layer.forward(x),
            Self::Dense(layer) => layer.forward(x),
            Self::Activation(layer) => layer.forward(x),
            Self::Dropout(layer) => layer.forward(x, mode),
            Self::BatchNormalization(layer) => layer.forward(x),
        }
    }

    /// The parameters' values, in the order of the layer's [`ParameterSpec`]s.
    pub(crate) fn values(&self) -> Vec<burn::tensor::TensorData> {
        match self {
            Self::Dense(layer) => layer.values(),
            Self::BatchNormalization(layer) => layer.values(),
            Self::Flatten(_) | Self::Activation(_) | Self::Dropout(_) => Vec::new(),
        }
    }
}

/// Whether a forward pass trains. Batch normalisation knows by the device: a network on an
/// autodiff device uses the batch's statistics, its [`valid`](Module::valid) form the running ones.
#[derive(Debug)]
pub enum Mode<'a, R> {
    /// Dropout draws its masks from this generator.
    Training(&'a mut R),
    /// Nothing is random.
    Inference,
}

/// A batch between two layers.
#[derive(Debug)]
pub(crate) enum Features {
    /// `[n, channels, height, width]`
    Image(Tensor<4>),
    /// `[n, features]`
    Flat(Tensor<2>),
}

impl Features {
    /// `[n, features]`; an image's planes one after another, rows within them.
    pub(crate) fn flat(self) -> Tensor<2> {
        match self {
            Self::Image(x) => x.flatten(1, 3),
            Self::Flat(x) => x,
        }
    }
}
