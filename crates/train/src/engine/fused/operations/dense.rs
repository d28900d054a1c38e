use kiln_kernels::{Blend, Matrix, Workspace, multiply_into, row_sums};
use kiln_model::{Activation, PlannedLayer};

use super::super::activation::{activate, activate_and_save, multiply_by_derivative, saves_values};
use super::super::update::Parameter;
use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext};

/// Adds a dense layer. It reads values in either order.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let (inputs, units) = (layer.input.len(), layer.output.len());
    let mut parameters = builder.parameters(layer).into_iter();
    let Some(weight) = parameters.next() else { return };
    let bias = parameters.next();
    let batch_major = std::mem::take(&mut builder.batch_major);
    let (activation, saved) = (layer.activation, Vec::new());
    builder.push(Dense { weight, bias, inputs, units, batch_major, activation, saved });
}

/// activation(W·x + b)
struct Dense {
    /// `[units, inputs]`; the weights file has the transpose.
    weight: Parameter,
    /// `[units]`.
    bias: Option<Parameter>,
    inputs: usize,
    units: usize,
    /// Whether the input is `[n, inputs]` instead of `[inputs, n]`.
    batch_major: bool,
    activation: Activation,
    /// What the derivative of the activation needs, if it is not the output.
    saved: Vec<f32>,
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
}

impl Operation for Dense {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.product(input, output, context.workspace);
        // One pass for bias and activation saves reading the output twice.
        if saves_values(self.activation) {
            let bias = self.bias.as_ref().map_or(&[][..], |bias| &bias.values);
            activate_and_save(self.activation, output, bias, &mut self.saved, context.workspace);
        } else {
            activate(self.activation, output, self.bias(), context.workspace);
        }
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        self.product(input, output, workspace);
        activate(self.activation, output, self.bias(), workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, output, to_input, gradients } = pass;
        let values = if saves_values(self.activation) { &self.saved } else { output };
        // From the gradient of the output to that of W·x + b, which all three gradients below need.
        multiply_by_derivative(self.activation, &mut buffers.gradient, values, workspace);

        let GradientBuffers { gradient, next, .. } = buffers;
        let count = input.len() / self.inputs;
        let slope = Matrix::new(gradient, self.units, count);
        if to_input {
            // Computed before the update below changes the weights of the forward pass.
            next.resize(input.len());
            multiply_into(next, Blend::Replace, self.weights().transposed(), slope, workspace);
        }
        let input = self.matrix(input).transposed();
        if let Some((out, blend)) = gradients.destination(&mut self.weight) {
            multiply_into(out, blend, slope, input, workspace);
        }
        if let Some((out, blend)) = self.bias.as_mut().and_then(|bias| gradients.destination(bias))
        {
            // The gradient of the bias is the sum over the batch.
            row_sums(gradient, count, out, blend, workspace);
        }
        if to_input {
            // The gradient of this input is that of the previous operation's output.
            std::mem::swap(gradient, next);
        }
    }

    fn fuse_activation(&mut self, activation: Activation) -> bool {
        let can_fuse = self.activation == Activation::Linear;
        if can_fuse {
            self.activation = activation;
        }
        can_fuse
    }

    fn parameters(&self) -> Vec<&Parameter> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        std::iter::once(&mut self.weight).chain(&mut self.bias).collect()
    }
}
