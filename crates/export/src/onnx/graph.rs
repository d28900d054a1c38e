use std::collections::HashSet;

use kiln_model::{PlannedLayer, WeightTensor};

use super::layers::{integer, translation};
use super::messages::{Attribute, ElementType, Node, Tensor, int};
use crate::ExportError;

/// The nodes of a graph, in the order of the computation, and its constants. A node has one output, which has its name.
pub(super) struct Graph<'a> {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
    /// The tensors of the layers that are still to come, in the order of the weights file.
    weights: std::slice::Iter<'a, &'a WeightTensor>,
    /// Names of nodes and constants, which must be unique.
    names: HashSet<String>,
    /// The layer that is translated, for the names of its nodes.
    layer: String,
}

impl<'a> Graph<'a> {
    /// An empty graph. `weights` are those of all layers, in the order of the weights file.
    pub(super) fn new(weights: &'a [&'a WeightTensor]) -> Self {
        let (nodes, constants, layer) = (Vec::new(), Vec::new(), String::new());
        // The names of tensors in the weights file stay as they are.
        let names = weights.iter().map(|tensor| tensor.name.clone()).collect();
        Self { nodes, constants, weights: weights.iter(), names, layer }
    }

    /// The nodes and the constants.
    pub(super) fn finish(self) -> (Vec<Node>, Vec<Tensor>) {
        (self.nodes, self.constants)
    }

    /// Adds the nodes of these layers and returns the output of the last one.
    pub(super) fn layers(
        &mut self,
        layers: &[PlannedLayer],
        input: String,
    ) -> Result<String, ExportError> {
        layers.iter().try_fold(input, |x, layer| {
            let owner = std::mem::replace(&mut self.layer, layer.name.clone());
            let translate = translation(layer).ok_or_else(|| ExportError::Layer {
                layer: format!("layer \"{}\" ({})", layer.name, layer.kind.keyword()),
            })?;
            let x = translate(layer, x, self)?;
            self.layer = owner;
            Ok(x)
        })
    }

    /// The parameters of a layer as constants: the name within the layer, and that of the constant.
    pub(super) fn parameters<'b>(&mut self, layer: &'b PlannedLayer) -> Vec<(&'b str, String)> {
        let names = layer.parameters.iter().map(|spec| spec.name.as_ref());
        // There are as many tensors as parameters: the weights were checked against the architecture.
        let constants: Vec<_> = names.zip(self.weights.by_ref()).collect();
        constants
            .into_iter()
            .map(|(name, tensor)| {
                self.add(tensor.name.clone(), &tensor.values, &tensor.shape);
                (name, tensor.name.clone())
            })
            .collect()
    }

    /// Adds a node and returns the name of its output.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        let name = self.unique(operator);
        self.node_as(operator, inputs, attributes, &name);
        name
    }

    /// Adds a node whose output has this name.
    pub(super) fn node_as(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
        output: &str,
    ) {
        self.nodes.push(Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
    }

    /// Converts bytes to floating-point numbers.
    pub(super) fn cast_to_floats(&mut self, x: &str) -> String {
        self.node("Cast", &[x], vec![int("to", i64::from(i32::from(ElementType::Float)))])
    }

    /// Adds a constant of floating-point numbers and returns its name. The shape `[]` is a single number.
    pub(super) fn floats(&mut self, values: &[f32], shape: &[usize]) -> String {
        let name = self.unique("constant");
        self.add(name.clone(), values, shape);
        name
    }

    /// Adds a constant of whole numbers, in one dimension, and returns its name.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let name = self.unique("constant");
        self.constants.push(Tensor {
            dims: vec![integer(values.len())],
            data_type: ElementType::Int64.into(),
            name: name.clone(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name
    }

    fn add(&mut self, name: String, values: &[f32], shape: &[usize]) {
        self.constants.push(Tensor {
            dims: shape.iter().map(|size| integer(*size)).collect(),
            data_type: ElementType::Float.into(),
            name,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
    }

    /// A new name of a node or constant in the current layer.
    fn unique(&mut self, what: &str) -> String {
        let name = match self.layer.as_str() {
            "" => what.to_owned(),
            layer => format!("{layer}/{what}"),
        };
        let numbered = (2..).map(|number: usize| format!("{name}_{number}"));
        let mut candidates = std::iter::once(name.clone()).chain(numbered);
        let found = candidates.find(|candidate| self.names.insert(candidate.clone()));
        // There are infinitely many candidates.
        found.unwrap_or(name)
    }
}
