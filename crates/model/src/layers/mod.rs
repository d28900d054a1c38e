//! The layers. Each file has a layer's keys, its shape rule, its parameters, and its computation.
//!
//! To add a layer: write its file, declare the module, and add an entry to the list below.

// The list does not declare the modules, because rustfmt skips modules that a macro declares.
pub mod activation;
pub mod average_pooling2d;
pub mod batch_normalization;
pub mod conv2d;
pub mod dense;
pub mod depthwise_conv2d;
pub mod dropout;
pub mod flatten;
pub mod global_average_pooling2d;
pub mod global_max_pooling2d;
pub mod group_normalization;
pub mod layer_normalization;
pub mod max_pooling2d;
mod normalization;
pub mod residual;
pub mod spatial_dropout2d;
mod window;
pub mod zero_padding2d;

use std::borrow::Cow;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use crate::activation::Activation;
use crate::architecture::PlannedLayer;
use crate::config::LayerConfig;
use crate::initializer::Initializer;
use crate::shape::Shape;
use crate::tensor::WeightTensor;

layers! {
    /// Converts images to features.
    Flatten = "flatten", flatten::FlattenConfig, flatten::Flatten;
    /// A fully connected layer.
    Dense = "dense", dense::DenseConfig, dense::Dense;
    /// A separate activation function.
    Activation = "activation", activation::ActivationConfig, activation::ActivationLayer;
    /// Dropout.
    Dropout = "dropout", dropout::DropoutConfig, dropout::Dropout;
    /// Batch normalization.
    BatchNormalization = "batch_normalization",
        batch_normalization::BatchNormalizationConfig, batch_normalization::BatchNormalization;
    /// A convolution over rows and columns.
    Conv2d = "conv2d", conv2d::Conv2dConfig, conv2d::Conv2d;
    /// A convolution of each channel by itself.
    DepthwiseConv2d = "depthwise_conv2d", depthwise_conv2d::DepthwiseConv2dConfig, conv2d::Conv2d;
    /// The maximum of each window.
    MaxPooling2d = "max_pooling2d", max_pooling2d::MaxPooling2dConfig, max_pooling2d::MaxPooling2d;
    /// The mean of each window.
    AveragePooling2d = "average_pooling2d",
        average_pooling2d::AveragePooling2dConfig, average_pooling2d::AveragePooling2d;
    /// The mean of each channel.
    GlobalAveragePooling2d = "global_average_pooling2d",
        global_average_pooling2d::GlobalAveragePooling2dConfig,
        global_average_pooling2d::GlobalAveragePooling2d;
    /// The maximum of each channel.
    GlobalMaxPooling2d = "global_max_pooling2d",
        global_max_pooling2d::GlobalMaxPooling2dConfig, global_max_pooling2d::GlobalMaxPooling2d;
    /// Group normalization.
    GroupNormalization = "group_normalization",
        group_normalization::GroupNormalizationConfig, group_normalization::GroupNormalization;
    /// Layer normalization.
    LayerNormalization = "layer_normalization",
        layer_normalization::LayerNormalizationConfig, layer_normalization::LayerNormalization;
    /// Dropout of channels.
    SpatialDropout2d = "spatial_dropout2d",
        spatial_dropout2d::SpatialDropout2dConfig, spatial_dropout2d::SpatialDropout2d;
    /// Zeros around an image.
    ZeroPadding2d = "zero_padding2d",
        zero_padding2d::ZeroPadding2dConfig, zero_padding2d::ZeroPadding2d;
    /// A sum of layers and their input, or of two branches of layers.
    Residual = "residual", residual::ResidualConfig, residual::Residual;
}

pub use window::{Padding, Pair, PoolingWindow, Window};

/// Generates two enums from the list above: [`LayerType`] for the configurations and [`Layer`] for
/// the modules. Both delegate to the files of the layers.
macro_rules! layers {
    ($(
        $(#[$documentation:meta])*
        $variant:ident = $keyword:literal,
            $config_file:ident::$config:ident, $module_file:ident::$module:ident;
    )+) => {
        /// The configuration of a layer, by its `type` in TOML. Non-exhaustive, so that an engine that does not know a new
        /// layer still compiles.
        #[non_exhaustive]
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum LayerType {
            $(
                $(#[$documentation])*
                #[serde(rename = $keyword)]
                $variant($config_file::$config),
            )+
        }

        impl LayerType {
            pub(crate) const KEYWORDS: &[&str] = &[$($keyword),+];

            /// The value of `type` in TOML.
            #[must_use]
            pub const fn keyword(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $keyword,)+
                }
            }

            pub(crate) fn rules(&self) -> &dyn LayerRules {
                match self {
                    $(Self::$variant(layer) => layer,)+
                }
            }

            /// Reads the other keys of a layer of type `keyword`. `None` if there is no such type.
            pub(crate) fn read(
                keyword: &str,
                table: &mut Table<'_>,
            ) -> Result<Option<Self>, ConfigError> {
                Ok(match keyword {
                    $($keyword => Some(Self::$variant($config_file::$config::read(table)?)),)+
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

/// The properties of a layer that planning and the summary need, before anything is allocated.
pub(crate) trait LayerRules {
    /// The lists of layers that the layer owns. Each of them gets the input of the layer.
    fn branches(&self) -> Vec<BranchConfig<'_>> {
        Vec::new()
    }

    /// The shape of one output sample. The error says why the layer does not accept the input, which
    /// shapes come in and would go out, and what to do.
    fn output_shape(&self, input: Shape, context: &Context<'_>) -> Result<Shape, String>;

    /// The parameters of the layer itself, without those of its branches, in the order of the weights file.
    fn parameters(&self, _input: Shape, _output: Shape) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The floating-point operations of the forward pass per sample: one multiplication and one
    /// addition for each term of a matrix product or a convolution, also where the window covers padding.
    /// Elementwise operations (biases, activations, pooling, normalization, dropout, the sum of a residual
    /// connection) are not counted, as is usual.
    fn flops(&self, _input: Shape, _output: Shape) -> u64 {
        0
    }

    /// The number of 32-bit values per sample that training stores for the backward pass, without the input, which is
    /// the output of another layer. By default, the output.
    fn saved_activations(&self, _input: Shape, output: Shape) -> usize {
        output.len()
    }

    /// The activation at the end of the layer.
    fn activation(&self) -> Activation {
        Activation::Linear
    }

    /// Whether the output in inference has the same values as the input, possibly in another shape.
    fn passes_values(&self, _input: Shape) -> bool {
        false
    }

    /// Makes the Burn module.
    fn module(&self, parts: ModuleParts<'_>) -> Layer;
}

/// A list of layers that a layer owns.
pub(crate) struct BranchConfig<'a> {
    /// Its key in the table of the layer, and its name in the weights file: `layers`.
    pub(crate) key: &'static str,
    pub(crate) layers: &'a [LayerConfig],
}

/// The values besides the layer and its input that the shape of an output depends on.
pub(crate) struct Context<'a> {
    /// The number of classes of the dataset.
    pub(crate) classes: usize,
    /// The shape of the output of each branch; see [`LayerRules::branches`].
    pub(crate) branches: &'a [Shape],
}

/// The parts that a Burn module is made from.
pub(crate) struct ModuleParts<'a> {
    /// The layer. The module applies its `activation`, which may differ from
    /// [`LayerRules::activation`]: the loss applies a final softmax.
    pub(crate) layer: &'a PlannedLayer,
    /// The values of [`LayerRules::parameters`], in the same order.
    pub(crate) weights: &'a [&'a WeightTensor],
    /// The modules of each branch; see [`LayerRules::branches`].
    pub(crate) branches: Vec<Vec<Layer>>,
    pub(crate) device: &'a Device,
}

/// A parameter of a layer, without values.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The name within the layer: `weight`, `bias`, `running_mean` or `running_var`.
    pub name: Cow<'static, str>,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The number of inputs that each output depends on.
    pub fan_in: usize,
    /// The number of outputs that each input contributes to.
    pub fan_out: usize,
    /// The number of groups of outputs, the first dimension, that have inputs of their own. 1 except for convolutions.
    pub groups: usize,
    /// How the initial values are drawn.
    pub initializer: Initializer,
    /// The role of the parameter.
    pub role: ParameterRole,
    /// Whether the optimizer updates the parameter. It does not update running statistics.
    pub trainable: bool,
}

/// The role of a parameter. Settings such as weight decay depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterRole {
    /// A factor of the input: the weights of a dense layer or a convolution.
    Kernel,
    /// Added to the product of the kernel and the input.
    Bias,
    /// The scale or the offset of a normalization.
    Normalization,
    /// A running statistic. The optimizer does not update it.
    Statistic,
}

impl ParameterSpec {
    /// The bias of a layer with this many outputs.
    pub(crate) fn bias(outputs: usize, initializer: Initializer) -> Self {
        Self {
            name: "bias".into(),
            shape: vec![outputs],
            // Keras defines both fans of a vector as its length.
            fan_in: outputs,
            fan_out: outputs,
            groups: 1,
            initializer,
            role: ParameterRole::Bias,
            trainable: true,
        }
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the parameter has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A layer on a device: its parameters and its computation.
pub(crate) trait LayerModule {
    fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features;

    /// Copies the values of the parameters to the host, in the order of [`LayerRules::parameters`], then
    /// those of each branch.
    fn values(&self) -> Vec<TensorData> {
        Vec::new()
    }
}

/// The mode of a forward pass.
///
/// Only the layers of dropout depend on it. Batch normalization depends on the device instead: a network on an
/// autodiff device uses the statistics of the batch, its [`valid`](Module::valid) form the running
/// statistics.
#[derive(Debug)]
pub enum Mode<'a, R> {
    /// Dropout draws its masks from this generator.
    Training(&'a mut R),
    /// Dropout is off.
    Inference,
}

/// A batch between two layers.
#[derive(Debug, Clone)]
pub(crate) enum Features {
    /// `[n, channels, height, width]`
    Image(Tensor<4>),
    /// `[n, features]`
    Flat(Tensor<2>),
}

impl Features {
    /// Images. Planning ensures that layers of images get images.
    pub(crate) fn image(self) -> Tensor<4> {
        match self {
            Self::Image(x) => x,
            Self::Flat(x) => {
                let [count, features] = x.dims();
                x.reshape([count, features, 1, 1])
            }
        }
    }

    /// Flattens images in the order channel, row, column: `[n, features]`.
    pub(crate) fn flat(self) -> Tensor<2> {
        match self {
            Self::Image(x) => x.flatten(1, 3),
            Self::Flat(x) => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use kiln_config::Document;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::config::ModelConfig;
    use crate::network::{Network, images};

    /// At least one configuration of each layer, and whether it passes its values through. Add new
    /// layers here. Each accepts an image of 1×2×2, with or without `flatten` before it.
    const LAYERS: &[(&str, bool)] = &[
        ("type = 'flatten'", true),
        ("type = 'dense'\nunits = 3", false),
        ("type = 'activation'\nactivation = 'relu'", false),
        ("type = 'activation'\nactivation = 'linear'", true),
        ("type = 'dropout'\nrate = 0.5", true),
        ("type = 'batch_normalization'", false),
        ("type = 'conv2d'\nfilters = 2\nkernel_size = 1", false),
        ("type = 'depthwise_conv2d'\nkernel_size = 1", false),
        ("type = 'max_pooling2d'", false),
        ("type = 'max_pooling2d'\npool_size = 1", true),
        ("type = 'max_pooling2d'\npool_size = 1\nstrides = 2", false),
        ("type = 'average_pooling2d'", false),
        ("type = 'average_pooling2d'\npool_size = 1", true),
        ("type = 'global_average_pooling2d'", false),
        ("type = 'global_max_pooling2d'", false),
        ("type = 'group_normalization'\ngroups = 1", false),
        ("type = 'layer_normalization'", false),
        ("type = 'spatial_dropout2d'\nrate = 0.5", true),
        ("type = 'zero_padding2d'", false),
        ("type = 'zero_padding2d'\npadding = 0", true),
        ("type = 'residual'\nlayers = [{ type = 'batch_normalization' }]", false),
    ];

    fn layer(text: &str) -> LayerType {
        let document = Document::parse("layer.toml", text).expect("valid TOML");
        let layer = document.read(|table| {
            let keyword: String = table.required("type")?;
            LayerType::read(&keyword, table)
        });
        layer.expect("a valid layer").expect("a known type")
    }

    #[test]
    fn passes_values_is_true_exactly_if_inference_returns_the_input() {
        let device = Device::flex();
        let x = [-2.0, 0.5, 3.0, 1.0];
        let image = Shape::Image { channels: 1, height: 2, width: 2 };
        for (text, expected) in LAYERS {
            let found = layer(text).rules().passes_values(image);
            assert_eq!(found, *expected, "{text}");

            // Layers that do not accept images get flat features.
            let table = text.replace('\n', ", ");
            let layers = ["", "{ type = 'flatten' }, "].map(|before| {
                format!(
                    "layers = [{before}{{ {table} }}, {{ type = 'flatten' }}, {{ type = 'dense', units = 'classes' }}]"
                )
            });
            let plan = |text: &String| {
                let document = Document::parse("model.toml", text).expect("valid TOML");
                let model = document.read(ModelConfig::read).expect("a valid model");
                model.architecture(image, 3).ok()
            };
            // The network without the final dense layer, which has the last weights.
            let mut architecture = layers.iter().find_map(plan).expect("accepts a shape");
            let rng = &mut ChaCha8Rng::seed_from_u64(1);
            architecture.layers.pop();
            let weights = architecture.initial_weights(rng);
            let network = Network::new(&architecture, &weights, &device).expect("its weights");
            let y = network
                .forward(images(x.to_vec(), image, &device), &mut Mode::<ChaCha8Rng>::Inference);
            let is_same = y.into_data().iter::<f32>().eq(x);
            assert_eq!(is_same, *expected, "{text}");
        }
    }

    #[test]
    fn every_layer_is_tested() {
        let mut tested: Vec<_> = LAYERS.iter().map(|(text, _)| layer(text).keyword()).collect();
        tested.dedup();
        assert_eq!(tested, LayerType::KEYWORDS);
    }
}
