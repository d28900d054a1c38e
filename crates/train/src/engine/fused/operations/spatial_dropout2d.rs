use kiln_kernels::{Plane, Workspace};
use kiln_model::layers::dropout::draw_mask;
use kiln_model::{LayerType, PlannedLayer};

use super::{BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, copy, plane};

/// Adds dropout of channels.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::SpatialDropout2d(dropout) = &layer.kind else { return };
    builder.feature_major(layer.input);
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
    /// The same factors in the layout of the images.
    mask: Vec<f32>,
}

impl SpatialDropout {
    /// The layout of the mask.
    const fn mask_blocks(&self) -> Blocks {
        Blocks::of_plane(Plane { channels: self.channels, height: 1, width: 1 })
    }

    /// Multiplies each value by the factor of its channel and image.
    fn multiply(&self, values: &mut [f32]) {
        let masks = self.mask_blocks();
        let blocks = masks.with_width(self.channels * self.positions);
        for (values, mask) in blocks.split_mut(values).zip(masks.split(&self.mask)) {
            let n = masks.count(mask);
            let channels = values.chunks_exact_mut(self.positions * n).zip(mask.chunks_exact(n));
            for (channel, mask) in channels {
                for values in channel.chunks_exact_mut(n) {
                    values.iter_mut().zip(mask).for_each(|(value, factor)| *value *= factor);
                }
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
        self.mask_blocks().arrange(&self.drawn, &mut self.mask);
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
