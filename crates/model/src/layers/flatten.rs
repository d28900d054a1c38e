//! Converts images to features.

use burn::module::Module;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::shape::Shape;

/// `{ type = "flatten" }`: from `[n, channels, height, width]` to `[n, channels × height × width]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlattenConfig {}

impl FlattenConfig {
    pub(crate) fn read(_: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}

impl LayerRules for FlattenConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        Ok(Shape::Features(input.len()))
    }

    fn saved_activations(&self, _: Shape, _: Shape) -> usize {
        // The output shares the memory of the input.
        0
    }

    fn passes_values(&self, _: Shape) -> bool {
        true
    }

    fn module(&self, _: ModuleParts<'_>) -> Layer {
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
