use kiln_kernels::Workspace;
use kiln_model::{Activation, PlannedLayer};

use super::super::activation::{activate, activate_and_save, multiply_by_derivative, saves_values};
use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext, copy};

/// Adds an activation function. It does not depend on the order of the values.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    if !builder.fuse_activation(layer.activation) {
        builder.push(ActivationFunction { activation: layer.activation, saved: Vec::new() });
    }
}

struct ActivationFunction {
    activation: Activation,
    /// What the derivative needs, if it is not the output.
    saved: Vec<f32>,
}

impl Operation for ActivationFunction {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        if saves_values(self.activation) {
            copy(input, output);
            activate_and_save(self.activation, output, &[], &mut self.saved, context.workspace);
        } else {
            self.infer(input, output, context.workspace);
        }
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        copy(input, output);
        activate(self.activation, output, &[], workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let values = if saves_values(self.activation) { &self.saved } else { pass.output };
        multiply_by_derivative(self.activation, &mut buffers.gradient, values, workspace);
    }

    fn reads_output(&self) -> bool {
        !saves_values(self.activation)
    }
}
