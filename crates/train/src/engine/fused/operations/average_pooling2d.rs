use kiln_kernels::{Pooling, Workspace};
use kiln_model::{LayerType, PlannedLayer};

use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext, padding, plane};

/// Adds the mean of each window.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::AveragePooling2d(config) = &layer.kind else { return };
    let window = config.window.window();
    builder.feature_major(layer.input.len());
    builder.push(AveragePooling(Pooling {
        input: plane(layer.input),
        window: window.size.as_array(),
        stride: window.strides.as_array(),
        padding: padding(window, layer.input),
    }));
}

struct AveragePooling(Pooling);

impl Operation for AveragePooling {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        let n = input.len() / self.0.input.len();
        // Every element is overwritten.
        output.resize(self.0.output_plane().len() * n, 0.0);
        self.0.average(input, n, output, workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next } = buffers;
        next.resize(pass.input.len(), 0.0);
        self.0.average_gradient(gradient, pass.input.len() / self.0.input.len(), next, workspace);
        std::mem::swap(gradient, next);
    }
}
