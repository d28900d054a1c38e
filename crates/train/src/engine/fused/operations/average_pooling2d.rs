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

impl AveragePooling {
    /// Of the input and the output.
    fn blocks(&self) -> (Blocks, Blocks) {
        let Self(pooling) = self;
        (Blocks::of_plane(pooling.input), Blocks::of_plane(pooling.output_plane()))
    }
}

impl Operation for AveragePooling {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        let (from, to) = self.blocks();
        // Every element is overwritten.
        output.resize(to.width * from.count(input), 0.0);
        for (input, output) in from.split(input).zip(to.split_mut(output)) {
            self.0.average(input, from.count(input), output, workspace);
        }
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next } = buffers;
        next.resize(pass.input.len());
        let (from, to) = self.blocks();
        for (gradient, next) in to.split(gradient).zip(from.split_mut(next)) {
            self.0.average_gradient(gradient, to.count(gradient), next, workspace);
        }
        std::mem::swap(gradient, next);
    }
}
