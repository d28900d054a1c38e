//! A separate activation function.

use burn::module::Module;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::activation::Activation;
use crate::shape::Shape;

/// `{ type = "activation", activation = "relu" }`: a separate activation function, for example after a
/// batch normalization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActivationConfig {
    /// The activation function.
    pub activation: Activation,
}

impl ActivationConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { activation: table.required("activation")? })
    }
}

impl LayerRules for ActivationConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        Ok(input)
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn passes_values(&self, _: Shape) -> bool {
        self.activation == Activation::Linear
    }

    fn module(&self, parts: ModuleParts<'_>) -> Layer {
        Layer::Activation(ActivationLayer { activation: parts.layer.activation })
    }
}

#[derive(Module, Debug)]
pub(crate) struct ActivationLayer {
    #[module(skip)]
    activation: Activation,
}

impl LayerModule for ActivationLayer {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        match x {
            Features::Image(x) => Features::Image(self.activation.apply(x)),
            Features::Flat(x) => Features::Flat(self.activation.apply(x)),
        }
    }
}
