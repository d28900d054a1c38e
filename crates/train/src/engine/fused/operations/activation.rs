use kiln_kernels::Workspace;
use kiln_model::{Activation, PlannedLayer};

use super::super::activation::{activate, multiply_by_derivative, needs_pre_activation};
use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext, copy};

/// Adds an activation function. It does not depend on the order of the values.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    if !builder.fuse_activation(layer.activation) {
        builder.push(ActivationFunction(layer.activation));
    }
}

struct ActivationFunction(Activation);

impl Operation for ActivationFunction {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        copy(input, output);
        activate(self.0, output, &[], workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let before = needs_pre_activation(self.0);
        let values = if before { pass.input } else { pass.output };
        multiply_by_derivative(self.0, &mut buffers.gradient, values, workspace);
    }
}
