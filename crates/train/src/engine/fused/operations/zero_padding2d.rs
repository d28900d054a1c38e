use kiln_kernels::{Plane, Workspace};
use kiln_model::{LayerType, PlannedLayer};

use super::{BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, plane};

/// Adds rows and columns of zeros.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::ZeroPadding2d(config) = &layer.kind else { return };
    builder.feature_major(layer.input);
    let (top, left) = (config.padding.rows.0, config.padding.columns.0);
    let (input, output) = (plane(layer.input), plane(layer.output));
    builder.push(ZeroPadding { input, output, top, left });
}

struct ZeroPadding {
    input: Plane,
    output: Plane,
    top: usize,
    left: usize,
}

impl ZeroPadding {
    /// For each row of the input, its start there and in the output, in pixels of one image.
    fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        let Self { input, output, top, left } = *self;
        (0..input.channels * input.height).map(move |row| {
            let (channel, y) = (row / input.height, row % input.height);
            (row * input.width, (channel * output.height + top + y) * output.width + left)
        })
    }
}

impl Operation for ZeroPadding {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, _: &mut Workspace) {
        let blocks = Blocks::of_plane(self.input);
        output.clear();
        output.resize(self.output.len() * blocks.count(input), 0.0);
        let outputs = Blocks::of_plane(self.output).split_mut(output);
        for (input, output) in blocks.split(input).zip(outputs) {
            let n = blocks.count(input);
            let length = self.input.width * n;
            for (from, to) in self.rows() {
                output[to * n..][..length].copy_from_slice(&input[from * n..][..length]);
            }
        }
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        _: &mut Workspace,
    ) {
        let GradientBuffers { gradient, next, .. } = buffers;
        next.resize(pass.input.len());
        let blocks = Blocks::of_plane(self.input);
        let gradients = Blocks::of_plane(self.output).split(gradient);
        for (gradient, next) in gradients.zip(blocks.split_mut(next)) {
            let n = blocks.count(next);
            let length = self.input.width * n;
            for (to, from) in self.rows() {
                next[to * n..][..length].copy_from_slice(&gradient[from * n..][..length]);
            }
        }
        std::mem::swap(gradient, next);
    }
}
