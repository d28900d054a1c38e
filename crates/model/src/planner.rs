//! Plans an [`Architecture`]: expands repetitions, names the layers, and checks every shape.

use std::collections::HashSet;

use crate::activation::Activation;
use crate::architecture::{Architecture, ModelError, PlannedBranch, PlannedLayer};
use crate::config::{LayerConfig, LayerKind, LayerTraining, ModelConfig};
use crate::layers::{BranchConfig, Context, LayerType, ParameterSpec};
use crate::shape::Shape;

/// Limit for the layers of a model. A typo in nested repetitions exceeds it quickly.
const MAX_LAYERS: usize = 1_000;

/// Limit for the parameters of a model: 4 GB of weights, without gradients and optimizer state.
pub(crate) const MAX_PARAMETERS: usize = 1_000_000_000;

/// Limit for the values of one image between two layers: 4 GB.
const MAX_VALUES: usize = 1_000_000_000;

impl ModelConfig {
    /// Expands the repetitions and checks every shape, from `input` (one image) to `classes` scores.
    ///
    /// # Errors
    ///
    /// A layer does not accept its input, the last layer does not return one score per class, the
    /// list is empty, or the model has too many layers or parameters.
    pub fn architecture(&self, input: Shape, classes: usize) -> Result<Architecture, ModelError> {
        let mut planner = Planner {
            classes,
            layers: 0,
            names: HashSet::new(),
            reserved_names: HashSet::new(),
            parameters: 0,
        };
        for layer in &self.layers {
            layer.collect_names("", &mut planner.reserved_names);
        }
        let mut layers = Vec::new();
        let training = LayerTraining::default();
        planner.add_entries(&self.layers, input, training, "", "model.layers", &mut layers)?;
        let softmax_in_loss = move_softmax_to_loss(&mut layers, classes)?;
        Ok(Architecture { input, layers, softmax_in_loss })
    }
}

impl LayerConfig {
    /// The name of a repetition, from 1, if the entry has a name.
    fn full_name(&self, prefix: &str, repetition: usize) -> Option<String> {
        let number = if self.repeat > 1 { format!("_{repetition}") } else { String::new() };
        self.name.as_ref().map(|name| format!("{prefix}{name}{number}"))
    }

    /// Collects the names of all layers that have one.
    fn collect_names(&self, prefix: &str, names: &mut HashSet<String>) {
        for repetition in 1..=self.repeat {
            let before = names.len();
            let name = self.full_name(prefix, repetition);
            match &self.kind {
                LayerKind::Layer(layer) => {
                    let inner = name.clone();
                    names.extend(name);
                    for BranchConfig { key, layers } in layer.rules().branches() {
                        let prefix = branch_prefix(inner.as_deref().unwrap_or(prefix), key);
                        layers.iter().for_each(|layer| layer.collect_names(&prefix, names));
                    }
                }
                LayerKind::Block(block) => {
                    let prefix = name.map_or_else(|| prefix.to_owned(), |name| format!("{name}."));
                    block.layers.iter().for_each(|layer| layer.collect_names(&prefix, names));
                }
            }
            // Stop if a repetition added no name, because the next ones will not either, or if there
            // are more names than valid models can have. `repeat` may be as large as 2^63.
            if names.len() == before || names.len() > MAX_LAYERS {
                break;
            }
        }
    }
}

/// The prefix of the names of layers in a branch: that of the layer, and the key of any branch except the main one.
fn branch_prefix(owner: &str, key: &str) -> String {
    match (owner, key) {
        ("", "layers") => String::new(),
        ("", key) => format!("{key}."),
        (owner, "layers") => format!("{owner}."),
        (owner, key) => format!("{owner}.{key}."),
    }
}

/// Adds layer after layer.
struct Planner {
    classes: usize,
    /// The number of layers so far, including those in branches.
    layers: usize,
    names: HashSet<String>,
    /// The names in the configuration, which generated names must avoid.
    reserved_names: HashSet<String>,
    /// The number of parameters so far.
    parameters: usize,
}

impl Planner {
    /// Adds all entries of a list to `layers`, from an input of this shape. Returns the shape of the output. `outer` are the
    /// settings of the entry that has the list, and `path` is the place of the list in the configuration.
    fn add_entries(
        &mut self,
        entries: &[LayerConfig],
        mut shape: Shape,
        outer: LayerTraining,
        prefix: &str,
        path: &str,
        layers: &mut Vec<PlannedLayer>,
    ) -> Result<Shape, ModelError> {
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("{path}.{index}");
            let training = entry.training.within(outer);
            for repetition in 1..=entry.repeat {
                let before = self.layers;
                let name = entry.full_name(prefix, repetition);
                shape = match &entry.kind {
                    LayerKind::Layer(layer) => {
                        let name = self.unused_name(layer, name, prefix);
                        self.add_layer(layer, shape, training, name, &path, layers)?
                    }
                    LayerKind::Block(block) => {
                        let prefix =
                            name.map_or_else(|| prefix.to_owned(), |name| format!("{name}."));
                        let path = format!("{path}.layers");
                        self.add_entries(&block.layers, shape, training, &prefix, &path, layers)?
                    }
                };
                if self.layers == before {
                    // All repetitions of an empty block are empty. `repeat` may be as large as 2^63.
                    break;
                }
            }
        }
        Ok(shape)
    }

    fn unused_name(&self, layer: &LayerType, name: Option<String>, prefix: &str) -> String {
        match name {
            Some(name) => unused(name, |name| self.names.contains(name)),
            None => unused(format!("{prefix}{}", layer.keyword()), |name| {
                self.names.contains(name) || self.reserved_names.contains(name)
            }),
        }
    }

    /// Adds a layer and its branches. Returns the shape of its output.
    fn add_layer(
        &mut self,
        kind: &LayerType,
        input: Shape,
        training: LayerTraining,
        name: String,
        path: &str,
        layers: &mut Vec<PlannedLayer>,
    ) -> Result<Shape, ModelError> {
        let rules = kind.rules();
        let error = |message| ModelError::of_layer(&name, kind, path, message);
        if self.layers == MAX_LAYERS {
            return Err(error(format!(
                "the model has more than {MAX_LAYERS} layers; lower a `repeat`"
            )));
        }
        self.layers += 1;
        self.names.insert(name.clone());
        let (mut branches, mut branch_shapes) = (Vec::new(), Vec::new());
        for BranchConfig { key, layers } in rules.branches() {
            let (prefix, path) = (branch_prefix(&name, key), format!("{path}.{key}"));
            let mut planned = Vec::new();
            let shape = self.add_entries(layers, input, training, &prefix, &path, &mut planned)?;
            branch_shapes.push(shape);
            branches.push(PlannedBranch { key, layers: planned });
        }
        let context = Context { classes: self.classes, branches: &branch_shapes };
        let output = rules.output_shape(input, &context).map_err(error)?;
        training.check().map_err(error)?;
        let mut parameters = rules.parameters(input, output);
        parameters.iter_mut().for_each(|parameter| parameter.trainable &= training.trainable);
        // These checks must come before any other computation with the shapes, which could overflow.
        let Some(count) = count_parameters(self.parameters, &parameters) else {
            return Err(error(format!(
                "with this layer, the model has more than {MAX_PARAMETERS} parameters; make it smaller"
            )));
        };
        for parameter in &parameters {
            parameter.initializer.check(parameter).map_err(error)?;
        }
        if output.checked_len().is_none_or(|values| values > MAX_VALUES) {
            return Err(error(format!(
                "its input is {input}, and its output would be {output}: more than {MAX_VALUES} values for one image; make \
                 it smaller"
            )));
        }
        self.parameters = count;
        layers.push(PlannedLayer {
            flops: rules.flops(input, output),
            saved_activations: rules.saved_activations(input, output),
            activation: rules.activation(),
            kind: kind.clone(),
            path: path.to_owned(),
            name,
            input,
            output,
            parameters,
            branches,
            training,
        });
        Ok(output)
    }
}

/// The name if it is not taken, or else the first free one of `dense_1`, `dense_2`, …, as in Keras.
fn unused(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (1..).map(|number| format!("{name}_{number}"));
    let mut candidates = std::iter::once(name.clone()).chain(numbered);
    candidates.find(|name| !is_taken(name)).unwrap_or(name)
}

/// Adds the number of values in these parameters to `total`. `None` if the sum exceeds the limit.
fn count_parameters(total: usize, parameters: &[ParameterSpec]) -> Option<usize> {
    parameters.iter().try_fold(total, |sum, parameter| {
        let values = parameter.shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side))?;
        sum.checked_add(values).filter(|sum| *sum <= MAX_PARAMETERS)
    })
}

/// Checks that the layers end with one score per class, and replaces a final softmax by `linear`,
/// because the loss applies it. Returns whether there was one.
fn move_softmax_to_loss(layers: &mut [PlannedLayer], classes: usize) -> Result<bool, ModelError> {
    const FINAL_LAYER: &str = "{ type = \"dense\", units = \"classes\", activation = \"softmax\" }";

    let Some((last, earlier)) = layers.split_last_mut() else {
        let message = format!("the list of layers is empty; it needs at least {FINAL_LAYER}");
        return Err(ModelError::of_model(message));
    };
    if last.output != Shape::Features(classes) {
        return Err(last.error(format!(
            "the output of the last layer is {}, but there are {classes} classes; \
             end with {FINAL_LAYER}",
            last.output
        )));
    }
    // If the last layers pass their values through, the scores come from an earlier layer. An
    // activation there would be applied in addition to the softmax of the loss.
    if last.passes_values()
        && let Some(scores) = earlier.iter().rfind(|layer| !layer.passes_values())
        && scores.activation != Activation::Linear
    {
        let activation = scores.activation;
        let what = match &scores.kind {
            LayerType::Activation(_) => "remove it".to_owned(),
            _ => format!("remove activation = \"{activation}\""),
        };
        let end = match activation {
            Activation::Softmax => {
                ", and end the list with { type = \"activation\", activation = \"softmax\" }"
            }
            _ => "",
        };
        return Err(scores.error(format!(
            "the scores of the classes are the output of its {activation}, because the layers after it do not change \
             them, but the loss needs a softmax at the end or no activation; {what}{end}"
        )));
    }
    if !earlier.iter().chain([&*last]).any(PlannedLayer::has_parameters) {
        let message = format!("no layer has weights to train; end with {FINAL_LAYER}");
        return Err(ModelError::of_model(message));
    }
    if !earlier.iter().chain([&*last]).any(PlannedLayer::is_trained) {
        let message = "every layer with weights has trainable = false; remove it from at least one";
        return Err(ModelError::of_model(message.to_owned()));
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

impl PlannedLayer {
    fn passes_values(&self) -> bool {
        self.kind.rules().passes_values(self.input)
    }
}
