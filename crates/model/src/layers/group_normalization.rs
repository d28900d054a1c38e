//! Group normalization.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::normalization::{Affine, parameters, read_epsilon, saved_activations, standardize};
use super::window::divisor;
use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, ParameterSpec};
use crate::shape::Shape;

/// `{ type = "group_normalization" }`: γ (x − mean) / √(variance + ε) + β, where mean and variance are over the pixels of a
/// group of adjacent channels of one image, and γ and β are separate for each channel (Wu and He 2018). It computes the same
/// in training and in inference, for any batch size.
///
/// One group normalizes over the image, as PyTorch's `LayerNorm` over `[channels, height, width]` does; as many groups as
/// channels are instance normalization.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupNormalizationConfig {
    /// The number of groups, above 0.
    pub groups: usize,
    /// ε, added to the variance.
    pub epsilon: f64,
    /// Whether to add β.
    pub center: bool,
    /// Whether to multiply by γ.
    pub scale: bool,
}

impl GroupNormalizationConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            groups: table.checked("groups", 32, "a whole number above 0", |groups| *groups > 0)?,
            epsilon: read_epsilon(table)?,
            center: table.default("center", true)?,
            scale: table.default("scale", true)?,
        })
    }
}

impl LayerRules for GroupNormalizationConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        let (groups, channels) = (self.groups, input.channels());
        let is_divisor = channels.is_multiple_of(groups);
        if is_divisor && input.len() > groups {
            return Ok(input);
        }
        let problem = if is_divisor {
            format!(
                "each of its {groups} groups has a single value, which it would set to 0: its input is {input}"
            )
        } else {
            format!(
                "its {groups} groups need a multiple of {groups} channels, but its input is {input}"
            )
        };
        // Groups of at least two values, and of several channels if possible: a group for each channel is instance
        // normalization.
        let limit = if channels > 1 { groups.min(channels / 2) } else { groups };
        let limit = if limit == 0 || input.len() <= 1 { 0 } else { limit };
        let remedy = match limit {
            0 => "remove it".to_owned(),
            limit => format!("set groups = {}", divisor(channels, limit)),
        };
        Err(format!("{problem}; {remedy}"))
    }

    fn parameters(&self, input: Shape, _: Shape) -> Vec<ParameterSpec> {
        parameters(input.channels(), self.scale, self.center)
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        saved_activations(output.len(), self.scale)
    }

    fn module(&self, ModuleParts { weights, device, .. }: ModuleParts<'_>) -> Layer {
        Layer::GroupNormalization(GroupNormalization {
            affine: Affine::new(weights, self.scale, self.center, device).0,
            groups: self.groups,
            epsilon: self.epsilon,
        })
    }
}

#[derive(Module, Debug)]
pub(crate) struct GroupNormalization {
    affine: Affine,
    groups: usize,
    epsilon: f64,
}

impl GroupNormalization {
    fn normalize<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.dims();
        let values = shape[1..].iter().product::<usize>() / self.groups;
        // Burn's `GroupNorm` panics for one image of two values.
        let x = standardize(x.reshape([shape[0], self.groups, values]), 2, self.epsilon);
        self.affine.apply(x.reshape(shape))
    }
}

impl LayerModule for GroupNormalization {
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
