use thiserror::Error;

use crate::activation::Activation;
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
    /// The parameters, in the order of the weights file.
    pub parameters: Vec<ParameterSpec>,
    /// The floating-point operations of the forward pass, per sample.
    pub flops: u64,
    /// The number of values per sample that training stores for the backward pass.
    pub saved_activations: usize,
    /// The activation that the module applies: the configured one, or `linear` in place of a final
    /// softmax, which the loss applies.
    pub activation: Activation,
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
        self.layers.iter().flat_map(|layer| &layer.parameters).map(ParameterSpec::len).sum()
    }

    /// The number of values that the optimizer updates.
    #[must_use]
    pub fn trainable_parameters(&self) -> usize {
        let parameters = self.layers.iter().flat_map(|layer| &layer.parameters);
        parameters.filter(|parameter| parameter.trainable).map(ParameterSpec::len).sum()
    }

    /// All parameters with their names in the weights file: `layers.<n>.weight`, where n counts the
    /// layers that have parameters, from 0.
    pub fn named_parameters(&self) -> impl Iterator<Item = (String, &ParameterSpec)> {
        let with_parameters = self.layers.iter().filter(|layer| !layer.parameters.is_empty());
        with_parameters.enumerate().flat_map(|(index, layer)| {
            layer
                .parameters
                .iter()
                .map(move |parameter| (format!("layers.{index}.{}", parameter.name), parameter))
        })
    }
}
