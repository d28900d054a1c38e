//! Dropout of channels.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::dropout::{draw_mask, read_rate};
use super::window::Window;
use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::shape::Shape;

/// `{ type = "spatial_dropout2d", rate = 0.2 }`: in training, sets each channel of each image to 0 with probability `rate`
/// and divides the others by 1 − `rate` (Tompson et al. 2015); PyTorch's `Dropout2d`. Off in inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpatialDropout2dConfig {
    /// The probability of dropping a channel: 0 ≤ rate < 1.
    pub rate: f64,
}

impl SpatialDropout2dConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { rate: read_rate(table)? })
    }
}

impl LayerRules for SpatialDropout2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        match input {
            Shape::Image { .. } => Ok(input),
            Shape::Features(_) => {
                let problem = Window::image(input).err().unwrap_or_default();
                Err(format!("{problem}, or use {{ type = \"dropout\", rate = {} }}", self.rate))
            }
        }
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        // The output and the mask.
        output.len() + output.channels()
    }

    fn passes_values(&self, _: Shape) -> bool {
        true
    }

    fn module(&self, _: ModuleParts<'_>) -> Layer {
        Layer::SpatialDropout2d(SpatialDropout2d { rate: self.rate })
    }
}

#[derive(Module, Debug)]
pub(crate) struct SpatialDropout2d {
    rate: f64,
}

impl LayerModule for SpatialDropout2d {
    fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features {
        match mode {
            // A rate of 0 does not advance the generator.
            Mode::Training(rng) if self.rate > 0.0 => {
                let x = x.image();
                let [count, channels, ..] = x.dims();
                // Image by image, channel by channel.
                let mut mask = vec![0.0; count * channels];
                draw_mask(self.rate, &mut mask, *rng);
                let mask = TensorData::new(mask, [count, channels, 1, 1]);
                let mask = Tensor::from_data(mask, &x.device());
                Features::Image(x * mask)
            }
            _ => x,
        }
    }
}
