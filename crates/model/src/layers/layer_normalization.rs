//! Layer normalization.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::normalization::{Affine, parameters, read_epsilon, saved_activations, standardize};
use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, ParameterSpec};
use crate::shape::Shape;

/// `{ type = "layer_normalization" }`: γ (x − mean) / √(variance + ε) + β, where mean and variance are over the features of
/// one sample, and γ and β are separate for each feature (Ba et al. 2016). For images, the features are the channels of each
/// pixel, as in Keras, whose default axis is the last one, and in ConvNeXt. Normalization over the image is
/// `group_normalization` with one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerNormalizationConfig {
    /// ε, added to the variance.
    pub epsilon: f64,
    /// Whether to add β.
    pub center: bool,
    /// Whether to multiply by γ.
    pub scale: bool,
}

impl LayerNormalizationConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            epsilon: read_epsilon(table)?,
            center: table.default("center", true)?,
            scale: table.default("scale", true)?,
        })
    }
}

impl LayerRules for LayerNormalizationConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        match input {
            Shape::Image { channels: 1, height, width } if height * width > 1 => Err(format!(
                "it normalizes over the channels of each pixel, and a single channel becomes 0: its input is {input}; use \
                 {{ type = \"group_normalization\", groups = 1 }}, which normalizes over the image"
            )),
            _ if input.channels() == 1 => Err(format!(
                "normalization would set a single feature to 0: its input is {input}; remove it"
            )),
            _ => Ok(input),
        }
    }

    fn parameters(&self, input: Shape, _: Shape) -> Vec<ParameterSpec> {
        parameters(input.channels(), self.scale, self.center)
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        saved_activations(output.len(), self.scale)
    }

    fn module(&self, ModuleParts { weights, device, .. }: ModuleParts<'_>) -> Layer {
        Layer::LayerNormalization(LayerNormalization {
            affine: Affine::new(weights, self.scale, self.center, device).0,
            epsilon: self.epsilon,
        })
    }
}

#[derive(Module, Debug)]
pub(crate) struct LayerNormalization {
    affine: Affine,
    epsilon: f64,
}

impl LayerNormalization {
    fn normalize<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.affine.apply(standardize(x, 1, self.epsilon))
    }
}

impl LayerModule for LayerNormalization {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        match x {
            Features::Image(x) => Features::Image(self.normalize(x)),
            Features::Flat(x) => Features::Flat(self.normalize(x)),
        }
    }

    fn values(&self) -> Vec<TensorData> {
        self.affine.values()
    }
}
