//! What is computed between two batches of features, forwards and backwards.
//!
//! Features are `[width, n]`: the values of one feature over the batch lie side by side. Batch sizes
//! are mostly multiples of a vector register's values and widths are not, and so the way forth and the
//! gradients of the inputs multiply factors as they lie. Only the pixels come the other way, image after image; what
//! stands before the first dense layer leaves them so, and its product reads them transposed.

use kiln_model::Activation;
use kiln_model::layers::dropout::draw_mask;
use rand_chacha::ChaCha8Rng;

use super::activation::{activate, multiply_by_derivative, needs_pre_activation};
use super::product::{Blend, Matrix, Workspace, multiply_into, transpose};
use super::update::Parameter;

/// One operation and, from a training step's way forth to its way back, what it gave.
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    /// `[width, n]`, or before the first dense layer `[n, width]`.
    pub(super) output: Vec<f32>,
}

pub(super) enum OperationKind {
    Dense(Box<Dense>),
    Activation(Activation),
    Dropout {
        rate: f64,
        /// How many values a sample has.
        width: usize,
        batch_major: bool,
        /// What each value was multiplied by.
        mask: Vec<f32>,
    },
}

/// activation(W·x + b)
pub(super) struct Dense {
    /// `[units, inputs]`, transposed from what the weights file holds.
    pub(super) weight: Parameter,
    /// `[units]`; no values where there is no bias.
    pub(super) bias: Option<Parameter>,
    pub(super) inputs: usize,
    pub(super) units: usize,
    /// Whether the input is the pixels, image after image.
    pub(super) batch_major: bool,
    pub(super) activation: Activation,
    /// W·x + b, where the activation's derivative needs it.
    pub(super) pre_activation: Vec<f32>,
}

/// What becomes of the parameters' gradients on the way back.
#[derive(Clone, Copy)]
pub(super) enum Gradients {
    /// They are kept for the update.
    Kept,
    /// They are −η · gradient, and blended into the parameters at once.
    Folded(Blend),
}

/// The gradient on its way back through the operations, and room for the next.
#[derive(Default)]
pub(super) struct GradientBuffers {
    /// With respect to what stands between the operations behind and those still to come.
    pub(super) gradient: Vec<f32>,
    next: Vec<f32>,
    /// As many as images.
    ones: Vec<f32>,
}

impl Operation {
    pub(super) const fn new(kind: OperationKind) -> Self {
        Self { kind, output: Vec::new() }
    }

    /// Its parameters, in the order of the weights file.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &Parameter> + use<'_> {
        let parameters = match &self.kind {
            OperationKind::Dense(dense) => [Some(&dense.weight), dense.bias.as_ref()],
            _ => [None, None],
        };
        parameters.into_iter().flatten()
    }

    /// The same, to be changed.
    pub(super) fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> + use<'_> {
        let parameters = match &mut self.kind {
            OperationKind::Dense(dense) => [Some(&mut dense.weight), dense.bias.as_mut()],
            _ => [None, None],
        };
        parameters.into_iter().flatten()
    }

    /// Computes the output from the input and keeps what the way back needs.
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
                // Drawn image after image, whichever way the features lie.
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

    /// The output of the input as inference gives it: nothing is kept or dropped.
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

    /// Takes the gradient from behind the operation to before it, where `to_input` asks for that,
    /// and gives the parameters theirs. `input` is what [`forward`](Self::forward) got.
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
        output.resize(input.len() / self.inputs * self.units, 0.0);
        multiply_into(output, Blend::Replace, self.weights(), self.matrix(input), workspace);
    }

    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        self.product(input, output, workspace);
        if !needs_pre_activation(self.activation) {
            activate(self.activation, output, self.bias());
            return;
        }
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
        multiply_by_derivative(self.activation, &mut buffers.gradient, values);

        let GradientBuffers { gradient, next, ones } = buffers;
        let count = input.len() / self.inputs;
        let slope = Matrix::new(gradient, self.units, count);
        if to_input {
            // Before the update: it is the gradient at the weights of the way forth.
            next.resize(input.len(), 0.0);
            multiply_into(next, Blend::Replace, self.weights().transposed(), slope, workspace);
        }
        let input = self.matrix(input).transposed();
        let (place, blend) = gradients.of(&mut self.weight);
        multiply_into(place, blend, slope, input, workspace);
        if let Some(bias) = &mut self.bias {
            // The sum over the batch.
            ones.resize(count, 1.0);
            let (place, blend) = gradients.of(bias);
            multiply_into(place, blend, slope, Matrix::new(ones, count, 1), workspace);
        }
        if to_input {
            std::mem::swap(gradient, next);
        }
    }
}

impl Gradients {
    /// For w ← `keep` · w − η · gradient.
    #[expect(clippy::float_cmp, reason = "it is 1 where nothing decays")]
    pub(super) fn folded(keep: f32) -> Self {
        Self::Folded(if keep == 1.0 { Blend::Add } else { Blend::DecayAndAdd(keep) })
    }

    /// Where a parameter's gradient goes, and how.
    fn of(self, parameter: &mut Parameter) -> (&mut [f32], Blend) {
        match self {
            Self::Kept => (&mut parameter.gradient, Blend::Replace),
            Self::Folded(blend) => (&mut parameter.values, blend),
        }
    }
}

fn copy(values: &[f32], to: &mut Vec<f32>) {
    to.clear();
    to.extend_from_slice(values);
}
