use std::collections::HashSet;

use thiserror::Error;

use crate::activation::Activation;
use crate::config::{LayerConfig, ModelConfig};
use crate::layers::{LayerKind, LayerType, ParameterSpec};
use crate::shape::Shape;

/// More layers than any experiment has a use for; a slip in nested repeats makes as many quickly.
const MOST_LAYERS: usize = 1_000;

/// As many parameters as 4 GB hold, before gradients and the optimiser's state.
pub(crate) const MOST_PARAMETERS: usize = 1_000_000_000;

/// A list of layers that do not fit each other or the data.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{layer}: {message}")]
pub struct ModelError {
    /// The layer in words: `layer "hidden_2" (dense)`.
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
    /// Its name, no other layer's; with a number where it is repeated: `hidden_1`.
    pub name: String,
    /// Its place in the configuration, such as `model.layers.2`.
    pub path: String,
    /// What it was declared as.
    pub kind: LayerType,
    /// The shape of one sample before it.
    pub input: Shape,
    /// The shape of one sample behind it.
    pub output: Shape,
    /// Its parameters, in the order of the weights file.
    pub parameters: Vec<ParameterSpec>,
    /// The floating-point operations of one sample's forward pass.
    pub flops: u64,
    /// The values of one sample that training holds for the way back.
    pub kept_values: usize,
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
        let mut planner = Planner {
            classes,
            shape: input,
            layers: Vec::new(),
            names: HashSet::new(),
            written_names: HashSet::new(),
            parameters: 0,
        };
        for layer in &self.layers {
            layer.collect_names("", &mut planner.written_names);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            planner.entry(layer, "", &format!("model.layers.{index}"))?;
        }
        let mut layers = planner.layers;
        let softmax_in_loss = leave_softmax_to_loss(&mut layers, classes)?;
        Ok(Architecture { input, layers, softmax_in_loss })
    }
}

impl ModelError {
    fn of_layer(name: &str, kind: &LayerType, path: &str, message: String) -> Self {
        let layer = format!("layer \"{name}\" ({})", kind.word());
        Self { layer, path: path.to_owned(), message }
    }

    fn of_model(message: String) -> Self {
        Self { layer: "the model".to_owned(), path: "model.layers".to_owned(), message }
    }
}

impl PlannedLayer {
    fn error(&self, message: String) -> ModelError {
        ModelError::of_layer(&self.name, &self.kind, &self.path, message)
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
    names: HashSet<String>,
    /// The names that the user chose, which layers without one keep clear of.
    written_names: HashSet<String>,
    parameters: usize,
}

impl LayerConfig {
    /// The name of a repetition, counted from 1, where the entry has one.
    fn full_name(&self, prefix: &str, repetition: usize) -> Option<String> {
        let number = if self.repeat > 1 { format!("_{repetition}") } else { String::new() };
        self.name.as_ref().map(|name| format!("{prefix}{name}{number}"))
    }

    fn collect_names(&self, prefix: &str, names: &mut HashSet<String>) {
        for repetition in 1..=self.repeat {
            let before = names.len();
            let name = self.full_name(prefix, repetition);
            match &self.kind {
                LayerKind::Layer(_) => names.extend(name),
                LayerKind::Block(block) => {
                    let prefix = name.map_or_else(|| prefix.to_owned(), |name| format!("{name}."));
                    block.layers.iter().for_each(|layer| layer.collect_names(&prefix, names));
                }
            }
            // No repetition adds what the one before did not; and no model has so many layers.
            if names.len() == before || names.len() > MOST_LAYERS {
                break;
            }
        }
    }
}

impl Planner {
    fn entry(&mut self, entry: &LayerConfig, prefix: &str, path: &str) -> Result<(), ModelError> {
        for repetition in 1..=entry.repeat {
            let before = self.layers.len();
            let name = entry.full_name(prefix, repetition);
            match &entry.kind {
                LayerKind::Layer(layer) => {
                    let name = match name {
                        Some(name) => unused(name, |name| self.names.contains(name)),
                        None => unused(format!("{prefix}{}", layer.word()), |name| {
                            self.names.contains(name) || self.written_names.contains(name)
                        }),
                    };
                    self.layer(layer, name, path)?;
                }
                LayerKind::Block(block) => {
                    let prefix = name.map_or_else(|| prefix.to_owned(), |name| format!("{name}."));
                    for (index, inner) in block.layers.iter().enumerate() {
                        self.entry(inner, &prefix, &format!("{path}.layers.{index}"))?;
                    }
                }
            }
            if self.layers.len() == before {
                // An empty block stays empty, however many times it stands in a row.
                break;
            }
        }
        Ok(())
    }

    fn layer(&mut self, kind: &LayerType, name: String, path: &str) -> Result<(), ModelError> {
        let rules = kind.rules();
        let error = |message| ModelError::of_layer(&name, kind, path, message);
        if self.layers.len() == MOST_LAYERS {
            return Err(error(format!(
                "the model has more than {MOST_LAYERS} layers; lower a `repeat`"
            )));
        }
        let input = self.shape;
        let output = rules.output_shape(input, self.classes).map_err(error)?;
        let parameters = rules.parameters(input, output);
        // Nothing else may be computed from the shapes before this has kept them from overflowing.
        let Some(count) = count_parameters(self.parameters, &parameters) else {
            return Err(error(format!(
                "with it the model has more than {MOST_PARAMETERS} parameters; make it smaller"
            )));
        };
        self.parameters = count;
        self.shape = output;
        self.names.insert(name.clone());
        self.layers.push(PlannedLayer {
            flops: rules.flops(input, output),
            kept_values: rules.kept_values(output),
            activation: rules.activation(),
            kind: kind.clone(),
            path: path.to_owned(),
            name,
            input,
            output,
            parameters,
        });
        Ok(())
    }
}

/// The name, or as Keras numbers them the first of `dense_1`, `dense_2` and so on that is free.
fn unused(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (1..).map(|number| format!("{name}_{number}"));
    let mut candidates = std::iter::once(name.clone()).chain(numbered);
    candidates.find(|name| !is_taken(name)).unwrap_or(name)
}

/// The number of values in these parameters and `before`; none if they are too many.
fn count_parameters(before: usize, parameters: &[ParameterSpec]) -> Option<usize> {
    parameters.iter().try_fold(before, |sum, parameter| {
        let values = parameter.shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side))?;
        sum.checked_add(values).filter(|sum| *sum <= MOST_PARAMETERS)
    })
}

/// Checks that the layers end with one score a class, takes a softmax off their end, since the loss
/// applies one, and says whether there was one.
fn leave_softmax_to_loss(layers: &mut [PlannedLayer], classes: usize) -> Result<bool, ModelError> {
    const ENDING: &str = "{ type = \"dense\", units = \"classes\", activation = \"softmax\" }";

    let Some((last, earlier)) = layers.split_last_mut() else {
        return Err(ModelError::of_model(format!("it has no layer; a last {ENDING} is the least")));
    };
    if last.output != Shape::Features(classes) {
        return Err(last.error(format!(
            "the last layer gives {}, but there are {classes} classes; end with {ENDING}",
            last.output
        )));
    }
    // What the loss sees are the values of the last layer that does more than hand them on.
    let hands_on = |layer: &PlannedLayer| {
        layer.parameters.is_empty() && layer.activation == Activation::Linear
    };
    if hands_on(last)
        && let Some(scores) = earlier.iter().rfind(|layer| !hands_on(layer))
        && scores.activation != Activation::Linear
    {
        return Err(scores.error(format!(
            "no layer after it changes the scores, so the model ends with its {}; the loss needs a \
             softmax in the last layer, or no activation",
            scores.activation
        )));
    }
    if !earlier.iter().chain([&*last]).any(|layer| !layer.parameters.is_empty()) {
        return Err(ModelError::of_model(format!(
            "no layer has weights to train; end with {ENDING}"
        )));
    }
    match last.activation {
        Activation::Linear => Ok(false),
        Activation::Softmax => {
            last.activation = Activation::Linear;
            Ok(true)
        }
        other => Err(last.error(format!(
            "the last layer ends with {other}, but the loss needs a softmax or no activation"
        ))),
    }
}
