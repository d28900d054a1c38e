//! The training step on the CPU, computed without Burn. In dense layers, memory traffic takes as much time
//! as arithmetic, so the step avoids it: buffers are kept from step to step and not zeroed, bias and activation are applied
//! in one pass, and for plain gradient descent, the gradient is subtracted from the weights while it is computed.

mod activation;
mod cross_entropy;
mod operations;
mod state;
mod update;

use std::sync::{Mutex, PoisonError};

use kiln_kernels::{Workspace, transpose};
use kiln_model::{Activation, Architecture, ParameterSpec, WeightTensor, Weights};
use rand_chacha::ChaCha8Rng;

use super::{EngineSettings, Targets};
use crate::optimizers::{OptimizerKind, UpdateRule};
use crate::schedules::StepSettings;
use cross_entropy::cross_entropy_gradient;
use operations::{Builder, GradientBuffers, Gradients, Sequence, StepContext, constructor};
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

fn unsupported_layer(architecture: &Architecture) -> Option<String> {
    architecture.nested_layers().find_map(|(_, layer)| {
        let (name, kind) = (&layer.name, layer.kind.keyword());
        if layer.activation == Activation::Softmax {
            return Some(format!("the softmax inside the network, in layer \"{name}\" ({kind})"));
        }
        constructor(layer).is_none().then(|| format!("layer \"{name}\" ({kind})"))
    })
}

/// The engine for all layers that [`constructor`] lists, with every optimizer that has a fused update.
pub(super) struct Fused {
    architecture: Architecture,
    operations: Sequence,
    rule: Rule,
    label_smoothing: f32,
    buffers: GradientBuffers,
    /// Inference, which takes `&self`, uses it, too.
    workspace: Mutex<Workspace>,
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
        let weights = weights.in_order_of(architecture)?;
        let operations = Builder::new(&rule, &weights, &parameters).sequence(architecture.layers());
        #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
        Ok(Self {
            architecture: architecture.clone(),
            operations,
            rule,
            label_smoothing: loss.label_smoothing() as f32,
            buffers: GradientBuffers::default(),
            workspace: Mutex::new(Workspace::new(settings.instructions, settings.threads)),
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
        let workspace = self.workspace.get_mut().unwrap_or_else(PoisonError::into_inner);
        let context = &mut StepContext { dropout_rng, workspace };
        self.operations.forward(pixels, context);
        // Features are `[classes, n]` here; the metrics and the loss read the logits image by image, `[n, classes]`.
        let (scores, count) = (self.operations.output(pixels), targets.len());
        let logits = transposed(scores, scores.len() / count, count);
        let (scale, gradients) = match self.rule.fused_weight_decay() {
            // The backward pass is linear in the gradient. Scaled by −η at its start, it yields the updates of the
            // parameters themselves.
            Some(decay) => {
                (-learning_rate as f32, Gradients::fused((1.0 - learning_rate * decay) as f32))
            }
            None => (1.0, Gradients::Stored),
        };
        let gradient = &mut self.buffers.gradient;
        let smoothing = self.label_smoothing;
        cross_entropy_gradient(&logits, targets, smoothing, scale, gradient, workspace);
        let buffers = &mut self.buffers;
        self.operations.backward(pixels, false, gradients, buffers, workspace);
        if matches!(gradients, Gradients::Stored) {
            self.rule.apply(settings, self.operations.parameters_mut().collect(), workspace);
        }
        self.rule.add_to_average(self.operations.parameters_mut(), workspace);
        logits
    }

    pub(super) fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let scores = self.operations.infer(pixels, &mut workspace);
        let count = pixels.len() / self.architecture.input().len();
        // As in `step`: from `[classes, n]` to `[n, classes]`.
        transposed(&scores, scores.len() / count, count)
    }

    pub(super) fn weights(&self) -> Weights {
        self.tensors(|parameter| &parameter.values)
    }

    pub(super) fn average(&self) -> Option<Weights> {
        let mut parameters = self.operations.parameters();
        // Empty before the first step, and if the experiment asks for no average.
        let is_kept = parameters.any(|parameter| !parameter.average.is_empty());
        is_kept.then(|| self.tensors(|parameter| &parameter.average))
    }

    /// Values of all parameters, as in the weights file.
    fn tensors(&self, values: impl Fn(&Parameter) -> &[f32]) -> Weights {
        let named = self.architecture.named_parameters().zip(self.operations.parameters());
        let tensors = named
            .map(|((name, spec), parameter)| WeightTensor {
                name,
                shape: spec.shape.clone(),
                values: to_file_order(values(parameter), spec),
            })
            .collect();
        Weights { tensors }
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
