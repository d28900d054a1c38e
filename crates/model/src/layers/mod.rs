//! The layers. Each is one file that holds its keys, its shape rule, its parameters and what it
//! computes; the list below names them all. To add one: its file, and a line in the list.

pub mod activation;
pub mod batch_normalization;
pub mod block;
pub mod dense;
pub mod dropout;
pub mod flatten;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_config::{ConfigError, FromValue, Table, Value};
use rand_core::Rng;
use serde::Serialize;

use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::shape::Shape;
use crate::weights::WeightTensor;

pub(crate) use block::BlockConfig;

layers! {
    /// Images to features.
    Flatten = "flatten", flatten::FlattenConfig, flatten::Flatten;
    /// A fully connected layer.
    Dense = "dense", dense::DenseConfig, dense::Dense;
    /// An activation function of its own.
    Activation = "activation", activation::ActivationConfig, activation::ActivationLayer;
    /// Dropout.
    Dropout = "dropout", dropout::DropoutConfig, dropout::Dropout;
    /// Batch normalisation.
    BatchNormalization = "batch_normalization",
        batch_normalization::BatchNormalizationConfig, batch_normalization::BatchNormalization;
}

/// Makes of the list above the enum of configurations, [`LayerType`], and that of modules,
/// [`Layer`]; each variant does what its layer's file says.
macro_rules! layers {
    ($(
        $(#[$documentation:meta])*
        $variant:ident = $word:literal,
            $config_file:ident::$config:ident, $module_file:ident::$module:ident;
    )+) => {
        /// A layer, by its `type` in TOML.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum LayerType {
            $(
                $(#[$documentation])*
                #[serde(rename = $word)]
                $variant($config_file::$config),
            )+
        }

        impl LayerType {
            const WORDS: &[&str] = &[$($word),+];

            /// The word for it, as in TOML.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $word,)+
                }
            }

            pub(crate) fn rules(&self) -> &dyn LayerRules {
                match self {
                    $(Self::$variant(layer) => layer,)+
                }
            }

            /// Reads the other keys of a layer of this type; nothing where there is no such type.
            fn read(word: &str, table: &mut Table<'_>) -> Result<Option<Self>, ConfigError> {
                Ok(match word {
                    $($word => Some(Self::$variant($config_file::$config::read(table)?)),)+
                    _ => None,
                })
            }
        }

        /// A layer on a device.
        #[derive(Module, Debug)]
        pub(crate) enum Layer {
            $(
                $(#[$documentation])*
                $variant($module_file::$module),
            )+
        }

        impl LayerModule for Layer {
            fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features {
                match self {
                    $(Self::$variant(layer) => layer.forward(x, mode),)+
                }
            }

            fn values(&self) -> Vec<TensorData> {
                match self {
                    $(Self::$variant(layer) => layer.values(),)+
                }
            }
        }
    };
}
use layers;

/// What an entry of `model.layers` is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LayerKind {
    /// Several entries that are repeated together.
    Block(BlockConfig),
    /// One layer.
    Layer(LayerType),
}

/// The word in `type`, checked to be one that is known.
struct Word(String);

impl LayerKind {
    const BLOCK: &str = "block";

    fn words() -> Vec<&'static str> {
        std::iter::once(Self::BLOCK).chain(LayerType::WORDS.iter().copied()).collect()
    }

    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let Word(word) = table.required("type").map_err(|error: ConfigError| {
            error.help(format!("type is one of {}", Self::words().join(", ")))
        })?;
        match LayerType::read(&word, table)? {
            Some(layer) => Ok(Self::Layer(layer)),
            None => BlockConfig::read(table).map(Self::Block),
        }
    }
}

impl FromValue for Word {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let words = LayerKind::words();
        value.keyword(&words).map(|index| Self(words[index].to_owned()))
    }
}

/// What is known of a layer before anything is allocated.
pub(crate) trait LayerRules {
    /// The shape that it makes of the input's, or what is wrong with that.
    fn output_shape(&self, input: Shape, classes: usize) -> Result<Shape, String>;

    /// Its parameters, in the order of the weights file.
    fn parameters(&self, _input: Shape, _output: Shape) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The floating-point operations of the forward pass for one sample: a multiplication and an
    /// addition for each term of a product. What is only a pass over the values (biases,
    /// activations, normalisation, dropout) is left out, as is usual.
    fn flops(&self, _input: Shape, _output: Shape) -> u64 {
        0
    }

    /// The values of one sample that training holds until the way back: those of the output,
    /// unless the layer makes none or more.
    fn kept_values(&self, output: Shape) -> usize {
        output.len()
    }

    /// The activation that ends it, if it ends with one.
    fn activation(&self) -> Activation {
        Activation::Linear
    }

    /// The Burn module. `weights` are the layer's own, exactly those of
    /// [`parameters`](Self::parameters) in their order; `activation` replaces the one of the configuration, so
    /// that a final softmax can be left to the loss.
    fn module(&self, weights: &[&WeightTensor], activation: Activation, device: &Device) -> Layer;
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

/// A layer's parameters on a device, and what it computes with them.
pub(crate) trait LayerModule {
    fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features;

    /// The parameters' values, in the order of [`LayerRules::parameters`].
    fn values(&self) -> Vec<TensorData> {
        Vec::new()
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
