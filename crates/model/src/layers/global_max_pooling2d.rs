//! The maximum of each channel.

use burn::module::Module;
use burn::tensor::ops::MaxPoolOptions;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::max_pooling2d::MaxPooling2d;
use super::window::Window;
use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::shape::Shape;

/// `{ type = "global_max_pooling2d" }`: the maximum of each channel, from `[n, channels, height, width]` to `[n, channels]`.
/// It is `max_pooling2d` with a window of the size of the image, and `flatten`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GlobalMaxPooling2dConfig {}

impl GlobalMaxPooling2dConfig {
    pub(crate) fn read(_: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}

impl LayerRules for GlobalMaxPooling2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        let [channels, ..] = Window::image(input)?;
        Ok(Shape::Features(channels))
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        // The output, and the place of each maximum as a 64-bit integer.
        3 * output.len()
    }

    fn passes_values(&self, input: Shape) -> bool {
        input.len() == input.channels()
    }

    fn module(&self, ModuleParts { layer, device, .. }: ModuleParts<'_>) -> Layer {
        let size = match layer.input {
            Shape::Image { height, width, .. } => [height, width],
            Shape::Features(_) => [1, 1],
        };
        let pooling = MaxPooling2d::new(MaxPoolOptions::new(size), device);
        Layer::GlobalMaxPooling2d(GlobalMaxPooling2d { pooling })
    }
}

#[derive(Module, Debug)]
pub(crate) struct GlobalMaxPooling2d {
    pooling: MaxPooling2d,
}

impl LayerModule for GlobalMaxPooling2d {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        Features::Flat(self.pooling.pool(x.image()).flatten(1, 3))
    }
}
