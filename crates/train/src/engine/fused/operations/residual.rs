use kiln_kernels::{Workspace, add_into};
use kiln_model::{Activation, PlannedLayer};

use super::super::activation::{activate, activate_and_save, multiply_by_derivative, saves_values};
use super::super::update::Parameter;
use super::{BackwardPass, Builder, GradientBuffers, Operation, Sequence, StepContext};

/// Adds a residual connection.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    builder.feature_major(layer.input);
    // The weights file has the branches in this order.
    let mut branches = layer.branches.iter().map(|branch| builder.sequence(&branch.layers));
    if let (Some(layers), Some(shortcut)) = (branches.next(), branches.next()) {
        let (saved, buffers) = (Vec::new(), GradientBuffers::default());
        let activation = layer.activation;
        builder.push(Residual { layers, shortcut, activation, saved, buffers });
    }
}

/// activation(layers(x) + shortcut(x))
struct Residual {
    layers: Sequence,
    shortcut: Sequence,
    activation: Activation,
    /// What the derivative of the activation needs, if it is not the output.
    saved: Vec<f32>,
    /// For the backward pass of the layers.
    buffers: GradientBuffers,
}

impl Residual {
    /// Applies the activation, except ReLU, which the sum already contains.
    fn activate(&self, sums: &mut [f32], workspace: &mut Workspace) {
        if self.activation != Activation::Relu {
            activate(self.activation, sums, &[], workspace);
        }
    }
}

impl Operation for Residual {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        let relu = self.activation == Activation::Relu;
        self.layers.forward_sum(input, &mut self.shortcut, relu, output, context);
        if saves_values(self.activation) {
            activate_and_save(self.activation, output, &[], &mut self.saved, context.workspace);
        } else {
            self.activate(output, context.workspace);
        }
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        *output = self.layers.infer(input, workspace);
        let shortcut = self.shortcut.infer(input, workspace);
        add_into(output, &shortcut, self.activation == Activation::Relu, workspace);
        self.activate(output, workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let relu = self.activation == Activation::Relu;
        if !relu {
            let values = if saves_values(self.activation) { &self.saved } else { pass.output };
            multiply_by_derivative(self.activation, &mut buffers.gradient, values, workspace);
        }
        let own = &mut self.buffers;
        self.layers.backward_sum(pass, &mut self.shortcut, relu, buffers, own, workspace);
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.layers.parameters().chain(self.shortcut.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.layers.parameters_mut().chain(self.shortcut.parameters_mut()).collect()
    }
}
