//! The forward and backward pass of each operation.
//!
//! Features are `[width, n]`: the values of one feature for all images of the batch are adjacent in memory. Batch sizes
//! are usually multiples of the width of a vector register, layer widths are not. So the products of the forward pass
//! and of the gradients of the inputs need no rearranged factor. Only the pixels are batch-major, `[n, width]`.
//! Operations before the first dense layer keep that order, and its product reads them transposed.

use kiln_kernels::{Blend, Matrix, Workspace, multiply_into, transpose};
use kiln_model::Activation;
use kiln_model::layers::dropout::draw_mask;
use rand_chacha::ChaCha8Rng;

use super::activation::{activate, multiply_by_derivative, needs_pre_activation};
use super::update::Parameter;

/// An operation and its output, which the forward pass leaves for the backward pass.
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    /// `[width, n]`; before the first dense layer `[n, width]`.
    pub(super) output: Vec<f32>,
}

pub(super) enum OperationKind {
    Dense(Box<Dense>),
    Activation(Activation),
    Dropout {
        rate: f64,
        /// Values per image.
        width: usize,
        batch_major: bool,
        /// The factor of each value in the last forward pass.
        mask: Vec<f32>,
    },
}

/// activation(W·x + b)
pub(super) struct Dense {
    /// `[units, inputs]`; the weights file has the transpose.
    pub(super) weight: Parameter,
    /// `[units]`.
    pub(super) bias: Option<Parameter>,
    pub(super) inputs: usize,
    pub(super) units: usize,
    /// Whether the input is `[n, inputs]` instead of `[inputs, n]`.
    pub(super) batch_major: bool,
    pub(super) activation: Activation,
    /// W·x + b, if the derivative of the activation needs it.
    pub(super) pre_activation: Vec<f32>,
}

/// What the backward pass does with the gradients of the parameters.
#[derive(Clone, Copy)]
pub(super) enum Gradients {
    /// Stores them for the update.
    Stored,
    /// Adds them to the parameters. They are already scaled by −η.
    Fused(Blend),
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

impl Operation {
    pub(super) const fn new(kind: OperationKind) -> Self {
        Self { kind, output: Vec::new() }
    }

    /// The parameters in the order of the weights file.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &Parameter> + use<'_> {
        let parameters = match &self.kind {
            OperationKind::Dense(dense) => [Some(&dense.weight), dense.bias.as_ref()],
            _ => [None, None],
        };
        parameters.into_iter().flatten()
    }

    /// The parameters in the order of the weights file, mutable.
    pub(super) fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> + use<'_> {
        let parameters = match &mut self.kind {
            OperationKind::Dense(dense) => [Some(&mut dense.weight), dense.bias.as_mut()],
            _ => [None, None],
        };
        parameters.into_iter().flatten()
    }

    /// Computes the output for a training step, and keeps what the backward pass needs.
    pub(super) fn forward(
        &mut self,
        input: &[f32],
        dropout_rng: &mut ChaCha8Rng,
        workspace: &mut Workspace,
    ) {
        match &mut self.kind {
            OperationKind::Dense(dense) => dense.forward(input, &mut self.output, workspace),
            OperationKind::Activation(activation) => {
                copy(input, &mut self.output);
                activate(*activation, &mut self.output, &[]);
            }
            OperationKind::Dropout { rate, width, batch_major, mask } => {
                // Always drawn image by image, so that the order of the features does not change the mask.
                mask.resize(input.len(), 0.0);
                draw_mask(*rate, mask, dropout_rng);
                if !*batch_major {
                    transpose(&std::mem::take(mask), input.len() / *width, *width, mask);
                }
                self.output.clear();
                self.output.extend(input.iter().zip(mask).map(|(value, factor)| value * *factor));
            }
        }
    }

    /// Computes the output in inference mode. Dropout has no effect there, and nothing is kept.
    pub(super) fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        match &self.kind {
            OperationKind::Dense(dense) => {
                dense.product(input, output, workspace);
                activate(dense.activation, output, dense.bias());
            }
            OperationKind::Activation(activation) => {
                copy(input, output);
                activate(*activation, output, &[]);
            }
            OperationKind::Dropout { .. } => copy(input, output),
        }
    }

    /// Computes the gradients of the parameters and, if `to_input`, that of the input, which replaces the gradient of
    /// the output in `buffers`. `input` is the input of the last [`forward`](Self::forward).
    pub(super) fn backward(
        &mut self,
        input: &[f32],
        buffers: &mut GradientBuffers,
        to_input: bool,
        gradients: Gradients,
        workspace: &mut Workspace,
    ) {
        match &mut self.kind {
            OperationKind::Dense(dense) => {
                dense.backward(input, &self.output, buffers, to_input, gradients, workspace);
            }
            OperationKind::Activation(activation) => {
                let before = needs_pre_activation(*activation);
                let values = if before { input } else { &self.output };
                multiply_by_derivative(*activation, &mut buffers.gradient, values);
            }
            OperationKind::Dropout { mask, .. } => {
                for (gradient, factor) in buffers.gradient.iter_mut().zip(mask) {
                    *gradient *= *factor;
                }
            }
        }
    }
}

impl Dense {
    fn bias(&self) -> &[f32] {
        self.bias.as_ref().map_or(&[], |bias| &bias.values)
    }

    fn weights(&self) -> Matrix<'_> {
        Matrix::new(&self.weight.values, self.units, self.inputs)
    }

    /// The input as `[inputs, n]`.
    fn matrix<'a>(&self, input: &'a [f32]) -> Matrix<'a> {
        let count = input.len() / self.inputs;
        if self.batch_major {
            Matrix::new(input, count, self.inputs).transposed()
        } else {
            Matrix::new(input, self.inputs, count)
        }
    }

    /// W·x
    fn product(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        // The product overwrites every element, so the value of new ones does not matter.
        output.resize(input.len() / self.inputs * self.units, 0.0);
        multiply_into(output, Blend::Replace, self.weights(), self.matrix(input), workspace);
    }

    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        self.product(input, output, workspace);
        if !needs_pre_activation(self.activation) {
            // One pass for bias and activation saves reading the output twice.
            activate(self.activation, output, self.bias());
            return;
        }
        // Keep W·x + b before the activation overwrites it.
        activate(Activation::Linear, output, self.bias());
        copy(output, &mut self.pre_activation);
        activate(self.activation, output, &[]);
    }

    fn backward(
        &mut self,
        input: &[f32],
        output: &[f32],
        buffers: &mut GradientBuffers,
        to_input: bool,
        gradients: Gradients,
        workspace: &mut Workspace,
    ) {
        let before = needs_pre_activation(self.activation);
        let values = if before { &self.pre_activation } else { output };
        // From the gradient of the output to that of W·x + b, which all three gradients below need.
        multiply_by_derivative(self.activation, &mut buffers.gradient, values);

        let GradientBuffers { gradient, next, ones } = buffers;
        let count = input.len() / self.inputs;
        let slope = Matrix::new(gradient, self.units, count);
        if to_input {
            // Computed before the update below changes the weights of the forward pass.
            next.resize(input.len(), 0.0);
            multiply_into(next, Blend::Replace, self.weights().transposed(), slope, workspace);
        }
        let input = self.matrix(input).transposed();
        if self.weight.settings.trainable {
            let (out, blend) = gradients.destination(&mut self.weight);
            multiply_into(out, blend, slope, input, workspace);
        }
        if let Some(bias) = self.bias.as_mut().filter(|bias| bias.settings.trainable) {
            // The gradient of the bias is the sum over the batch.
            ones.resize(count, 1.0);
            let (out, blend) = gradients.destination(bias);
            multiply_into(out, blend, slope, Matrix::new(ones, count, 1), workspace);
        }
        if to_input {
            // The gradient of this input is that of the previous operation's output.
            std::mem::swap(gradient, next);
        }
    }
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

fn copy(values: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(values);
}
