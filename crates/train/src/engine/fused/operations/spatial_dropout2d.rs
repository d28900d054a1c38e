use kiln_kernels::{Workspace, transpose};
use kiln_model::layers::dropout::draw_mask;
use kiln_model::{LayerType, PlannedLayer};

use super::{BackwardPass, Builder, GradientBuffers, Operation, StepContext, copy, plane};

/// Adds dropout of channels.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::SpatialDropout2d(dropout) = &layer.kind else { return };
    builder.feature_major(layer.input.len());
    let plane = plane(layer.input);
    let (channels, positions) = (plane.channels, plane.height * plane.width);
    let (drawn, mask) = (Vec::new(), Vec::new());
    builder.push(SpatialDropout { rate: dropout.rate, channels, positions, drawn, mask });
}

struct SpatialDropout {
    /// Above 0.
    rate: f64,
    channels: usize,
    /// Pixels of a channel.
    positions: usize,
    /// `[n, channels]`: the factors of the last forward pass in the order in which they were drawn.
    drawn: Vec<f32>,
    /// `[channels, n]`: the same factors.
    mask: Vec<f32>,
}

impl SpatialDropout {
    /// Multiplies each value by the factor of its channel and image.
    fn multiply(&self, values: &mut [f32]) {
        let n = self.mask.len() / self.channels;
        let channels = values.chunks_exact_mut(self.positions * n).zip(self.mask.chunks_exact(n));
        for (channel, mask) in channels {
            for values in channel.chunks_exact_mut(n) {
                values.iter_mut().zip(mask).for_each(|(value, factor)| *value *= factor);
            }
        }
    }
}

impl Operation for SpatialDropout {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        let n = input.len() / (self.channels * self.positions);
        // Drawn image by image, as in the generic engine.
        self.drawn.resize(n * self.channels, 0.0);
        draw_mask(self.rate, &mut self.drawn, context.dropout_rng);
        transpose(&self.drawn, n, self.channels, &mut self.mask);
        copy(input, output);
        self.multiply(output);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, _: &mut Workspace) {
        copy(input, output);
    }

    fn backward(&mut self, _: BackwardPass<'_>, buffers: &mut GradientBuffers, _: &mut Workspace) {
        self.multiply(&mut buffers.gradient);
    }
}
