use kiln_kernels::{Workspace, add_into, mask_and_copy};
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

impl Residual {
    /// Writes the sums of the branches. ReLU is applied in the same pass.
    fn sum(
        &self,
        values: &[f32],
        shortcut: &[f32],
        sums: &mut Vec<f32>,
        workspace: &mut Workspace,
    ) {
        // Every element is overwritten.
        sums.resize(values.len(), 0.0);
        let relu = self.activation == Activation::Relu;
        kiln_kernels::add(values, shortcut, relu, sums, workspace);
    }

    /// Applies the activation, except ReLU, which the addition has already applied.
    fn activate(&self, sums: &mut [f32], workspace: &mut Workspace) {
        if self.activation != Activation::Relu {
            activate(self.activation, sums, &[], workspace);
        }
    }
}

impl Operation for Residual {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        let in_place = self.layers.forward_to(input, output, context);
        if !in_place {
            self.layers.forward(input, context);
        }
        self.shortcut.forward(input, context);
        let shortcut = self.shortcut.output(input);
        if in_place {
            let relu = self.activation == Activation::Relu;
            add_into(output, shortcut, relu, context.workspace);
        } else {
            self.sum(self.layers.output(input), shortcut, output, context.workspace);
        }
        if needs_pre_activation(self.activation) {
            copy(output, &mut self.pre_activation);
        }
        self.activate(output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        let layers = self.layers.infer(input, workspace);
        let shortcut = self.shortcut.infer(input, workspace);
        self.sum(&layers, &shortcut, output, workspace);
        self.activate(output, workspace);
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
        let gradient = &mut buffers.gradient;
        if self.activation == Activation::Relu {
            let copy = &mut self.buffers.gradient;
            copy.resize(gradient.len());
            mask_and_copy(gradient, output, copy, workspace);
        } else {
            multiply_by_derivative(self.activation, gradient, values, workspace);
            self.buffers.gradient.resize(gradient.len());
            self.buffers.gradient.copy_from_slice(gradient);
        }
        self.layers.backward(input, to_input, gradients, buffers, workspace);
        self.shortcut.backward(input, to_input, gradients, &mut self.buffers, workspace);
        if to_input {
            add_into(&mut buffers.gradient, &self.buffers.gradient, false, workspace);
        }
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.layers.parameters().chain(self.shortcut.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.layers.parameters_mut().chain(self.shortcut.parameters_mut()).collect()
    }
}
