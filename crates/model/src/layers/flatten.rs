//! Images to features.

use burn::module::Module;
use burn::tensor::Device;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Features, Layer, LayerModule, LayerRules, Mode};
use crate::activation::Activation;
use crate::shape::Shape;
use crate::weights::WeightTensor;

/// `{ type = "flatten" }`: an image's values in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlattenConfig {}

impl FlattenConfig {
    pub(crate) fn read(_: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}

impl LayerRules for FlattenConfig {
    fn output_shape(&self, input: Shape, _classes: usize) -> Result<Shape, String> {
        Ok(Shape::Features(input.len()))
    }

    // It only sees its input in another shape.
    fn kept_values(&self, _output: Shape) -> usize {
        0
    }

    fn module(&self, _: &[&WeightTensor], _: Activation, _: &Device) -> Layer {
        Layer::Flatten(Flatten {})
    }
}

#[derive(Module, Debug)]
pub(crate) struct Flatten {}

impl LayerModule for Flatten {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        Features::Flat(x.flat())
    }
}
