use kiln_kernels::Workspace;
use kiln_model::layers::dropout::draw_mask;
use kiln_model::{LayerType, PlannedLayer};

use super::{BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, copy};

/// Adds dropout.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    if let LayerType::Dropout(dropout) = &layer.kind {
        let (blocks, batch_major) = (Blocks::of(layer.output), builder.batch_major);
        builder.push(Dropout { rate: dropout.rate, blocks, batch_major, mask: Vec::new() });
    }
}

struct Dropout {
    /// Above 0.
    rate: f64,
    blocks: Blocks,
    batch_major: bool,
    /// The factor of each value in the last forward pass.
    mask: Vec<f32>,
}

impl Operation for Dropout {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        let mask = &mut self.mask;
        // Always drawn image by image, so that the order of the features does not change the mask.
        mask.resize(input.len(), 0.0);
        draw_mask(self.rate, mask, context.dropout_rng);
        if !self.batch_major {
            self.blocks.arrange(&std::mem::take(mask), mask);
        }
        output.clear();
        output.extend(input.iter().zip(mask).map(|(value, factor)| value * *factor));
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, _: &mut Workspace) {
        copy(input, output);
    }

    fn backward(&mut self, _: BackwardPass<'_>, buffers: &mut GradientBuffers, _: &mut Workspace) {
        for (gradient, factor) in buffers.gradient.iter_mut().zip(&self.mask) {
            *gradient *= *factor;
        }
    }
}
