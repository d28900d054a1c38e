//! The mean of each window.

use burn::module::Module;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, PoolingWindow};
use crate::shape::Shape;

/// `{ type = "average_pooling2d", pool_size = 2 }`: the mean of each window, separately for each channel. Padding does not
/// count, as in Keras; PyTorch counts it unless `count_include_pad` is false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AveragePooling2dConfig {
    /// The window.
    #[serde(flatten)]
    pub window: PoolingWindow,
}

impl AveragePooling2dConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { window: PoolingWindow::read(table)? })
    }
}

impl LayerRules for AveragePooling2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        self.window.output(input)
    }

    fn passes_values(&self, _: Shape) -> bool {
        self.window.is_identity()
    }

    fn module(&self, ModuleParts { layer, .. }: ModuleParts<'_>) -> Layer {
        Layer::AveragePooling2d(AveragePooling2d {
            options: AvgPoolOptions::new(self.window.pool_size.as_array())
                .with_stride(self.window.strides.as_array())
                .with_padding_pairs(self.window.zeros(layer.input))
                .with_count_include_pad(false),
        })
    }
}

#[derive(Module, Debug)]
pub(crate) struct AveragePooling2d {
    #[module(skip)]
    options: AvgPoolOptions<2>,
}

impl LayerModule for AveragePooling2d {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        Features::Image(avg_pool2d(x.image(), self.options.clone()))
    }
}
