//! The training step of a stack of dense layers, beneath Burn: buffers that are used again step
//! after step, nothing zeroed or copied first, bias and activation in one pass, and for plain
//! gradient descent the weights' gradient subtracted as it is computed.

mod activation;
mod cross_entropy;
mod kernel;
mod operation;
mod product;
mod state;
mod update;

use kiln_model::{
    Activation, Architecture, LayerType, ParameterSpec, PlannedLayer, WeightTensor, Weights,
};
use rand_chacha::ChaCha8Rng;

use super::EngineSettings;
use crate::loss::LossConfig;
use crate::optimizers::OptimizerKind;
use cross_entropy::cross_entropy_gradient;
use operation::{Backflow, Dense, Gradients, Operation, OperationKind};
use product::{Workspace, transpose};
use update::{Parameter, Rule};

/// The layer or optimizer that this implementation does not know, if there is one, in words.
pub(crate) fn obstacle(architecture: &Architecture, optimizer: &OptimizerKind) -> Option<String> {
    let layer = architecture.layers().iter().find_map(|layer| {
        let (name, word) = (&layer.name, layer.kind.keyword());
        if layer.activation == Activation::Softmax {
            return Some(format!("the softmax inside the network, in layer \"{name}\" ({word})"));
        }
        match layer.kind {
            LayerType::Flatten(_)
            | LayerType::Dense(_)
            | LayerType::Activation(_)
            | LayerType::Dropout(_) => None,
            LayerType::BatchNormalization(_) => Some(format!("layer \"{name}\" ({word})")),
        }
    });
    let has_update = optimizer.rule().fused().is_some();
    layer.or_else(|| (!has_update).then(|| format!("the optimizer \"{}\"", optimizer.name())))
}

/// Flatten, dense, activation and dropout; every optimizer that has a fused update.
pub(super) struct Fused {
    architecture: Architecture,
    operations: Vec<Operation>,
    /// The first operation with parameters: no gradient is needed before it.
    first: usize,
    rule: Rule,
    label_smoothing: f32,
    flow: Backflow,
    workspace: Workspace,
}

impl Fused {
    pub(super) fn new(settings: &EngineSettings, weights: &Weights) -> Result<Self, String> {
        let EngineSettings { architecture, optimizer, loss, .. } = settings;
        if let Some(obstacle) = obstacle(architecture, &optimizer.kind) {
            return Err(format!("the fused engine does not know {obstacle}"));
        }
        let rule = Rule::new(optimizer);
        let mut weights = weights.in_order_of(architecture)?.into_iter();
        let mut operations: Vec<Operation> = Vec::new();
        let is_dense = |operation: &Operation| matches!(operation.kind, OperationKind::Dense(_));
        for layer in architecture.layers() {
            let by_image = !operations.iter().any(is_dense);
            let kind = operation(layer, by_image, &rule, &mut weights);
            operations.extend(kind.map(Operation::new));
        }
        let LossConfig::SparseCategoricalCrossentropy { label_smoothing } = *loss;
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what is computed in")]
        Ok(Self {
            architecture: architecture.clone(),
            first: operations.iter().position(is_dense).unwrap_or(operations.len()),
            operations,
            rule,
            label_smoothing: label_smoothing as f32,
            flow: Backflow::default(),
            workspace: Workspace::default(),
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "f32 is what is computed in")]
    pub(super) fn step(
        &mut self,
        pixels: &[f32],
        labels: &[u8],
        learning_rate: f64,
        masks: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        for index in 0..self.operations.len() {
            let (before, operation, _, workspace) = self.around(index, pixels);
            operation.forward(before, masks, workspace);
        }
        let mut logits = Vec::new(); // [n, classes]
        if let Some(last) = self.operations.last() {
            transpose(&last.output, last.output.len() / labels.len(), labels.len(), &mut logits);
        }
        let (scale, gradients) = match self.rule.folds() {
            // All that is computed from the gradient is linear in it. So what comes back is at once
            // what the parameters change by.
            Some(decay) => {
                (-learning_rate as f32, Gradients::folded((1.0 - learning_rate * decay) as f32))
            }
            None => (1.0, Gradients::Kept),
        };
        let gradient = &mut self.flow.gradient;
        cross_entropy_gradient(&logits, labels, self.label_smoothing, scale, gradient);
        for index in (self.first..self.operations.len()).rev() {
            let to_input = index > self.first;
            let (before, operation, flow, workspace) = self.around(index, pixels);
            operation.backward(before, flow, to_input, gradients, workspace);
        }
        if matches!(gradients, Gradients::Kept) {
            // Not by `parameters_mut`, which would borrow the rule as well.
            let parameters = self.operations.iter_mut().flat_map(Operation::parameters_mut);
            self.rule.apply(learning_rate, parameters.collect());
        }
        logits
    }

    pub(super) fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        let (mut values, mut next) = (Vec::new(), Vec::new());
        let mut workspace = Workspace::default();
        for (index, operation) in self.operations.iter().enumerate() {
            let input = if index == 0 { pixels } else { &values };
            operation.infer(input, &mut next, &mut workspace);
            std::mem::swap(&mut values, &mut next);
        }
        let count = pixels.len() / self.architecture.input().len();
        transpose(&values, values.len() / count, count, &mut next);
        next
    }

    pub(super) fn weights(&self) -> Weights {
        let named = self.architecture.named_parameters().zip(self.parameters());
        let tensors = named
            .map(|((name, spec), parameter)| WeightTensor {
                name,
                shape: spec.shape.clone(),
                values: as_in_files(&parameter.values, spec),
            })
            .collect();
        Weights { tensors }
    }

    /// In the order of the weights file.
    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.operations.iter().flat_map(Operation::parameters)
    }

    fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.operations.iter_mut().flat_map(Operation::parameters_mut)
    }

    /// An operation, what goes into it, the gradient on its way back, and room for products.
    fn around<'a>(
        &'a mut self,
        index: usize,
        pixels: &'a [f32],
    ) -> (&'a [f32], &'a mut Operation, &'a mut Backflow, &'a mut Workspace) {
        let (before, rest) = self.operations.split_at_mut(index);
        let input = before.last().map_or(pixels, |operation| operation.output.as_slice());
        (input, &mut rest[0], &mut self.flow, &mut self.workspace)
    }
}

/// What a layer computes, if it is anything; its weights are the next of `weights`. `by_image` says
/// that no dense layer stands before it.
fn operation<'a>(
    layer: &PlannedLayer,
    by_image: bool,
    rule: &Rule,
    weights: &mut impl Iterator<Item = &'a WeightTensor>,
) -> Option<OperationKind> {
    match &layer.kind {
        LayerType::Dense(_) => {
            let mut own = weights.take(layer.parameters.len());
            let (inputs, units) = (layer.input.len(), layer.output.len());
            let mut weight = Vec::new();
            transpose(&own.next()?.values, inputs, units, &mut weight);
            Some(OperationKind::Dense(Box::new(Dense {
                weight: rule.parameter(weight),
                bias: own.next().map(|tensor| rule.parameter(tensor.values.clone())),
                inputs,
                units,
                by_image,
                activation: layer.activation,
                before_activation: Vec::new(),
            })))
        }
        LayerType::Activation(_) if layer.activation != Activation::Linear => {
            Some(OperationKind::Activation(layer.activation))
        }
        LayerType::Dropout(dropout) if dropout.rate > 0.0 => {
            let (rate, width) = (dropout.rate, layer.output.len());
            Some(OperationKind::Dropout { rate, width, by_image, mask: Vec::new() })
        }
        _ => None,
    }
}

/// A parameter's values, or what belongs to each of them, in the order of the weights file: there a
/// matrix is `[inputs, units]`, here it is `[units, inputs]`.
fn as_in_files(values: &[f32], spec: &ParameterSpec) -> Vec<f32> {
    match spec.shape[..] {
        [inputs, units] => transposed(values, units, inputs),
        _ => values.to_vec(),
    }
}

/// The way back of [`as_in_files`].
fn from_files(values: &[f32], spec: &ParameterSpec) -> Vec<f32> {
    match spec.shape[..] {
        [inputs, units] => transposed(values, inputs, units),
        _ => values.to_vec(),
    }
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::new();
    transpose(values, rows, columns, &mut out);
    out
}
