//! Images to features.

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;

use super::{Features, Layer, LayerRules};
use crate::activation::Activation;
use crate::shape::Shape;
use crate::weights::WeightTensor;

/// `{ type = "flatten" }`: an image's values in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlattenConfig {}

impl LayerRules for FlattenConfig {
    fn type_name(&self) -> &'static str {
        "flatten"
    }

    fn output_shape(&self, input: Shape, _classes: usize) -> Result<Shape, String> {
        Ok(Shape::Features(input.len()))
    }

    fn module(&self, _: &[WeightTensor], _: Activation, _: &Device) -> Layer {
        Layer::Flatten(Flatten {})
    }
}

#[derive(Module, Debug)]
pub(crate) struct Flatten {}

impl Flatten {
    pub(crate) fn forward(&self, x: Features) -> Features {
        Features::Flat(x.flat())
    }
}
