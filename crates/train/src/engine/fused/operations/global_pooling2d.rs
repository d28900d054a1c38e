use kiln_kernels::{Plane, Workspace, global_average, global_average_gradient, global_max};
use kiln_model::{LayerType, PlannedLayer};

use super::max_pooling2d::MaxPooling;
use super::{
    BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, blocks, plane,
};

/// Adds the mean or the maximum of each channel.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let input = plane(layer.input);
    builder.feature_major(layer.input);
    match &layer.kind {
        LayerType::GlobalMaxPooling2d(_) => builder.push(MaxPooling::new(global_max(input))),
        _ => builder.push(GlobalAverage(input)),
    }
    blocks::add(layer, builder);
}

/// Whether the image is small enough for the kernel of the maximum.
pub(super) fn is_supported(layer: &PlannedLayer) -> bool {
    global_max(plane(layer.input)).has_small_windows()
}

struct GlobalAverage(Plane);

impl GlobalAverage {
    const fn positions(&self) -> usize {
        self.0.height * self.0.width
    }

    /// Of the input and the output.
    const fn blocks(&self) -> (Blocks, Blocks) {
        let input = Blocks::of_plane(self.0);
        (input, input.with_width(self.0.channels))
    }
}

impl Operation for GlobalAverage {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        // Every element is overwritten.
        output.resize(input.len() / self.positions(), 0.0);
        let (from, to) = self.blocks();
        to.for_each(output, workspace, |block, output, workspace| {
            let (input, n) = (from.block(input, block), to.count(output));
            global_average(input, self.positions(), n, output, workspace);
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
        let (from, to) = self.blocks();
        from.for_each(next, workspace, |block, next, workspace| {
            let (gradient, n) = (to.block(gradient, block), from.count(next));
            global_average_gradient(gradient, self.positions(), n, next, workspace);
        });
        std::mem::swap(gradient, next);
    }
}
