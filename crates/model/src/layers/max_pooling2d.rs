//! The maximum of each window.

use burn::module::Module;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, PoolingWindow};
use crate::shape::Shape;

/// `{ type = "max_pooling2d", pool_size = 2 }`: the maximum of each window, separately for each channel. The gradient goes
/// to the first maximum of a window, row by row, as in PyTorch and TensorFlow. A window with a NaN yields NaN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaxPooling2dConfig {
    /// The window.
    #[serde(flatten)]
    pub window: PoolingWindow,
}

impl MaxPooling2dConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { window: PoolingWindow::read(table)? })
    }
}

impl LayerRules for MaxPooling2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        self.window.output(input)
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        // The output, and the place of each maximum as a 64-bit integer.
        3 * output.len()
    }

    fn passes_values(&self, _: Shape) -> bool {
        self.window.is_identity()
    }

    fn module(&self, ModuleParts { layer, device, .. }: ModuleParts<'_>) -> Layer {
        let options = MaxPoolOptions::new(self.window.pool_size.as_array())
            .with_stride(self.window.strides.as_array())
            .with_padding_pairs(self.window.zeros(layer.input));
        Layer::MaxPooling2d(MaxPooling2d::new(options, device))
    }
}

#[derive(Module, Debug)]
pub(crate) struct MaxPooling2d {
    #[module(skip)]
    options: MaxPoolOptions<2>,
    /// Whether the backend ignores NaN. Its maximum would hide that training has diverged.
    #[module(skip)]
    ignores_nan: bool,
}

impl MaxPooling2d {
    pub(super) fn new(options: MaxPoolOptions<2>, device: &Device) -> Self {
        // Asks the backend, because some of Burn's ignore NaN.
        let x =
            Tensor::<4>::from_data([[[[f32::NAN, 0.0], [0.0, f32::NAN]]]], &device.clone().inner());
        let maxima = max_pool2d(x, MaxPoolOptions::new([1, 2])).into_data();
        Self { options, ignores_nan: maxima.iter::<f32>().any(|value| !value.is_nan()) }
    }

    /// From `[n, channels, height, width]` to the maxima of the windows.
    pub(super) fn pool(&self, x: Tensor<4>) -> Tensor<4> {
        if !self.ignores_nan {
            return max_pool2d(x, self.options.clone());
        }
        let has_nan = max_pool2d(x.clone().detach().is_nan().float(), self.options.clone());
        max_pool2d(x, self.options.clone()).mask_fill(has_nan.greater_elem(0.5), f32::NAN)
    }
}

impl LayerModule for MaxPooling2d {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        Features::Image(self.pool(x.image()))
    }
}
