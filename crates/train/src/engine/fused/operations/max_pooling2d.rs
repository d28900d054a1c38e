use kiln_kernels::{Pooling, Workspace};
use kiln_model::{LayerType, PlannedLayer};

use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext, padding, plane};

/// Adds the maximum of each window.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::MaxPooling2d(config) = &layer.kind else { return };
    let window = config.window.window();
    builder.feature_major(layer.input.len());
    builder.push(MaxPooling::new(Pooling {
        input: plane(layer.input),
        window: window.size.as_array(),
        stride: window.strides.as_array(),
        padding: padding(window, layer.input),
    }));
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
    let n = input.len() / pooling.input.len();
    let size = pooling.output_plane().len() * n;
    // Every element is overwritten.
    output.resize(size, 0.0);
    indices.resize(size, 0);
    pooling.max(input, n, output, indices, workspace);
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
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next } = buffers;
        next.resize(pass.input.len(), 0.0);
        let n = pass.input.len() / self.pooling.input.len();
        self.pooling.max_gradient(gradient, &self.indices, n, next, workspace);
        std::mem::swap(gradient, next);
    }
}
