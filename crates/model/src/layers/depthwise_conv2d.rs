//! A convolution of each channel by itself.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::conv2d::Conv2d;
use super::window::{Window, read_padding};
use super::{Context, Layer, LayerRules, ModuleParts, Padding, Pair, ParameterRole, ParameterSpec};
use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::shape::Shape;

/// `{ type = "depthwise_conv2d", kernel_size = 3 }`: a convolution that does not mix channels. Each channel has
/// `depth_multiplier` kernels of its own, and the outputs of a channel are adjacent. It is PyTorch's `Conv2d` with one group
/// for each channel: W is `[in × depth_multiplier, 1, kernel height, kernel width]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DepthwiseConv2dConfig {
    /// The rows and columns of the kernels.
    pub kernel_size: Pair,
    /// How many rows and columns the kernels move at a time.
    pub strides: Pair,
    /// The treatment of the borders.
    pub padding: Padding,
    /// The number of output channels for each input channel, above 0.
    pub depth_multiplier: usize,
    /// The distance between the pixels under a kernel.
    pub dilation_rate: Pair,
    /// The activation function.
    pub activation: Activation,
    /// Whether to add a bias to each output channel.
    pub use_bias: bool,
    /// The initializer of W.
    pub depthwise_initializer: Initializer,
    /// The initializer of the bias.
    pub bias_initializer: Initializer,
}

impl DepthwiseConv2dConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            kernel_size: table.required("kernel_size")?,
            strides: table.default("strides", Pair::both(1))?,
            padding: read_padding(table)?,
            depth_multiplier: table.checked(
                "depth_multiplier",
                1,
                "a whole number above 0",
                |number| *number > 0,
            )?,
            dilation_rate: table.default("dilation_rate", Pair::both(1))?,
            activation: table.default("activation", Activation::Linear)?,
            use_bias: table.default("use_bias", true)?,
            depthwise_initializer: table
                .default("depthwise_initializer", Initializer::GLOROT_UNIFORM)?,
            bias_initializer: table.default("bias_initializer", Initializer::ZEROS)?,
        })
    }

    /// The window of the kernel.
    #[must_use]
    pub fn window(&self) -> Window {
        Window {
            size: self.kernel_size,
            strides: self.strides,
            dilation: self.dilation_rate,
            padding: self.padding,
        }
    }
}

impl LayerRules for DepthwiseConv2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        let [channels, ..] = Window::image(input)?;
        // Saturates, because the size of the output is checked later.
        self.window().output(input, channels.saturating_mul(self.depth_multiplier))
    }

    fn parameters(&self, input: Shape, output: Shape) -> Vec<ParameterSpec> {
        let Pair { height, width } = self.kernel_size;
        // Saturates, because the number of parameters is checked later.
        let pixels = height.saturating_mul(width);
        let weight = ParameterSpec {
            name: "weight".into(),
            shape: vec![output.channels(), 1, height, width],
            // Keras' fans, although each output depends on one channel only. PyTorch's fan_in is `pixels`.
            fan_in: input.channels().saturating_mul(pixels),
            fan_out: self.depth_multiplier.saturating_mul(pixels),
            groups: input.channels(),
            initializer: self.depthwise_initializer,
            role: ParameterRole::Kernel,
            trainable: true,
        };
        let bias = ParameterSpec::bias(output.channels(), self.bias_initializer);
        if self.use_bias { vec![weight, bias] } else { vec![weight] }
    }

    fn flops(&self, _input: Shape, output: Shape) -> u64 {
        let Pair { height, width } = self.kernel_size;
        2 * (output.len() * height * width) as u64
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn module(&self, parts: ModuleParts<'_>) -> Layer {
        let groups = parts.layer.input.channels();
        Layer::DepthwiseConv2d(Conv2d::new(&parts, self.window(), groups))
    }
}
