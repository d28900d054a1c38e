//! The layers. Each file has a layer's keys, its shape rule, its parameters, and its computation.
//!
//! To add a layer: write its file, declare the module, and add an entry to the list below.

// The list does not declare the modules, because rustfmt skips modules that a macro declares.
pub mod activation;
pub mod batch_normalization;
pub mod dense;
pub mod dropout;
pub mod flatten;

use std::borrow::Cow;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use crate::activation::Activation;
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
}

/// Generates two enums from the list above: [`LayerType`] for the configurations and [`Layer`] for
/// the modules. Both delegate to the files of the layers.
macro_rules! layers {
    ($(
        $(#[$documentation:meta])*
        $variant:ident = $keyword:literal,
            $config_file:ident::$config:ident, $module_file:ident::$module:ident;
    )+) => {
        /// The configuration of a layer, by its `type` in TOML.
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
    /// The shape of one output sample. `classes` is the number of classes of the dataset. The error
    /// says why the layer does not accept the input, and what to do.
    fn output_shape(&self, input: Shape, classes: usize) -> Result<Shape, String>;

    /// The parameters, in the order of the weights file.
    fn parameters(&self, _input: Shape, _output: Shape) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The floating-point operations of the forward pass per sample: one multiplication and one
    /// addition for each term of a matrix product. Elementwise operations (biases, activations,
    /// normalization, dropout) are not counted, as is usual.
    fn flops(&self, _input: Shape, _output: Shape) -> u64 {
        0
    }

    /// The number of values per sample that training stores for the backward pass. By default, the
    /// output.
    fn saved_activations(&self, output: Shape) -> usize {
        output.len()
    }

    /// The activation at the end of the layer.
    fn activation(&self) -> Activation {
        Activation::Linear
    }

    /// Whether the output in inference has the same values as the input, possibly in another shape.
    fn passes_values(&self) -> bool {
        false
    }

    /// Makes the Burn module.
    ///
    /// `weights` are the values of [`parameters`](Self::parameters), in the same order. The module
    /// applies `activation`, which may differ from [`activation`](Self::activation): the loss applies
    /// a final softmax.
    fn module(&self, weights: &[&WeightTensor], activation: Activation, device: &Device) -> Layer;
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
    /// How the initial values are drawn.
    pub initializer: Initializer,
    /// Whether the optimizer updates the parameter. It does not update running statistics.
    pub trainable: bool,
}

impl ParameterSpec {
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

    /// Copies the values of the parameters to the host, in the order of [`LayerRules::parameters`].
    fn values(&self) -> Vec<TensorData> {
        Vec::new()
    }
}

/// The mode of a forward pass.
///
/// Only dropout depends on it. Batch normalization depends on the device instead: a network on an
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
#[derive(Debug)]
pub(crate) enum Features {
    /// `[n, channels, height, width]`
    Image(Tensor<4>),
    /// `[n, features]`
    Flat(Tensor<2>),
}

impl Features {
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
    use crate::network::images;

    /// At least one configuration of each layer, and whether it passes its values through. Add new
    /// layers here.
    const LAYERS: &[(&str, bool)] = &[
        ("type = 'flatten'", true),
        ("type = 'dense'\nunits = 3", false),
        ("type = 'activation'\nactivation = 'relu'", false),
        ("type = 'activation'\nactivation = 'linear'", true),
        ("type = 'dropout'\nrate = 0.5", true),
        ("type = 'batch_normalization'", false),
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
        let shapes = [
            Shape::Image { channels: 1, height: 2, width: 2 },
            // For layers that do not accept images.
            Shape::Features(4),
        ];
        for (text, expected) in LAYERS {
            let layer = layer(text);
            assert_eq!(layer.rules().passes_values(), *expected, "{text}");

            let output = |input| Some((input, layer.rules().output_shape(input, 3).ok()?));
            let (input, output) = shapes.into_iter().find_map(output).expect("accepts a shape");
            let rng = &mut ChaCha8Rng::seed_from_u64(1);
            let specs = layer.rules().parameters(input, output);
            let weights: Vec<WeightTensor> = specs
                .into_iter()
                .map(|spec| WeightTensor {
                    name: spec.name.to_string(),
                    values: spec.initializer.draw(spec.len(), spec.fan_in, spec.fan_out, rng),
                    shape: spec.shape,
                })
                .collect();
            let weights: Vec<&WeightTensor> = weights.iter().collect();
            let module = layer.rules().module(&weights, layer.rules().activation(), &device);
            let features = match input {
                Shape::Image { .. } => Features::Image(images(x.to_vec(), input, &device)),
                Shape::Features(_) => Features::Flat(Tensor::from_data([x], &device)),
            };
            let y = module.forward(features, &mut Mode::<ChaCha8Rng>::Inference).flat();
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
