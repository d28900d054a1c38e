use kiln_kernels::{Pooling, Workspace};
use kiln_model::{LayerType, PlannedLayer};

use super::{
    BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, padding, plane,
};

/// Adds the mean of each window.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::AveragePooling2d(config) = &layer.kind else { return };
    let window = config.window.window();
    builder.feature_major(layer.input);
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
        let (from, to) = Blocks::of_pooling(&self.0);
        // Every element is overwritten.
        output.resize(to.width * from.count(input), 0.0);
        to.for_each(output, workspace, |block, output, workspace| {
            self.0.average(from.block(input, block), to.count(output), output, workspace);
        });
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next, .. } = buffers;
        next.resize(pass.input.len());
        let (from, to) = Blocks::of_pooling(&self.0);
        from.for_each(next, workspace, |block, next, workspace| {
            let n = from.count(next);
            self.0.average_gradient(to.block(gradient, block), n, next, workspace);
        });
        std::mem::swap(gradient, next);
    }
}
