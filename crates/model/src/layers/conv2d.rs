//! A convolution over rows and columns.

use std::num::NonZeroUsize;

use burn::module::{Module, Param};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::window::{Window, divisor, read_padding};
use super::{
    Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, Padding, Pair,
    ParameterRole, ParameterSpec,
};
use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::shape::Shape;

/// `{ type = "conv2d", filters = 32, kernel_size = 3 }`: activation(W ∗ x + b), where x is `[n, in, height, width]`, W is
/// `[filters, in / groups, kernel height, kernel width]` and ∗ is the cross-correlation, as in Keras and PyTorch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conv2dConfig {
    /// The number of output channels, above 0.
    pub filters: usize,
    /// The rows and columns of the kernel.
    pub kernel_size: Pair,
    /// How many rows and columns the kernel moves at a time.
    pub strides: Pair,
    /// The treatment of the borders.
    pub padding: Padding,
    /// The distance between the pixels under the kernel.
    pub dilation_rate: Pair,
    /// The number of groups of channels. Each group of output channels sees one group of input channels.
    pub groups: usize,
    /// The activation function.
    pub activation: Activation,
    /// Whether to add the bias b.
    pub use_bias: bool,
    /// The initializer of W.
    pub kernel_initializer: Initializer,
    /// The initializer of b.
    pub bias_initializer: Initializer,
}

impl Conv2dConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let positive = "a whole number above 0";
        let strides = table.default("strides", Pair::both(1))?;
        let dilation_rate = table.default("dilation_rate", Pair::both(1))?;
        Ok(Self {
            filters: table.required::<NonZeroUsize>("filters")?.get(),
            kernel_size: table.required("kernel_size")?,
            strides,
            padding: read_padding(table)?,
            dilation_rate,
            groups: table.checked("groups", 1, positive, |groups| *groups > 0)?,
            activation: table.default("activation", Activation::Linear)?,
            use_bias: table.default("use_bias", true)?,
            kernel_initializer: table.default("kernel_initializer", Initializer::GLOROT_UNIFORM)?,
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

impl LayerRules for Conv2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        let [channels, ..] = Window::image(input)?;
        let Self { groups, filters, .. } = self;
        if !channels.is_multiple_of(*groups) {
            return Err(format!(
                "its {groups} groups need a multiple of {groups} channels, but its input is {input}; set groups = {}",
                divisor(channels, *groups)
            ));
        }
        if !filters.is_multiple_of(*groups) {
            return Err(format!(
                "its {groups} groups need a multiple of {groups} filters, but it has {filters}; set filters = {}",
                filters.next_multiple_of(*groups)
            ));
        }
        self.window().output(input, self.filters)
    }

    fn parameters(&self, input: Shape, output: Shape) -> Vec<ParameterSpec> {
        let Pair { height, width } = self.kernel_size;
        let channels = input.channels() / self.groups;
        // Saturates, because the number of parameters is checked later.
        let pixels = height.saturating_mul(width);
        let weight = ParameterSpec {
            name: "weight".into(),
            shape: vec![output.channels(), channels, height, width],
            // Keras' fans ignore groups in the number of outputs.
            fan_in: channels.saturating_mul(pixels),
            fan_out: output.channels().saturating_mul(pixels),
            groups: self.groups,
            initializer: self.kernel_initializer,
            role: ParameterRole::Kernel,
            trainable: true,
        };
        let bias = ParameterSpec::bias(output.channels(), self.bias_initializer);
        if self.use_bias { vec![weight, bias] } else { vec![weight] }
    }

    fn flops(&self, input: Shape, output: Shape) -> u64 {
        let Pair { height, width } = self.kernel_size;
        2 * (output.len() * (input.channels() / self.groups) * height * width) as u64
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn module(&self, parts: ModuleParts<'_>) -> Layer {
        Layer::Conv2d(Conv2d::new(&parts, self.window(), self.groups))
    }
}

#[derive(Module, Debug)]
pub(crate) struct Conv2d {
    /// `[filters, in / groups, kernel height, kernel width]`
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: ConvOptions<2>,
    #[module(skip)]
    activation: Activation,
}

impl Conv2d {
    /// Makes the module from the weight, and the bias if there is one.
    pub(super) fn new(parts: &ModuleParts<'_>, window: Window, groups: usize) -> Self {
        let ModuleParts { layer, weights, device, .. } = parts;
        Self {
            weight: Param::from_data(weights[0].data(), device),
            bias: weights.get(1).map(|bias| Param::from_data(bias.data(), device)),
            options: ConvOptions::new_with_padding(
                window.strides.as_array(),
                window.zeros(layer.input),
                window.dilation.as_array(),
                groups,
            ),
            activation: layer.activation,
        }
    }
}

impl LayerModule for Conv2d {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        let bias = self.bias.as_ref().map(Param::val);
        let x = conv2d(x.image(), self.weight.val(), bias, self.options.clone());
        Features::Image(self.activation.apply(x))
    }

    fn values(&self) -> Vec<TensorData> {
        let bias = self.bias.as_ref().map(|bias| bias.val().into_data());
        std::iter::once(self.weight.val().into_data()).chain(bias).collect()
    }
}
