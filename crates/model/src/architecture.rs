use thiserror::Error;

use crate::activation::Activation;
use crate::config::{LayerConfig, ModelConfig};
use crate::layers::{LayerKind, ParameterSpec};
use crate::shape::Shape;

/// More layers than any experiment has a use for; a slip in nested repeats makes as many quickly.
const MOST_LAYERS: usize = 1_000;

/// As many parameters as 4 GB hold, before gradients and the optimiser's state.
const MOST_PARAMETERS: usize = 1_000_000_000;

/// A list of layers that do not fit each other or the data.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{layer}: {message}")]
pub struct ModelError {
    /// The layer in words: `layer 2, dense "hidden"`.
    pub layer: String,
    /// Its place in the configuration, such as `model.layers.2`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// The list of layers expanded, with every shape checked: what a [`Network`](crate::Network) is
/// built from.
#[derive(Debug, Clone)]
pub struct Architecture {
    input: Shape,
    layers: Vec<PlannedLayer>,
    softmax_in_loss: bool,
}

/// One layer of an [`Architecture`].
#[derive(Debug, Clone)]
pub struct PlannedLayer {
    /// Its name, with a number where it is repeated: `hidden_1`.
    pub name: String,
    /// What it was declared as; never a block.
    pub kind: LayerKind,
    /// The word for it, as in TOML.
    pub type_name: &'static str,
    /// The shape of one sample before it.
    pub input: Shape,
    /// The shape of one sample behind it.
    pub output: Shape,
    /// Its parameters, in the order of the weights file.
    pub parameters: Vec<ParameterSpec>,
    /// The floating-point operations of one sample's forward pass.
    pub flops: u64,
    /// The activation that its module applies: a final softmax is the loss's affair.
    pub activation: Activation,
}

impl ModelConfig {
    /// Expands the repetitions and checks every shape from `input` to one score a class.
    ///
    /// # Errors
    ///
    /// A layer cannot take what the one before it gives, the last does not give one score a class,
    /// there is no layer, or there are too many layers or parameters.
    pub fn architecture(&self, input: Shape, classes: usize) -> Result<Architecture, ModelError> {
        let mut planner = Planner { classes, shape: input, layers: Vec::new() };
        for (index, layer) in self.layers.iter().enumerate() {
            planner.entry(layer, "", &format!("model.layers.{index}"))?;
        }
        planner.finish(input)
    }
}

impl Architecture {
    /// The shape of one image.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The layers, in order.
    #[must_use]
    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// Whether the list ends with a softmax, which the loss then applies.
    #[must_use]
    pub const fn softmax_in_loss(&self) -> bool {
        self.softmax_in_loss
    }

    /// The number of values in all parameters, running statistics among them.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.parameters).map(ParameterSpec::len).sum()
    }

    /// The number of values that the optimiser changes.
    #[must_use]
    pub fn trainable_parameters(&self) -> usize {
        let parameters = self.layers.iter().flat_map(|layer| &layer.parameters);
        parameters.filter(|parameter| parameter.trainable).map(ParameterSpec::len).sum()
    }

    /// Every parameter with its name in the weights file: `layers.<n>.weight`, n counted from 0
    /// over the layers that hold weights.
    pub fn named_parameters(&self) -> impl Iterator<Item = (String, &ParameterSpec)> {
        let holders = self.layers.iter().filter(|layer| !layer.parameters.is_empty());
        holders.enumerate().flat_map(|(index, layer)| {
            layer
                .parameters
                .iter()
                .map(move |parameter| (format!("layers.{index}.{}", parameter.name), parameter))
        })
    }
}

/// Walks the list and keeps the shape at the point where it stands.
struct Planner {
    classes: usize,
    shape: Shape,
    layers: Vec<PlannedLayer>,
}

impl Planner {
    fn entry(&mut self, layer: &LayerConfig, prefix: &str, path: &str) -> Result<(), ModelError> {
        for repetition in 1..=layer.repeat {
            let number = if layer.repeat > 1 { format!("_{repetition}") } else { String::new() };
            match layer.kind.rules() {
                Ok(rules) => {
                    let name = match &layer.name {
                        Some(name) => format!("{prefix}{name}{number}"),
                        None => self.unused_name(&format!("{prefix}{}", rules.type_name())),
                    };
                    self.layer(layer, name, path)?;
                }
                Err(block) => {
                    let prefix = match &layer.name {
                        Some(name) => format!("{prefix}{name}{number}."),
                        None => prefix.to_owned(),
                    };
                    for (index, inner) in block.layers.iter().enumerate() {
                        self.entry(inner, &prefix, &format!("{path}.layers.{index}"))?;
                    }
                    if block.layers.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// As Keras numbers them: `dense`, `dense_1`, `dense_2`.
    fn unused_name(&self, name: &str) -> String {
        let taken = |name: &str| self.layers.iter().any(|layer| layer.name == name);
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_else(|| name.to_owned())
    }

    fn layer(&mut self, layer: &LayerConfig, name: String, path: &str) -> Result<(), ModelError> {
        let Ok(rules) = layer.kind.rules() else { return Ok(()) };
        let error = |message: String| ModelError {
            layer: format!("layer \"{name}\" ({})", rules.type_name()),
            path: path.to_owned(),
            message,
        };
        if self.layers.len() == MOST_LAYERS {
            return Err(error(format!(
                "the model has more than {MOST_LAYERS} layers; lower a `repeat`"
            )));
        }
        let input = self.shape;
        let output = rules.output_shape(input, self.classes).map_err(error)?;
        let parameters = rules.parameters(input, output);
        let before: usize =
            self.layers.iter().flat_map(|layer| &layer.parameters).map(ParameterSpec::len).sum();
        let count = parameters
            .iter()
            .try_fold(before, |sum, parameter| {
                parameter
                    .shape
                    .iter()
                    .try_fold(1_usize, |product, side| product.checked_mul(*side))
                    .and_then(|product| product.checked_add(sum))
            })
            .filter(|count| *count <= MOST_PARAMETERS);
        if count.is_none() {
            return Err(error(format!(
                "with it the model has more than {MOST_PARAMETERS} parameters; lower `units`"
            )));
        }
        self.layers.push(PlannedLayer {
            type_name: rules.type_name(),
            flops: rules.flops(input, output),
            activation: rules.activation(),
            kind: layer.kind.clone(),
            name,
            input,
            output,
            parameters,
        });
        self.shape = output;
        Ok(())
    }

    fn finish(mut self, input: Shape) -> Result<Architecture, ModelError> {
        let classes = self.classes;
        let Some(last) = self.layers.last_mut() else {
            return Err(ModelError {
                layer: "the model".to_owned(),
                path: "model.layers".to_owned(),
                message: "it has no layer; a last { type = \"dense\", units = \"classes\", \
                          activation = \"softmax\" } is the least"
                    .to_owned(),
            });
        };
        let problem = if last.output != Shape::Features(classes) {
            Some(format!(
                "the last layer gives {}, but there are {classes} classes; end with \
                 {{ type = \"dense\", units = \"classes\", activation = \"softmax\" }}",
                last.output
            ))
        } else if !matches!(last.activation, Activation::Softmax | Activation::Linear) {
            Some(format!(
                "the last layer ends with {}, but the loss needs a softmax or no activation",
                last.activation
            ))
        } else {
            None
        };
        if let Some(message) = problem {
            let layer = format!("layer \"{}\" ({})", last.name, last.type_name);
            return Err(ModelError { layer, path: "model.layers".to_owned(), message });
        }
        let softmax_in_loss = last.activation == Activation::Softmax;
        last.activation = Activation::Linear;
        Ok(Architecture { input, layers: self.layers, softmax_in_loss })
    }
}
