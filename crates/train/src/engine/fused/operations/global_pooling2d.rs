use kiln_kernels::{Plane, Workspace, global_average, global_average_gradient, global_max};
use kiln_model::{LayerType, PlannedLayer};

use super::max_pooling2d::MaxPooling;
use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext, plane};

/// Adds the mean or the maximum of each channel.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let input = plane(layer.input);
    builder.feature_major(layer.input.len());
    match &layer.kind {
        LayerType::GlobalMaxPooling2d(_) => builder.push(MaxPooling::new(global_max(input))),
        _ => builder.push(GlobalAverage(input)),
    }
}

struct GlobalAverage(Plane);

impl GlobalAverage {
    const fn positions(&self) -> usize {
        self.0.height * self.0.width
    }
}

impl Operation for GlobalAverage {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        // Every element is overwritten.
        output.resize(input.len() / self.positions(), 0.0);
        let n = input.len() / self.0.len();
        global_average(input, self.positions(), n, output, workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next } = buffers;
        next.resize(pass.input.len(), 0.0);
        let n = pass.input.len() / self.0.len();
        global_average_gradient(gradient, self.positions(), n, next, workspace);
        std::mem::swap(gradient, next);
    }
}
