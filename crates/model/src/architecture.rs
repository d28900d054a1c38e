use thiserror::Error;

use crate::activation::Activation;
use crate::config::LayerTraining;
use crate::layers::{LayerType, ParameterSpec};
use crate::shape::Shape;

/// A list of layers that do not fit together or do not fit the data.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{layer}: {message}")]
pub struct ModelError {
    /// The layer, as shown in messages: `layer "hidden_2" (dense)`.
    pub layer: String,
    /// The path of its entry in the configuration, such as `model.layers.2`.
    pub path: String,
    /// The problem, and what to do about it.
    pub message: String,
}

/// An expanded list of layers with checked shapes, from which [`Network`](crate::Network) is built.
///
/// Made by [`ModelConfig::architecture`](crate::ModelConfig::architecture).
#[derive(Debug, Clone)]
pub struct Architecture {
    pub(crate) input: Shape,
    pub(crate) layers: Vec<PlannedLayer>,
    pub(crate) softmax_in_loss: bool,
}

/// A layer of an [`Architecture`].
#[derive(Debug, Clone)]
pub struct PlannedLayer {
    /// The unique name of the layer, with a number if it is repeated: `hidden_1`.
    pub name: String,
    /// The path of its entry in the configuration, such as `model.layers.2`.
    pub path: String,
    /// The configuration of the layer.
    pub kind: LayerType,
    /// The shape of one input sample.
    pub input: Shape,
    /// The shape of one output sample.
    pub output: Shape,
    /// The parameters of the layer itself, in the order of the weights file.
    pub parameters: Vec<ParameterSpec>,
    /// The floating-point operations of the layer itself in the forward pass, per sample.
    pub flops: u64,
    /// The number of values per sample that training stores for the backward pass of the layer itself.
    pub saved_activations: usize,
    /// The activation that the module applies: the configured one, or `linear` in place of a final
    /// softmax, which the loss applies.
    pub activation: Activation,
    /// The lists of layers that the layer owns, such as those of a residual connection.
    pub branches: Vec<PlannedBranch>,
    /// How the parameters are trained: the settings of the layer and of all entries around it.
    pub training: LayerTraining,
}

/// A parameter of an [`Architecture`].
#[derive(Debug, Clone)]
pub struct PlannedParameter<'a> {
    /// The name in the weights file.
    pub name: String,
    /// Its shape and role.
    pub spec: &'a ParameterSpec,
    /// Multiplies the learning rate.
    pub learning_rate_factor: f64,
}

/// A list of layers that a layer of an [`Architecture`] owns.
#[derive(Debug, Clone)]
pub struct PlannedBranch {
    /// Its key in the table of the layer, and its name in the weights file: `layers` or `shortcut`.
    pub key: &'static str,
    /// The layers, in the order of the forward pass.
    pub layers: Vec<PlannedLayer>,
}

impl ModelError {
    pub(crate) fn of_layer(name: &str, kind: &LayerType, path: &str, message: String) -> Self {
        let layer = format!("layer \"{name}\" ({})", kind.keyword());
        Self { layer, path: path.to_owned(), message }
    }

    pub(crate) fn of_model(message: String) -> Self {
        Self { layer: "the model".to_owned(), path: "model.layers".to_owned(), message }
    }
}

impl PlannedLayer {
    pub(crate) fn error(&self, message: String) -> ModelError {
        ModelError::of_layer(&self.name, &self.kind, &self.path, message)
    }

    /// Whether the layer or a layer in its branches has parameters.
    #[must_use]
    pub fn has_parameters(&self) -> bool {
        let inner = || self.branches.iter().flat_map(|branch| &branch.layers);
        !self.parameters.is_empty() || inner().any(Self::has_parameters)
    }

    /// Whether the optimizer updates a parameter of the layer or of a layer in its branches.
    pub(crate) fn is_trained(&self) -> bool {
        let inner = || self.branches.iter().flat_map(|branch| &branch.layers);
        self.parameters.iter().any(|parameter| parameter.trainable) || inner().any(Self::is_trained)
    }

    /// Adds the parameters of these layers and of their branches to `found`, with the names that start with `prefix`.
    fn collect_parameters<'a>(
        layers: &'a [Self],
        prefix: &str,
        found: &mut Vec<PlannedParameter<'a>>,
    ) {
        let with_parameters = layers.iter().filter(|layer| layer.has_parameters());
        for (index, layer) in with_parameters.enumerate() {
            let prefix = format!("{prefix}.{index}");
            found.extend(layer.parameters.iter().map(|spec| PlannedParameter {
                name: format!("{prefix}.{}", spec.name),
                spec,
                learning_rate_factor: layer.training.learning_rate_factor,
            }));
            for PlannedBranch { key, layers } in &layer.branches {
                Self::collect_parameters(layers, &format!("{prefix}.{key}"), found);
            }
        }
    }
}

impl Architecture {
    /// The shape of one image.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The layers, in the order of the forward pass.
    #[must_use]
    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// Whether the configured list ends with a softmax. The loss applies it, not the network.
    #[must_use]
    pub const fn softmax_in_loss(&self) -> bool {
        self.softmax_in_loss
    }

    /// The number of values in all parameters, including running statistics.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.named_parameters().map(|(_, parameter)| parameter.len()).sum()
    }

    /// The number of values that the optimizer updates.
    #[must_use]
    pub fn trainable_parameters(&self) -> usize {
        let parameters = self.named_parameters().map(|(_, parameter)| parameter);
        parameters.filter(|parameter| parameter.trainable).map(ParameterSpec::len).sum()
    }

    /// All parameters with their names in the weights file: `layers.<n>.weight`, where n counts the
    /// layers that have parameters, from 0. The names of layers in a branch continue those of its owner:
    /// `layers.<n>.shortcut.<m>.weight`.
    pub fn named_parameters(&self) -> impl Iterator<Item = (String, &ParameterSpec)> {
        self.planned_parameters().map(|parameter| (parameter.name, parameter.spec))
    }

    /// Like [`named_parameters`](Self::named_parameters), with what else is known of them.
    pub fn planned_parameters(&self) -> impl Iterator<Item = PlannedParameter<'_>> {
        let mut found = Vec::new();
        PlannedLayer::collect_parameters(&self.layers, "layers", &mut found);
        found.into_iter()
    }

    /// All layers in the order of the forward pass, and how many layers own each of them. An owner comes before its
    /// branches.
    pub fn nested_layers(&self) -> impl Iterator<Item = (usize, &PlannedLayer)> {
        fn collect<'a>(
            layers: &'a [PlannedLayer],
            depth: usize,
            found: &mut Vec<(usize, &'a PlannedLayer)>,
        ) {
            for layer in layers {
                found.push((depth, layer));
                layer.branches.iter().for_each(|branch| collect(&branch.layers, depth + 1, found));
            }
        }
        let mut found = Vec::new();
        collect(&self.layers, 0, &mut found);
        found.into_iter()
    }
}
