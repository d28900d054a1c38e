//! A fully connected layer.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::TensorData;
use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use rand_core::Rng;
use serde::{Serialize, Serializer};

use super::{
    Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, ParameterRole,
    ParameterSpec,
};
use crate::activation::Activation;
use crate::initializer::Initializer;
use crate::shape::Shape;

/// `{ type = "dense", units = 300, activation = "relu" }`: activation(x·W + b), where x is `[n, in]` and
/// W is `[in, units]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DenseConfig {
    /// The number of output features.
    pub units: Units,
    /// The activation function.
    pub activation: Activation,
    /// Whether to add the bias b.
    pub use_bias: bool,
    /// The initializer of W.
    pub kernel_initializer: Initializer,
    /// The initializer of b.
    pub bias_initializer: Initializer,
}

/// The number of output features: a number or `"classes"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// A fixed number, above 0.
    Count(usize),
    /// The number of classes of the dataset.
    Classes,
}

impl DenseConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            units: table.required("units")?,
            activation: table.default("activation", Activation::Linear)?,
            use_bias: table.default("use_bias", true)?,
            kernel_initializer: table.default("kernel_initializer", Initializer::GLOROT_UNIFORM)?,
            bias_initializer: table.default("bias_initializer", Initializer::ZEROS)?,
        })
    }
}

impl LayerRules for DenseConfig {
    fn output_shape(&self, input: Shape, context: &Context<'_>) -> Result<Shape, String> {
        match (input, self.units) {
            (Shape::Image { .. }, _) => Err(format!(
                "it needs flat features, but its input is {input}; \
                 insert {{ type = \"flatten\" }} before it"
            )),
            (Shape::Features(_), Units::Count(units)) => Ok(Shape::Features(units)),
            (Shape::Features(_), Units::Classes) => Ok(Shape::Features(context.classes)),
        }
    }

    fn parameters(&self, input: Shape, output: Shape) -> Vec<ParameterSpec> {
        let (fan_in, fan_out) = (input.len(), output.len());
        let weight = ParameterSpec {
            name: "weight".into(),
            shape: vec![fan_in, fan_out],
            fan_in,
            fan_out,
            groups: 1,
            initializer: self.kernel_initializer,
            role: ParameterRole::Kernel,
            trainable: true,
        };
        let bias = ParameterSpec::bias(fan_out, self.bias_initializer);
        if self.use_bias { vec![weight, bias] } else { vec![weight] }
    }

    fn flops(&self, input: Shape, output: Shape) -> u64 {
        2 * input.len() as u64 * output.len() as u64
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn module(&self, ModuleParts { layer, weights, device, .. }: ModuleParts<'_>) -> Layer {
        let bias = self.use_bias.then(|| Param::from_data(weights[1].data(), device));
        let linear = Linear { weight: Param::from_data(weights[0].data(), device), bias };
        Layer::Dense(Dense { linear, activation: layer.activation })
    }
}

#[derive(Module, Debug)]
pub(crate) struct Dense {
    linear: Linear,
    #[module(skip)]
    activation: Activation,
}

impl LayerModule for Dense {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        let x = self.linear.forward(x.flat()); // [n, units]
        Features::Flat(self.activation.apply(x))
    }

    fn values(&self) -> Vec<TensorData> {
        let bias = self.linear.bias.as_ref().map(|bias| bias.val().into_data());
        std::iter::once(self.linear.weight.val().into_data()).chain(bias).collect()
    }
}

impl FromValue for Units {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let expected = "a whole number above 0, or \"classes\"";
        match &value.kind {
            Kind::String(text) if text == "classes" => Ok(Self::Classes),
            Kind::Integer(units) => match usize::try_from(*units) {
                Ok(units) if units > 0 => Ok(Self::Count(units)),
                _ => Err(value.expected(expected)),
            },
            _ => Err(value.expected(expected)),
        }
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(units) => units.serialize(serializer),
            Self::Classes => "classes".serialize(serializer),
        }
    }
}
