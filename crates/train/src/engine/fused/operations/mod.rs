//! The operations of the fused engine: what it computes for a layer. One file each.
//!
//! Features are `[width, n]`: the values of one feature for all images of the batch are adjacent in memory. The width of
//! images is channels · rows · columns, in this order. Batch sizes are usually multiples of the width of a vector
//! register, the widths of layers are not. Only the pixels are batch-major, `[n, width]`: [`Builder::feature_major`] puts
//! an operation before the first one that cannot read them in this order.
//!
//! To support a layer, write its operation, declare the module and add the layer to [`constructor`].

mod activation;
mod dense;
mod dropout;
mod feature_major;
mod residual;
mod sequence;

use kiln_kernels::{Blend, Workspace};
use kiln_model::{Activation, LayerType, PlannedLayer, WeightTensor};
use rand_chacha::ChaCha8Rng;

use super::update::{Parameter, Rule};
pub(super) use sequence::Sequence;

/// An operation, its parameters, and what the forward pass leaves for the backward pass.
pub(super) trait Operation: Send + Sync {
    /// Computes the output for a training step, and keeps what the backward pass needs.
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>);

    /// Computes the output in inference mode, and keeps nothing.
    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace);

    /// Computes the gradients of the parameters and, if `to_input`, that of the input, which replaces the gradient of
    /// the output in `buffers`. `input` and `output` are those of the last [`forward`](Self::forward).
    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    );

    /// The parameters in the order of the weights file.
    fn parameters(&self) -> Vec<&Parameter> {
        Vec::new()
    }

    /// The parameters in the order of the weights file, mutable.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        Vec::new()
    }
}

/// What operations share in the forward pass of a step.
pub(super) struct StepContext<'a> {
    pub(super) dropout_rng: &'a mut ChaCha8Rng,
    pub(super) workspace: &'a mut Workspace,
}

/// What the backward pass of an operation depends on.
#[derive(Clone, Copy)]
pub(super) struct BackwardPass<'a> {
    pub(super) input: &'a [f32],
    pub(super) output: &'a [f32],
    /// Whether an operation before this one needs the gradient of the input.
    pub(super) to_input: bool,
    pub(super) gradients: Gradients,
}

/// What the backward pass does with the gradients of the parameters.
#[derive(Clone, Copy)]
pub(super) enum Gradients {
    /// Stores them for the update.
    Stored,
    /// Adds them to the parameters. They are already scaled by −η.
    Fused(Blend),
}

impl Gradients {
    /// For the update w ← `keep` · w − η · gradient.
    #[expect(clippy::float_cmp, reason = "without weight decay it is exactly 1")]
    pub(super) fn fused(keep: f32) -> Self {
        Self::Fused(if keep == 1.0 { Blend::Add } else { Blend::DecayAndAdd(keep) })
    }

    /// The destination of the gradient of a parameter, and how to write it there.
    fn destination(self, parameter: &mut Parameter) -> (&mut [f32], Blend) {
        match self {
            Self::Stored => (&mut parameter.gradient, Blend::Replace),
            Self::Fused(blend) => (&mut parameter.values, blend),
        }
    }
}

/// The gradient that the backward pass takes through the operations, and buffers for the next one.
#[derive(Default)]
pub(super) struct GradientBuffers {
    /// The gradient with respect to the output of the next operation to visit.
    pub(super) gradient: Vec<f32>,
    next: Vec<f32>,
    /// A one per image; the product with it sums over the batch.
    ones: Vec<f32>,
}

/// Makes the operations of a network.
pub(super) struct Builder<'a> {
    rule: &'a Rule,
    weights: std::slice::Iter<'a, &'a WeightTensor>,
    operations: Vec<Box<dyn Operation>>,
    /// Whether the values are still in the order of the pixels, `[n, width]`.
    batch_major: bool,
}

impl<'a> Builder<'a> {
    /// Starts with the pixels. `weights` are those of all layers, in the order of the weights file.
    pub(super) fn new(rule: &'a Rule, weights: &'a [&'a WeightTensor]) -> Self {
        Self { rule, weights: weights.iter(), operations: Vec::new(), batch_major: true }
    }

    /// The operations of these layers.
    pub(super) fn sequence(&mut self, layers: &[PlannedLayer]) -> Sequence {
        let others = std::mem::take(&mut self.operations);
        for layer in layers {
            // There is always one: `unsupported` rejects other layers.
            if let Some(add) = constructor(layer) {
                add(layer, self);
            }
        }
        Sequence::new(std::mem::replace(&mut self.operations, others))
    }

    fn push(&mut self, operation: impl Operation + 'static) {
        self.operations.push(Box::new(operation));
    }

    /// The next parameter of the weights file with its values in the order of this engine.
    fn parameter(&mut self, in_order: impl FnOnce(&WeightTensor) -> Vec<f32>) -> Parameter {
        let tensor =
            self.weights.next().expect("the weights were checked against the architecture");
        self.rule.parameter(in_order(tensor))
    }

    /// Brings the values into the order `[width, n]`, if they are still in that of the pixels.
    fn feature_major(&mut self, width: usize) {
        if std::mem::take(&mut self.batch_major) {
            self.push(feature_major::FeatureMajor { width });
        }
    }
}

/// Adds the operations of a layer.
type Constructor = fn(&PlannedLayer, &mut Builder<'_>);

/// What this engine computes for the layer; `None` if it does not support layers of this type. A new type is trained by
/// the generic engine until it is listed here.
pub(super) fn constructor(layer: &PlannedLayer) -> Option<Constructor> {
    const NOTHING: Constructor = |_, _| {};
    Some(match &layer.kind {
        LayerType::Flatten(_) => NOTHING,
        LayerType::Dense(_) => dense::add,
        LayerType::Activation(_) if layer.activation == Activation::Linear => NOTHING,
        LayerType::Activation(_) => activation::add,
        LayerType::Dropout(dropout) if dropout.rate > 0.0 => dropout::add,
        LayerType::Dropout(_) => NOTHING,
        LayerType::Residual(_) => residual::add,
        _ => return None,
    })
}

fn copy(values: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(values);
}
