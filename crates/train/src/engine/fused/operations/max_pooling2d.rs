use kiln_kernels::{Pooling, Workspace};
use kiln_model::{LayerType, PlannedLayer};

use super::{
    BackwardPass, Blocks, Buffer, Builder, GradientBuffers, Operation, StepContext, padding, plane,
};

/// Adds the maximum of each window.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    if let Some(pooling) = pooling(layer) {
        builder.feature_major(layer.input);
        if !builder.fuse_max_pooling(pooling) {
            builder.push(MaxPooling::new(pooling));
        }
    }
}

/// Whether the windows are small enough for the kernel.
pub(super) fn is_supported(layer: &PlannedLayer) -> bool {
    pooling(layer).is_some_and(|pooling| pooling.has_small_windows())
}

fn pooling(layer: &PlannedLayer) -> Option<Pooling> {
    let LayerType::MaxPooling2d(config) = &layer.kind else { return None };
    let window = config.window.window();
    Some(Pooling {
        input: plane(layer.input),
        window: window.size.as_array(),
        stride: window.strides.as_array(),
        padding: padding(window, layer.input),
    })
}

pub(super) struct MaxPooling {
    pooling: Pooling,
    /// The place of each maximum in its window.
    indices: Vec<u16>,
}

impl MaxPooling {
    pub(super) const fn new(pooling: Pooling) -> Self {
        Self { pooling, indices: Vec::new() }
    }
}

/// Writes the maxima and their places.
fn pool(
    pooling: &Pooling,
    input: &[f32],
    output: &mut Vec<f32>,
    indices: &mut Vec<u16>,
    workspace: &mut Workspace,
) {
    let (from, to) = Blocks::of_pooling(pooling);
    let size = to.width * from.count(input);
    // Every element is overwritten.
    output.resize(size, 0.0);
    indices.resize(size, 0);
    to.for_each_pair(output, indices, to.len(), workspace, |block, output, indices, workspace| {
        let input = from.block(input, block);
        pooling.max(input, from.count(input), output, indices, workspace);
    });
}

/// Writes the gradient of the input to `next`.
pub(super) fn max_gradient(
    pooling: &Pooling,
    indices: &[u16],
    gradient: &[f32],
    next: &mut Buffer,
    workspace: &mut Workspace,
) {
    let (from, to) = Blocks::of_pooling(pooling);
    next.resize(from.width * to.count(gradient));
    from.for_each(next, workspace, |block, next, workspace| {
        let (gradient, indices) = (to.block(gradient, block), to.block(indices, block));
        pooling.max_gradient(gradient, indices, to.count(gradient), next, workspace);
    });
}

impl Operation for MaxPooling {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        pool(&self.pooling, input, output, &mut self.indices, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        pool(&self.pooling, input, output, &mut Vec::new(), workspace);
    }

    fn backward(
        &mut self,
        _: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next, .. } = buffers;
        max_gradient(&self.pooling, &self.indices, gradient, next, workspace);
        std::mem::swap(gradient, next);
    }
}
