//! The operations of the fused engine: what it computes for a layer. One file each.
//!
//! Features are `[width, n]`: the values of one feature for all images of the batch are adjacent in memory. The width of
//! images is channels · rows · columns, in this order. Batch sizes are usually multiples of the width of a vector
//! register, the widths of layers are not. Images are in blocks of at most 32, each with the layout of a batch of its own
//! (see [`Blocks`]). Only the pixels are batch-major, `[n, width]`: [`Builder::feature_major`] puts an operation before the
//! first one that cannot read them in this order.
//!
//! To support a layer, write its operation, declare the module and add the layer to [`constructor`].

mod activation;
mod average_pooling2d;
mod batch_normalization;
mod blocks;
mod convolution;
mod dense;
mod dropout;
mod feature_major;
mod global_pooling2d;
mod group_normalization;
mod max_pooling2d;
mod residual;
mod sequence;
mod spatial_dropout2d;
mod zero_padding2d;

use std::ops::{Deref, DerefMut};

use kiln_kernels::{Blend, Plane, Pooling, Workspace};
use kiln_model::{Activation, LayerType, ParameterSpec, PlannedLayer, Shape, WeightTensor, Window};
use rand_chacha::ChaCha8Rng;

use self::blocks::Blocks;
use super::from_file_order;
use super::update::{Parameter, Rule};
use crate::optimizers::ParameterSettings;
pub(super) use sequence::Sequence;

/// An operation, its parameters, and what the forward pass leaves for the backward pass.
pub(super) trait Operation: Send + Sync {
    /// Computes the output for a training step, and keeps what the backward pass needs.
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>);

    /// Computes the output in inference mode, and keeps nothing.
    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace);

    /// Computes the gradients of the parameters and, if `to_input`, that of the input, which replaces the gradient of
    /// the output in `buffers`, or is added; see [`GradientBuffers::add_to_next`]. `input` and `output` are those of the last
    /// [`forward`](Self::forward); `output` is valid only if the operation [reads](Self::reads_output) it.
    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    );

    /// Applies an activation function that follows the operation, if it can do so without a pass of its own.
    fn fuse_activation(&mut self, _: Activation) -> bool {
        false
    }

    /// Applies a maximum pooling that follows the operation, if it can do so without a pass of its own.
    fn fuse_max_pooling(&mut self, _: Pooling) -> bool {
        false
    }

    /// Whether the backward pass reads the output. Otherwise what follows may change the output in place.
    fn reads_output(&self) -> bool {
        true
    }

    /// The operation as one that adds a shortcut, if it can do so without a pass of its own.
    fn as_shortcut_adder(&mut self) -> Option<&mut dyn AddsShortcut> {
        None
    }

    /// Whether the backward pass can add the gradient of the input to values that are there; see
    /// [`GradientBuffers::add_to_next`].
    fn adds_input_gradient(&self) -> bool {
        false
    }

    /// The parameters in the order of the weights file.
    fn parameters(&self) -> Vec<&Parameter> {
        Vec::new()
    }

    /// The parameters in the order of the weights file, mutable.
    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        Vec::new()
    }
}

/// An operation that can be the last one of a residual connection's layers and also add the shortcut. It draws no random
/// numbers, because the shortcut is computed before it.
pub(super) trait AddsShortcut {
    /// Computes output + shortcut, and with `relu` replaces negative sums by 0.
    fn forward_sum(
        &mut self,
        input: &[f32],
        shortcut: &[f32],
        relu: bool,
        sum: &mut Vec<f32>,
        workspace: &mut Workspace,
    );

    /// As [`Operation::backward`], but [`BackwardPass::output`] is the sum. With `relu`, `gradient` is first set to 0 where the
    /// sum is 0. It is then also the gradient of the shortcut. The gradient of the input is written to `input_gradient`.
    fn backward_sum(
        &mut self,
        pass: BackwardPass<'_>,
        relu: bool,
        gradient: &mut [f32],
        input_gradient: &mut Buffer,
        workspace: &mut Workspace,
    );
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

    /// The destination of the gradient of a parameter, and how to write it there; `None` if it is not trained.
    fn destination(self, parameter: &mut Parameter) -> Option<(&mut [f32], Blend)> {
        if !parameter.settings.trainable {
            return None;
        }
        Some(match self {
            Self::Stored => (&mut parameter.gradient, Blend::Replace),
            Self::Fused(blend) => (&mut parameter.values, blend),
        })
    }
}

/// The gradient that the backward pass takes through the operations, and buffers for the next one.
#[derive(Default)]
pub(super) struct GradientBuffers {
    /// The gradient with respect to the output of the next operation to visit.
    pub(super) gradient: Buffer,
    next: Buffer,
    /// Whether the operation adds the gradient of its input to the values of `next`. Only for operations that
    /// [can](Operation::adds_input_gradient) do so.
    add_to_next: bool,
}

/// Values in memory that is not zeroed when their number grows again.
#[derive(Default)]
pub(super) struct Buffer {
    memory: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// Changes the number of values. They are arbitrary afterwards.
    pub(super) fn resize(&mut self, len: usize) {
        if self.memory.len() < len {
            self.memory.resize(len, 0.0);
        }
        self.len = len;
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}

/// Makes the operations of a network.
pub(super) struct Builder<'a> {
    rule: &'a Rule,
    weights: std::slice::Iter<'a, &'a WeightTensor>,
    /// The settings of the same parameters.
    settings: std::slice::Iter<'a, ParameterSettings>,
    operations: Vec<Box<dyn Operation>>,
    /// Whether the values are still in the order of the pixels, `[n, width]`.
    batch_major: bool,
}

impl<'a> Builder<'a> {
    /// Starts with the pixels. `weights` are those of all layers, in the order of the weights file, and `settings` are in
    /// the same order.
    pub(super) fn new(
        rule: &'a Rule,
        weights: &'a [&'a WeightTensor],
        settings: &'a [ParameterSettings],
    ) -> Self {
        let (weights, settings) = (weights.iter(), settings.iter());
        Self { rule, weights, settings, operations: Vec::new(), batch_major: true }
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

    /// Lets the last operation apply an activation function, if it can.
    fn fuse_activation(&mut self, activation: Activation) -> bool {
        self.operations.last_mut().is_some_and(|last| last.fuse_activation(activation))
    }

    /// Lets the last operation apply a maximum pooling, if it can.
    fn fuse_max_pooling(&mut self, pooling: Pooling) -> bool {
        self.operations.last_mut().is_some_and(|last| last.fuse_max_pooling(pooling))
    }

    fn push(&mut self, operation: impl Operation + 'static) {
        self.operations.push(Box::new(operation));
    }

    /// The next parameter of the weights file.
    fn parameter(&mut self, spec: &ParameterSpec) -> Parameter {
        let tensor =
            self.weights.next().expect("the weights were checked against the architecture");
        let settings = self.settings.next().copied().unwrap_or_default();
        self.rule.parameter(from_file_order(&tensor.values, spec), settings)
    }

    /// The parameters of a layer, in the order of the weights file.
    fn parameters(&mut self, layer: &PlannedLayer) -> Vec<Parameter> {
        layer.parameters.iter().map(|spec| self.parameter(spec)).collect()
    }

    /// Brings the values into the order `[width, n]`, in blocks if they are images, if they are still in that of the pixels.
    fn feature_major(&mut self, shape: Shape) {
        if std::mem::take(&mut self.batch_major) {
            self.push(feature_major::FeatureMajor(Blocks::of(shape)));
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
        LayerType::Flatten(_) => blocks::add,
        LayerType::Dense(_) => dense::add,
        LayerType::Activation(_) if layer.activation == Activation::Linear => NOTHING,
        LayerType::Activation(_) => activation::add,
        LayerType::Dropout(dropout) if dropout.rate > 0.0 => dropout::add,
        LayerType::Dropout(_) => NOTHING,
        LayerType::Residual(_) => residual::add,
        LayerType::Conv2d(_) | LayerType::DepthwiseConv2d(_) => convolution::add,
        LayerType::MaxPooling2d(_) if max_pooling2d::is_supported(layer) => max_pooling2d::add,
        LayerType::AveragePooling2d(_) => average_pooling2d::add,
        LayerType::GlobalAveragePooling2d(_) => global_pooling2d::add,
        LayerType::GlobalMaxPooling2d(_) if global_pooling2d::is_supported(layer) => {
            global_pooling2d::add
        }
        LayerType::BatchNormalization(_) => batch_normalization::add,
        LayerType::GroupNormalization(_) | LayerType::LayerNormalization(_) => {
            group_normalization::add
        }
        LayerType::SpatialDropout2d(dropout) if dropout.rate > 0.0 => spatial_dropout2d::add,
        LayerType::SpatialDropout2d(_) => NOTHING,
        LayerType::ZeroPadding2d(_) => zero_padding2d::add,
        _ => return None,
    })
}

/// The size of an image between two layers. Flat features are channels of one pixel.
fn plane(shape: Shape) -> Plane {
    match shape {
        Shape::Image { channels, height, width } => Plane { channels, height, width },
        Shape::Features(channels) => Plane { channels, height: 1, width: 1 },
    }
}

/// The padding around an image: top, left, bottom, right.
fn padding(window: Window, input: Shape) -> [usize; 4] {
    let [(top, bottom), (left, right)] = window.zeros(input);
    [top, left, bottom, right]
}

/// Writes the gradient of a parameter, or adds it to its values.
#[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
fn store(gradients: Gradients, parameter: &mut Parameter, gradient: impl Iterator<Item = f64>) {
    let Some((values, blend)) = gradients.destination(parameter) else { return };
    for (value, gradient) in values.iter_mut().zip(gradient) {
        *value = blend.apply(*value, gradient as f32);
    }
}

fn copy(values: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(values);
}
