use kiln_kernels::Workspace;
use kiln_model::{Activation, PlannedLayer};

use super::super::activation::{activate, multiply_by_derivative, needs_pre_activation};
use super::super::update::Parameter;
use super::{BackwardPass, Builder, GradientBuffers, Operation, Sequence, StepContext, copy};

/// Adds a residual connection.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    builder.feature_major(layer.input);
    // The weights file has the branches in this order.
    let mut branches = layer.branches.iter().map(|branch| builder.sequence(&branch.layers));
    if let (Some(layers), Some(shortcut)) = (branches.next(), branches.next()) {
        let (pre_activation, buffers) = (Vec::new(), GradientBuffers::default());
        let activation = layer.activation;
        builder.push(Residual { layers, shortcut, activation, pre_activation, buffers });
    }
}

/// activation(layers(x) + shortcut(x))
struct Residual {
    layers: Sequence,
    shortcut: Sequence,
    activation: Activation,
    /// The sum, if the derivative of the activation needs it.
    pre_activation: Vec<f32>,
    /// For the backward pass of the shortcut.
    buffers: GradientBuffers,
}

impl Operation for Residual {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.layers.forward(input, context);
        self.shortcut.forward(input, context);
        sum(self.layers.output(input), self.shortcut.output(input), output);
        if needs_pre_activation(self.activation) {
            copy(output, &mut self.pre_activation);
        }
        activate(self.activation, output, &[], context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        let layers = self.layers.infer(input, workspace);
        sum(&layers, &self.shortcut.infer(input, workspace), output);
        activate(self.activation, output, &[], workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, output, to_input, gradients } = pass;
        let before = needs_pre_activation(self.activation);
        let values = if before { &self.pre_activation } else { output };
        multiply_by_derivative(self.activation, &mut buffers.gradient, values, workspace);
        copy(&buffers.gradient, &mut self.buffers.gradient);
        self.layers.backward(input, to_input, gradients, buffers, workspace);
        self.shortcut.backward(input, to_input, gradients, &mut self.buffers, workspace);
        if to_input {
            let gradient = buffers.gradient.iter_mut().zip(&self.buffers.gradient);
            gradient.for_each(|(gradient, other)| *gradient += other);
        }
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.layers.parameters().chain(self.shortcut.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.layers.parameters_mut().chain(self.shortcut.parameters_mut()).collect()
    }
}

/// Writes the sums of the values to `sums`.
fn sum(values: &[f32], others: &[f32], sums: &mut Vec<f32>) {
    sums.clear();
    sums.extend(values.iter().zip(others).map(|(value, other)| value + other));
}
