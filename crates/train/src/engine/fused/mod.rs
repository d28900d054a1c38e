//! The training step of a stack of dense layers, computed without Burn. At these sizes, memory traffic takes as much time
//! as arithmetic, so the step avoids it: buffers are kept from step to step and not zeroed, bias and activation are applied
//! in one pass, and for plain gradient descent, the gradient is subtracted from the weights while it is computed.

mod activation;
mod cross_entropy;
mod operation;
mod state;
mod update;

use kiln_kernels::{Workspace, transpose};
use kiln_model::{
    Activation, Architecture, LayerType, ParameterSpec, PlannedLayer, WeightTensor, Weights,
};
use rand_chacha::ChaCha8Rng;

use super::{EngineSettings, Targets};
use crate::optimizers::{OptimizerKind, ParameterSettings, UpdateRule};
use crate::schedules::StepSettings;
use cross_entropy::cross_entropy_gradient;
use operation::{Dense, GradientBuffers, Gradients, Operation, OperationKind};
use update::{Parameter, Rule};

/// Describes the layer or the optimizer that this engine does not support; `None` if it supports the experiment.
pub(crate) fn unsupported(
    architecture: &Architecture,
    optimizer: &OptimizerKind,
) -> Option<String> {
    unsupported_layer(architecture)
        .or_else(|| unsupported_rule(optimizer.name().as_str(), optimizer.rule()))
}

fn unsupported_rule(name: &str, rule: &dyn UpdateRule) -> Option<String> {
    rule.fused().is_none().then(|| format!("the optimizer \"{name}\""))
}

/// What this engine computes for a layer.
enum Computation {
    Identity,
    Dense,
    Activation(Activation),
    /// At this rate, above 0.
    Dropout(f64),
}

/// What this engine computes for the layer; `None` if it does not support layers of this type. A new type is trained by
/// the generic engine until it is listed here.
fn computation(layer: &PlannedLayer) -> Option<Computation> {
    Some(match &layer.kind {
        LayerType::Flatten(_) => Computation::Identity,
        LayerType::Dense(_) => Computation::Dense,
        LayerType::Activation(_) if layer.activation == Activation::Linear => Computation::Identity,
        LayerType::Activation(_) => Computation::Activation(layer.activation),
        LayerType::Dropout(dropout) if dropout.rate > 0.0 => Computation::Dropout(dropout.rate),
        LayerType::Dropout(_) => Computation::Identity,
        _ => return None,
    })
}

fn unsupported_layer(architecture: &Architecture) -> Option<String> {
    architecture.layers().iter().find_map(|layer| {
        let (name, kind) = (&layer.name, layer.kind.keyword());
        if layer.activation == Activation::Softmax {
            return Some(format!("the softmax inside the network, in layer \"{name}\" ({kind})"));
        }
        computation(layer).is_none().then(|| format!("layer \"{name}\" ({kind})"))
    })
}

/// The engine for flatten, dense, activation and dropout layers, with every optimizer that has a fused update.
pub(super) struct Fused {
    architecture: Architecture,
    operations: Vec<Operation>,
    /// The index of the first operation with parameters to train. The backward pass ends there.
    first: usize,
    rule: Rule,
    label_smoothing: f32,
    buffers: GradientBuffers,
    workspace: Workspace,
}

impl Fused {
    pub(super) fn new(settings: &EngineSettings, weights: &Weights) -> Result<Self, String> {
        let EngineSettings { architecture, optimizer, loss, average_decay, .. } = settings;
        if let Some(unsupported) = unsupported(architecture, &optimizer.kind) {
            return Err(format!("the fused engine does not support {unsupported}"));
        }
        let exclusion = optimizer.exclude_from_weight_decay;
        let parameters = architecture.planned_parameters();
        let parameters: Vec<_> =
            parameters.map(|parameter| exclusion.settings_of(&parameter)).collect();
        let rule = Rule::new(optimizer, *average_decay, &parameters);
        let mut weights = weights.in_order_of(architecture)?.into_iter().zip(parameters);
        let mut operations: Vec<Operation> = Vec::new();
        let is_dense = |operation: &Operation| matches!(operation.kind, OperationKind::Dense(_));
        let is_trained = |operation: &Operation| {
            operation.parameters().any(|parameter| parameter.settings.trainable)
        };
        for layer in architecture.layers() {
            // The first product turns the pixels, `[n, width]`, into features, `[width, n]`.
            let batch_major = !operations.iter().any(is_dense);
            let kind = operation(layer, batch_major, &rule, &mut weights);
            operations.extend(kind.map(Operation::new));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
        Ok(Self {
            architecture: architecture.clone(),
            first: operations.iter().position(is_trained).unwrap_or(operations.len()),
            operations,
            rule,
            label_smoothing: loss.label_smoothing() as f32,
            buffers: GradientBuffers::default(),
            workspace: Workspace::default(),
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
    pub(super) fn step(
        &mut self,
        pixels: &[f32],
        targets: Targets<'_>,
        settings: StepSettings,
        dropout_rng: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let learning_rate = settings.learning_rate;
        for index in 0..self.operations.len() {
            let (input, operation, _, workspace) = self.borrow_parts(index, pixels);
            operation.forward(input, dropout_rng, workspace);
        }
        // Features are `[classes, n]` here; the metrics and the loss read the logits image by image, `[n, classes]`.
        let mut logits = Vec::new();
        if let Some(last) = self.operations.last() {
            let count = targets.len();
            transpose(&last.output, last.output.len() / count, count, &mut logits);
        }
        let (scale, gradients) = match self.rule.fused_weight_decay() {
            // The backward pass is linear in the gradient. Scaled by −η at its start, it yields the updates of the
            // parameters themselves.
            Some(decay) => {
                (-learning_rate as f32, Gradients::fused((1.0 - learning_rate * decay) as f32))
            }
            None => (1.0, Gradients::Stored),
        };
        let gradient = &mut self.buffers.gradient;
        cross_entropy_gradient(&logits, targets, self.label_smoothing, scale, gradient);
        for index in (self.first..self.operations.len()).rev() {
            // Nothing before the first parameters needs a gradient; for the pixels it would be the largest product.
            let to_input = index > self.first;
            let (input, operation, buffers, workspace) = self.borrow_parts(index, pixels);
            operation.backward(input, buffers, to_input, gradients, workspace);
        }
        if matches!(gradients, Gradients::Stored) {
            // `self.parameters_mut()` would borrow all of `self`, including the rule.
            let parameters = self.operations.iter_mut().flat_map(Operation::parameters_mut);
            self.rule.apply(settings, parameters.collect());
        }
        self.rule.add_to_average(self.operations.iter_mut().flat_map(Operation::parameters_mut));
        logits
    }

    pub(super) fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        let (mut values, mut next) = (Vec::new(), Vec::new());
        // Inference takes `&self`, so it has its own workspace. It is allocated once per batch, not per product.
        let mut workspace = Workspace::default();
        for (index, operation) in self.operations.iter().enumerate() {
            let input = if index == 0 { pixels } else { &values };
            operation.infer(input, &mut next, &mut workspace);
            std::mem::swap(&mut values, &mut next);
        }
        let count = pixels.len() / self.architecture.input().len();
        // As in `step`: from `[classes, n]` to `[n, classes]`.
        transpose(&values, values.len() / count, count, &mut next);
        next
    }

    pub(super) fn weights(&self) -> Weights {
        self.tensors(|parameter| &parameter.values)
    }

    pub(super) fn average(&self) -> Option<Weights> {
        let mut parameters = self.parameters();
        // Empty before the first step, and if the experiment asks for no average.
        let is_kept = parameters.any(|parameter| !parameter.average.is_empty());
        is_kept.then(|| self.tensors(|parameter| &parameter.average))
    }

    /// Values of all parameters, as in the weights file.
    fn tensors(&self, values: impl Fn(&Parameter) -> &[f32]) -> Weights {
        let named = self.architecture.named_parameters().zip(self.parameters());
        let tensors = named
            .map(|((name, spec), parameter)| WeightTensor {
                name,
                shape: spec.shape.clone(),
                values: to_file_order(values(parameter), spec),
            })
            .collect();
        Weights { tensors }
    }

    /// The parameters in the order of the weights file.
    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.operations.iter().flat_map(Operation::parameters)
    }

    fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.operations.iter_mut().flat_map(Operation::parameters_mut)
    }

    /// The input of an operation, the operation, and the buffers that it needs, borrowed at the same time.
    fn borrow_parts<'a>(
        &'a mut self,
        index: usize,
        pixels: &'a [f32],
    ) -> (&'a [f32], &'a mut Operation, &'a mut GradientBuffers, &'a mut Workspace) {
        let (before, rest) = self.operations.split_at_mut(index);
        let input = before.last().map_or(pixels, |operation| operation.output.as_slice());
        (input, &mut rest[0], &mut self.buffers, &mut self.workspace)
    }
}

/// The operation of a layer, or `None` if the layer changes nothing. Its weights are the next ones of `weights`.
/// `batch_major` says that there is no dense layer before it.
fn operation<'a>(
    layer: &PlannedLayer,
    batch_major: bool,
    rule: &Rule,
    weights: &mut impl Iterator<Item = (&'a WeightTensor, ParameterSettings)>,
) -> Option<OperationKind> {
    match computation(layer)? {
        Computation::Identity => None,
        Computation::Dense => {
            let mut own = weights.take(layer.parameters.len());
            let (inputs, units) = (layer.input.len(), layer.output.len());
            let (tensor, settings) = own.next()?;
            let mut weight = Vec::new();
            transpose(&tensor.values, inputs, units, &mut weight);
            let bias = own.next();
            Some(OperationKind::Dense(Box::new(Dense {
                weight: rule.parameter(weight, settings),
                bias: bias
                    .map(|(tensor, settings)| rule.parameter(tensor.values.clone(), settings)),
                inputs,
                units,
                batch_major,
                activation: layer.activation,
                pre_activation: Vec::new(),
            })))
        }
        Computation::Activation(activation) => Some(OperationKind::Activation(activation)),
        Computation::Dropout(rate) => {
            let width = layer.output.len();
            Some(OperationKind::Dropout { rate, width, batch_major, mask: Vec::new() })
        }
    }
}

/// Converts the values of a parameter, or a state of the optimizer of the same shape, to the order of the weights file.
/// There a matrix is `[inputs, units]`; this engine uses `[units, inputs]`.
fn to_file_order(values: &[f32], spec: &ParameterSpec) -> Vec<f32> {
    match spec.shape[..] {
        [inputs, units] => transposed(values, units, inputs),
        _ => values.to_vec(),
    }
}

/// The inverse of [`to_file_order`].
fn from_file_order(values: &[f32], spec: &ParameterSpec) -> Vec<f32> {
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

#[cfg(test)]
mod tests {
    use burn::optim::{self, SgdConfig};
    use kiln_config::{ConfigError, Table};

    use super::*;
    use crate::engine::Implementation;
    use crate::experiment::EngineChoice;

    /// An optimizer for which no fused update has been written.
    struct Unfused;

    impl UpdateRule for Unfused {
        type Burn = optim::Sgd;

        fn read(_: &mut Table<'_>) -> Result<Self, ConfigError> {
            Ok(Self)
        }

        fn slots(&self) -> &'static [&'static str] {
            &[]
        }

        fn burn(&self) -> optim::Sgd {
            SgdConfig::new().build()
        }
    }

    #[test]
    fn an_optimizer_without_a_fused_update_is_left_to_the_generic_engine() {
        let unsupported = unsupported_rule("unfused", &Unfused);
        assert_eq!(
            EngineChoice::Auto.implementation(unsupported.clone()),
            Ok(Implementation::Generic)
        );
        let error = EngineChoice::Fused.implementation(unsupported);
        assert_eq!(error, Err("the optimizer \"unfused\"".to_owned()));
        // All optimizers that exist have one.
        for name in crate::OptimizerName::ALL {
            let text = format!(
                "name = \"case\"\ndata.source = \"none\"\noptimizer.type = \"{name}\"\n\
                 model.layers = [{{ type = \"flatten\" }}, {{ type = \"dense\", units = \"classes\" }}]"
            );
            let declaration = crate::Declaration::parse("case.toml", &text, &[]).expect("valid");
            assert_eq!(
                unsupported_rule(name.as_str(), declaration.experiment.optimizer.kind.rule()),
                None
            );
        }
    }
}
