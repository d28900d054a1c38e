//! The gradient of the weights by minimal filtering, F(3 × 3, 4 × 4): Gᵀ (Σ (A dy Aᵀ) ⊙ (Bᵀ d B)) G, summed over tiles and
//! images, for the same tiles as in the forward pass.
//!
//! The filters are always in the lanes of the registers, and the values of the input are broadcast in place. The direct form
//! chooses between filters and input channels.
//!
//! One row of the 6 × 6 positions is computed at a time, so only a sixth of the sums has to be in the caches. Threads compute
//! different rows. Each sum is added in the order of blocks of images, rows of tiles and chunks, and within a chunk in the
//! order of tiles and images.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::gradient_kernels::{
    ColumnTransform, GRADIENT_ROWS, GradientColumnTransform, GradientProduct, GradientRowTransform,
    RowTransform, columns, transform_kernel_gradient,
};
use super::{BLOCK, CHUNK, Chunk, Chunks, OUTPUTS, POSITIONS, SPAN};
use crate::convolution::Convolution;
use crate::moments::LANES;
use crate::tile::{compute_tile, max_rows, tiles};
use crate::weight_gradient::{PanelLayout, transpose_row};
use crate::workspace::{ConvolutionBuffers, aligned, none, spread};
use crate::{Blend, Workspace};

/// See [`Convolution::weight_gradient`].
pub(crate) fn weight_gradient(
    convolution: &Convolution,
    x: &[f32],
    gradient: &[f32],
    n: usize,
    out: &mut [f32],
    blend: Blend,
    workspace: &mut Workspace,
) {
    let instructions = workspace.instructions;
    let channels = convolution.input.channels;
    let PanelLayout { count, width } = instructions.dispatch(CountPanels(convolution.filters));
    let mut buffer = std::mem::take(&mut workspace.panels);
    // `[position][panel][channel][lane]`
    let sums = aligned(&mut buffer, POSITIONS * spread(count * channels * width));
    sums.fill(0.0);
    // One part per thread, because each part repeats the transforms of the rows.
    let parts = workspace.parts(convolution.products(n));
    workspace.split(parts, SPAN, sums, none(), |rows, sums, _, buffers| {
        instructions.dispatch(SumTiles { convolution, x, gradient, n, rows, sums, buffers });
    });
    instructions.dispatch(Finish { convolution, sums, out, blend });
    workspace.panels = buffer;
}

/// The panels of the registers that are used.
struct CountPanels(usize);

impl WithSimd for CountPanels {
    type Output = PanelLayout;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> PanelLayout {
        PanelLayout::new::<S>(self.0)
    }
}

/// The sums over all tiles, for some rows of positions.
struct SumTiles<'a> {
    convolution: &'a Convolution,
    x: &'a [f32],
    gradient: &'a [f32],
    n: usize,
    rows: Range<usize>,
    /// `[position][panel][channel][lane]`, of these rows.
    sums: &'a mut [f32],
    buffers: &'a mut ConvolutionBuffers,
}

impl WithSimd for SumTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { convolution, x, gradient, n, rows, sums, buffers } = self;
        let (from, to) = (convolution.input, convolution.output_plane());
        let before = convolution.axes().map(|axis| axis.before);
        let (depth, highest) = (from.channels, max_rows::<S>());
        let panels = PanelLayout::new::<S>(to.channels);
        // The values of a tile in the buffers below. Tiles share two columns, so two tiles need five columns each.
        let tile_values =
            (SPAN * (OUTPUTS + 1) + SPAN) * from.channels + (SPAN * OUTPUTS + SPAN) * to.channels;
        let chunks = Chunks::new(to, n, CHUNK / (tile_values * BLOCK));
        // The same for all registers, because the zeros that fill a register are summed, too.
        let padded = |images: usize| images.next_multiple_of(LANES);
        let max_depth = chunks.tiles * padded(BLOCK.min(n));

        let ConvolutionBuffers {
            rows: values,
            gradient_panels: panel_values,
            weights: lines,
            stage,
            ..
        } = buffers;
        let staged_stride = spread(depth * columns(chunks.tiles) * padded(BLOCK.min(n)));
        let staged = aligned(stage, SPAN * staged_stride);
        let stride = spread(depth * max_depth);
        let values = aligned(values, SPAN * stride);
        let panel_stride = spread(panels.count * panels.width * max_depth);
        let panel_values = aligned(panel_values, SPAN * panel_stride);
        let lines = aligned(lines, SPAN * OUTPUTS * panels.count * panels.width * max_depth);
        let position_sums = spread(panels.count * depth * panels.width);

        for index in 0..chunks.count() {
            let Chunk { images, y, x: first_column, count } = chunks.chunk(index);
            let padded = padded(images.len());
            let line_stride = OUTPUTS * count * images.len() * panels.width;
            let row_stride = panels.count * line_stride;
            for (row, place) in GRADIENT_ROWS.into_iter().enumerate() {
                let lines = &mut lines[place * row_stride..][..row_stride];
                // Outside the plane, the gradient is 0.
                let is_inside = y + row < to.height;
                let columns =
                    if is_inside { (OUTPUTS * count).min(to.width - first_column) } else { 0 };
                if is_inside {
                    transpose_row(
                        &gradient[((y + row) * to.width + first_column) * n + images.start..],
                        to.height * to.width * n,
                        to.channels,
                        columns,
                        n,
                        images.len(),
                        panels,
                        line_stride,
                        lines,
                    );
                }
                for line in lines.chunks_exact_mut(line_stride) {
                    line[columns * images.len() * panels.width..].fill(0.0);
                }
            }
            let lines = &mut lines[..SPAN * row_stride];
            simd.vectorize(GradientRowTransform { values: lines, stride: row_stride });
            simd.vectorize(RowTransform {
                source: x,
                plane: from,
                n,
                images: images.clone(),
                y: y.wrapping_sub(before[0]),
                x: first_column.wrapping_sub(before[1]),
                count,
                to: staged,
                padded,
                stride: staged_stride,
            });
            let depth_of_sums = count * padded;
            for row in rows.clone() {
                simd.vectorize(ColumnTransform {
                    source: &staged[row * staged_stride..],
                    channels: depth,
                    count,
                    padded,
                    to: values,
                    stride,
                });
                simd.vectorize(GradientColumnTransform {
                    source: &lines[row * row_stride..][..row_stride],
                    panels: panels.count,
                    count,
                    images: images.len(),
                    width: panels.width,
                    to: panel_values,
                    padded,
                    stride: panel_stride,
                });
                for column in 0..SPAN {
                    let position = SPAN * (row - rows.start) + column;
                    let sums = &mut sums[position * position_sums..][..position_sums];
                    let values = &values[column * stride..][..depth * depth_of_sums];
                    let panel_values = &panel_values[column * panel_stride..];
                    for panel in 0..panels.count {
                        let sums = &mut sums[panel * depth * panels.width..];
                        let size = depth_of_sums * panels.width;
                        let panel = &panel_values[panel * size..][..size];
                        for (first, height) in tiles(depth, highest) {
                            let product = GradientProduct {
                                values: &values[first * depth_of_sums..],
                                panel,
                                depth: depth_of_sums,
                                width: panels.width,
                                sums: &mut sums[first * panels.width..],
                            };
                            compute_tile(simd, height, product);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the sums to the gradients of the weights.
struct Finish<'a> {
    convolution: &'a Convolution,
    /// `[position][panel][channel][lane]`
    sums: &'a [f32],
    /// In the order of the weights.
    out: &'a mut [f32],
    blend: Blend,
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { convolution, sums, out, blend } = self;
        let (channels, filters) = (convolution.input.channels, convolution.filters);
        let PanelLayout { count, width } = PanelLayout::new::<S>(filters);
        let position_sums = spread(count * channels * width);
        let registers = S::as_simd_f32s(sums).0;
        for panel in 0..count {
            for channel in 0..channels {
                for first in (0..width).step_by(S::F32_LANES) {
                    let place = (panel * channels + channel) * width + first;
                    let mut positions = [simd.splat_f32s(0.0); POSITIONS];
                    for (position, value) in positions.iter_mut().enumerate() {
                        *value = registers[(position * position_sums + place) / S::F32_LANES];
                    }
                    let taps = transform_kernel_gradient(simd, positions);
                    let mut lanes = [[0.0; LANES]; 9];
                    for (lanes, tap) in lanes.iter_mut().zip(taps) {
                        S::as_mut_simd_f32s(lanes).0[0] = tap;
                    }
                    let first_filter = panel * width + first;
                    let last_filter = filters.min(first_filter + S::F32_LANES);
                    for filter in first_filter..last_filter {
                        let kernel = filter * channels + channel;
                        let lane = filter - first_filter;
                        for (out, lanes) in out[9 * kernel..][..9].iter_mut().zip(&lanes) {
                            *out = blend.apply(*out, lanes[lane]);
                        }
                    }
                }
            }
        }
    }
}
