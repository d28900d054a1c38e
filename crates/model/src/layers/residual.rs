//! A residual connection.

use burn::module::Module;
use burn::tensor::TensorData;
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{
    BranchConfig, Context, Features, Layer, LayerModule, LayerRules, LayerType, Mode, ModuleParts,
    Padding, Pair,
};
use crate::activation::Activation;
use crate::config::{LayerConfig, LayerKind};
use crate::shape::Shape;

/// `{ type = "residual", layers = [ … ] }`: activation(layers(x) + shortcut(x)) (He et al. 2016). Without `shortcut`, x
/// itself is added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResidualConfig {
    /// The layers of the main branch.
    pub layers: Vec<LayerConfig>,
    /// The layers of the other branch; none for the input itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<LayerConfig>,
    /// The activation function after the sum.
    pub activation: Activation,
}

impl ResidualConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            layers: table.required("layers")?,
            shortcut: table.default("shortcut", Vec::new())?,
            activation: table.default("activation", Activation::Linear)?,
        })
    }
}

impl ResidualConfig {
    /// Whether a convolution of the main branch cuts off the borders of the image.
    fn shrinks(&self) -> bool {
        self.layers.iter().any(|layer| {
            let window = match &layer.kind {
                LayerKind::Layer(LayerType::Conv2d(layer)) => layer.window(),
                LayerKind::Layer(LayerType::DepthwiseConv2d(layer)) => layer.window(),
                _ => return false,
            };
            window.padding == Padding::Valid && window.size != Pair::both(1)
        })
    }
}

impl LayerRules for ResidualConfig {
    fn branches(&self) -> Vec<BranchConfig<'_>> {
        vec![
            BranchConfig { key: "layers", layers: &self.layers },
            BranchConfig { key: "shortcut", layers: &self.shortcut },
        ]
    }

    fn output_shape(&self, input: Shape, context: &Context<'_>) -> Result<Shape, String> {
        let [layers, shortcut] = *context.branches else { return Ok(input) };
        if layers == shortcut {
            return Ok(layers);
        }
        let other = if self.shortcut.is_empty() {
            format!("its input, {input}")
        } else {
            format!("the output of its `shortcut`, {shortcut}")
        };
        Err(format!(
            "the output of its `layers`, {layers}, cannot be added to {other}; {}{}",
            if self.shrinks() { "set padding = \"same\" in its `layers`, or " } else { "" },
            remedy(input, layers)
        ))
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        // The sum overwrites the output of a branch, unless an activation needs both.
        if self.activation == Activation::Linear { 0 } else { output.len() }
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn module(&self, parts: ModuleParts<'_>) -> Layer {
        let mut branches = parts.branches.into_iter();
        Layer::Residual(Residual {
            layers: branches.next().unwrap_or_default(),
            shortcut: branches.next().unwrap_or_default(),
            activation: parts.layer.activation,
        })
    }
}

/// How to make the shortcut's output have the shape of the layers' output.
fn remedy(input: Shape, output: Shape) -> String {
    let general = "change the layers so that both have the same shape".to_owned();
    match (input, output) {
        (
            Shape::Image { height, width, .. },
            Shape::Image { channels, height: rows, width: columns },
        ) => {
            // Both sides must come from one stride each, with the padding of Keras.
            let stride = |side: usize, to: usize| {
                (1..=side).find(|stride| side.div_ceil(*stride) == to).filter(|_| to > 0)
            };
            match (stride(height, rows), stride(width, columns)) {
                (Some(down), Some(across)) => {
                    let strides = match (down, across) {
                        (1, 1) => String::new(),
                        (down, across) if down == across => format!(", strides = {down}"),
                        (down, across) => format!(", strides = [{down}, {across}]"),
                    };
                    format!(
                        "set shortcut = [{{ type = \"conv2d\", filters = {channels}, kernel_size = 1{strides}, padding = \
                         \"{}\" }}]",
                        Padding::Same
                    )
                }
                _ => general,
            }
        }
        (Shape::Features(_), Shape::Features(units)) => {
            format!("set shortcut = [{{ type = \"dense\", units = {units} }}]")
        }
        _ => general,
    }
}

#[derive(Module, Debug)]
pub(crate) struct Residual {
    layers: Vec<Layer>,
    shortcut: Vec<Layer>,
    #[module(skip)]
    activation: Activation,
}

impl LayerModule for Residual {
    fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features {
        let through = |layers: &[Layer], x: Features, mode: &mut Mode<'_, R>| {
            layers.iter().fold(x, |x, layer| layer.forward(x, mode))
        };
        let sum = (through(&self.layers, x.clone(), mode), through(&self.shortcut, x, mode));
        match sum {
            (Features::Image(x), Features::Image(shortcut)) => {
                Features::Image(self.activation.apply(x + shortcut))
            }
            (x, shortcut) => Features::Flat(self.activation.apply(x.flat() + shortcut.flat())),
        }
    }

    fn values(&self) -> Vec<TensorData> {
        self.layers.iter().chain(&self.shortcut).flat_map(Layer::values).collect()
    }
}
