//! The mean of each channel.

use burn::module::Module;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::window::Window;
use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::shape::Shape;

/// `{ type = "global_average_pooling2d" }`: the mean of each channel, from `[n, channels, height, width]` to
/// `[n, channels]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GlobalAveragePooling2dConfig {}

impl GlobalAveragePooling2dConfig {
    pub(crate) fn read(_: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}

impl LayerRules for GlobalAveragePooling2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        let [channels, ..] = Window::image(input)?;
        Ok(Shape::Features(channels))
    }

    fn passes_values(&self, input: Shape) -> bool {
        input.len() == input.channels()
    }

    fn module(&self, _: ModuleParts<'_>) -> Layer {
        Layer::GlobalAveragePooling2d(GlobalAveragePooling2d {})
    }
}

#[derive(Module, Debug)]
pub(crate) struct GlobalAveragePooling2d {}

impl LayerModule for GlobalAveragePooling2d {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        let x = x.image();
        let [count, channels, height, width] = x.dims();
        let x = x.reshape([count, channels, height * width]).mean_dim(2); // [n, channels, 1]
        Features::Flat(x.reshape([count, channels]))
    }
}
