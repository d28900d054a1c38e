//! The gradient of the weights of a convolution.
//!
//! The lanes of the registers are channels here: a row of one factor, the input or the gradient, is transposed to
//! `[panel][column][image][channel]`, and the values of the other one are broadcast without being moved before. Every weight
//! is then a sum in the order of rows, columns and images, without a sum over lanes, so it does not depend on the
//! width of the registers. With images in the lanes, twice as many bytes would have to come from the caches per
//! product.
//!
//! The factor whose channels fill the registers better is transposed: usually the input, but for the first layer, with
//! one or three channels, the gradient.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Blend;
use crate::convolution::Convolution;
use crate::correlation::{BLOCK, Source, list_columns};
use crate::moments::LANES;
use crate::tile::{MAX_ROWS, TileKernel, compute_tile, max_rows, sum_over_images, tiles};
use crate::workspace::{ConvolutionBuffers, aligned, spread};

/// See [`Convolution::weight_gradient`].
pub(crate) struct WeightGradient<'a> {
    pub(crate) convolution: &'a Convolution,
    pub(crate) x: &'a [f32],
    pub(crate) gradient: &'a [f32],
    pub(crate) n: usize,
    /// The filters to compute.
    pub(crate) targets: Range<usize>,
    /// Of these filters.
    pub(crate) out: &'a mut [f32],
    pub(crate) blend: Blend,
    pub(crate) buffers: &'a mut ConvolutionBuffers,
}

/// The values of transposed rows that stay in an L2 cache of 512 KiB, next to a panel of sums: 256 KiB.
const RESIDENT_ROWS: usize = 64 << 10;

/// The channels in the lanes of the registers, in panels of one or two registers.
#[derive(Clone, Copy)]
pub(crate) struct PanelLayout {
    pub(crate) count: usize,
    /// Lanes per panel.
    pub(crate) width: usize,
}

impl PanelLayout {
    pub(crate) fn new<S: Simd>(channels: usize) -> Self {
        let width = if channels <= S::F32_LANES { S::F32_LANES } else { 2 * S::F32_LANES };
        Self { count: channels.div_ceil(width), width }
    }
}

/// The lanes that carry a channel, of those in registers of 16.
fn utilization(channels: usize) -> f64 {
    channels as f64 / channels.next_multiple_of(LANES) as f64
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let convolution = self.convolution;
        let (channels, filters) = (convolution.group_channels(), convolution.group_filters());
        // Decided by the sizes alone, so that the order of the sums is the same for all instructions.
        if utilization(filters) > utilization(channels) {
            self.filters_in_lanes(simd);
        } else {
            self.channels_in_lanes(simd);
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    fn channels_in_lanes<S: Simd>(self, simd: S) {
        let Self { convolution, x, gradient, n, targets, out, blend, buffers } = self;
        let [rows, columns] = convolution.axes();
        let (channels, group_filters) = (convolution.group_channels(), convolution.group_filters());
        // The most filters in one group.
        let filters = group_filters.min(targets.len());
        let taps = convolution.taps();
        let highest = max_rows::<S>();
        let panels = PanelLayout::new::<S>(channels);
        let ConvolutionBuffers { weights: sums, rows: row_buffer, .. } = buffers;
        // `[tap][panel][filter][lane]`
        let tap_stride = spread(panels.count * filters * panels.width);
        let sums = aligned(sums, taps * tap_stride);
        // `[row][panel][column][image][lane]`
        let panel_stride = columns.input * BLOCK.min(n) * panels.width;
        let row_stride = panels.count * panel_stride;
        // Several rows, so that their products with a panel follow each other while its sums are in the L2 cache.
        let group_rows = (RESIDENT_ROWS / row_stride.max(1)).clamp(1, rows.input.max(1));
        let row_buffer = aligned(row_buffer, group_rows * row_stride);
        for group in targets.start / group_filters..targets.end.div_ceil(group_filters) {
            // The filters in this group.
            let first_filter = targets.start.max(group * group_filters);
            let filters = targets.end.min((group + 1) * group_filters) - first_filter;
            sums.fill(0.0);
            for first_image in (0..n).step_by(BLOCK) {
                let images = BLOCK.min(n - first_image);
                for first_row in (0..rows.input).step_by(group_rows) {
                    let rows_of_group = first_row..rows.input.min(first_row + group_rows);
                    // The kernel rows that read a row, and the output rows for which they do.
                    let users = |row| {
                        (0..rows.kernel)
                            .filter_map(move |tap| Some((tap, rows.output_of(row, tap)?)))
                    };
                    let buffers = row_buffer.chunks_exact_mut(row_stride);
                    for (row, row_buffer) in rows_of_group.clone().zip(buffers) {
                        if users(row).next().is_none() {
                            continue;
                        }
                        let line = columns.input * n;
                        let first = (group * channels * rows.input + row) * line + first_image;
                        let stride = rows.input * line;
                        let size = columns.input;
                        transpose_row(
                            &x[first..],
                            stride,
                            channels,
                            size,
                            n,
                            images,
                            panels,
                            panel_stride,
                            row_buffer,
                        );
                    }
                    for panel in 0..panels.count {
                        for row in rows_of_group.clone() {
                            let panel_of_row =
                                (row - first_row) * row_stride + panel * panel_stride;
                            for (row_tap, output) in users(row) {
                                for (first, height) in tiles(filters, highest) {
                                    for column_tap in 0..columns.kernel {
                                        let outputs = columns.outputs(column_tap);
                                        let Some(input) =
                                            columns.input_of(outputs.start, column_tap)
                                        else {
                                            continue;
                                        };
                                        let tap = row_tap * columns.kernel + column_tap;
                                        let filter = |row: usize| {
                                            (((first_filter + first + row) * rows.output + output)
                                                * columns.output
                                                + outputs.start)
                                                * n
                                                + first_image
                                        };
                                        let column = input * images * panels.width;
                                        let tile = Tile {
                                            left: gradient,
                                            starts: from_fn(filter),
                                            left_step: n,
                                            right: &row_buffer[panel_of_row + column..],
                                            right_step: columns.stride() * images * panels.width,
                                            positions: outputs.len(),
                                            images,
                                            sums: &mut sums[tap * tap_stride
                                                + (panel * filters + first) * panels.width..],
                                            sum_rows: from_fn(|row| row),
                                            width: panels.width,
                                        };
                                        compute_tile(simd, height, tile);
                                    }
                                }
                            }
                        }
                    }
                }
            }
            let out = &mut out[(first_filter - targets.start) * channels * taps..];
            for filter in 0..filters {
                for channel in 0..channels {
                    let (panel, lane) = (channel / panels.width, channel % panels.width);
                    let first = (panel * filters + filter) * panels.width + lane;
                    let out = &mut out[(filter * channels + channel) * taps..][..taps];
                    for (tap, out) in out.iter_mut().enumerate() {
                        *out = blend.apply(*out, sums[tap * tap_stride + first]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn filters_in_lanes<S: Simd>(self, simd: S) {
        let Self { convolution, x, gradient, n, targets, out, blend, buffers } = self;
        let [rows, columns] = convolution.axes();
        let (channels, group_filters) = (convolution.group_channels(), convolution.group_filters());
        // The most filters in one group.
        let filters = group_filters.min(targets.len());
        let taps = convolution.taps();
        let highest = max_rows::<S>();
        let panels = PanelLayout::new::<S>(filters);
        let ConvolutionBuffers { weights: sums, rows: row_buffer, pairs, pair_starts, .. } =
            buffers;
        // `[panel][tap][channel][lane]`
        let sums_stride = taps * channels * panels.width;
        let sums = aligned(sums, panels.count * sums_stride);
        let panel_stride = columns.output * BLOCK.min(n) * panels.width;
        let row_buffer = aligned(row_buffer, panels.count * panel_stride);
        list_columns(Source::Input, columns, columns.output, pairs, pair_starts);
        for group in targets.start / group_filters..targets.end.div_ceil(group_filters) {
            // The filters in this group.
            let first_filter = targets.start.max(group * group_filters);
            let filters = targets.end.min((group + 1) * group_filters) - first_filter;
            let panels = PanelLayout { count: filters.div_ceil(panels.width), ..panels };
            sums.fill(0.0);
            for first_image in (0..n).step_by(BLOCK) {
                let images = BLOCK.min(n - first_image);
                for output in 0..rows.output {
                    let line = columns.output * n;
                    let first = (first_filter * rows.output + output) * line + first_image;
                    let stride = rows.output * line;
                    let size = columns.output;
                    transpose_row(
                        &gradient[first..],
                        stride,
                        filters,
                        size,
                        n,
                        images,
                        panels,
                        panel_stride,
                        row_buffer,
                    );
                    // The taps inside the input are contiguous, so the first one and their number identify them.
                    let row_taps = rows.taps_of(output);
                    // Columns with the same kernel columns are summed together.
                    let mut start = 0;
                    while start < columns.output {
                        let pairs_of = |x: usize| &pairs[pair_starts[x]..pair_starts[x + 1]];
                        let row_pairs = pairs_of(start);
                        let same = |x: &usize| {
                            let other = pairs_of(*x);
                            other.len() == row_pairs.len()
                                && other.first().map(|pair| pair.0)
                                    == row_pairs.first().map(|pair| pair.0)
                        };
                        let positions = 1 + (start + 1..columns.output).take_while(same).count();
                        let count = row_pairs.len();
                        // One row of the tiles for each kernel row, kernel column and channel.
                        let total = row_taps.len() * count * channels;
                        for panel in 0..panels.count {
                            if total == 0 {
                                break;
                            }
                            for (first, height) in tiles(total, highest) {
                                let parts = |row: usize| {
                                    let row = first + row.min(height - 1);
                                    let channel = row % channels;
                                    let pair = row_pairs[row / channels % count];
                                    (row_taps.start + row / channels / count, pair, channel)
                                };
                                let source = |row: usize| {
                                    let (row_tap, (_, column), channel) = parts(row);
                                    let input = rows.input_of(output, row_tap).unwrap_or(0);
                                    (((group * channels + channel) * rows.input + input)
                                        * columns.input
                                        + column as usize)
                                        * n
                                        + first_image
                                };
                                let sum = |row: usize| {
                                    let (row_tap, (column_tap, _), channel) = parts(row);
                                    (row_tap * columns.kernel + column_tap as usize) * channels
                                        + channel
                                };
                                let tile = Tile {
                                    left: x,
                                    starts: from_fn(source),
                                    left_step: columns.stride() * n,
                                    right: &row_buffer
                                        [panel * panel_stride + start * images * panels.width..],
                                    right_step: images * panels.width,
                                    positions,
                                    images,
                                    sums: &mut sums[panel * sums_stride..],
                                    sum_rows: from_fn(sum),
                                    width: panels.width,
                                };
                                compute_tile(simd, height, tile);
                            }
                        }
                        start += positions;
                    }
                }
            }
            let out = &mut out[(first_filter - targets.start) * channels * taps..];
            for filter in 0..filters {
                let (panel, lane) = (filter / panels.width, filter % panels.width);
                for channel in 0..channels {
                    let out = &mut out[(filter * channels + channel) * taps..][..taps];
                    for (tap, out) in out.iter_mut().enumerate() {
                        let row = tap * channels + channel;
                        let sum = sums[panel * sums_stride + row * panels.width + lane];
                        *out = blend.apply(*out, sum);
                    }
                }
            }
        }
    }
}

/// The products of some rows with a panel, over some columns, which are added to their sums.
struct Tile<'a> {
    left: &'a [f32],
    /// Where each row starts in the left factor.
    starts: [usize; MAX_ROWS],
    left_step: usize,
    right: &'a [f32],
    right_step: usize,
    positions: usize,
    images: usize,
    /// `[row][lane]`
    sums: &'a mut [f32],
    /// The row of the sums for each row.
    sum_rows: [usize; MAX_ROWS],
    /// Lanes per panel.
    width: usize,
}

impl TileKernel for Tile<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self {
            left,
            starts,
            left_step,
            right,
            right_step,
            positions,
            images,
            sums,
            sum_rows,
            width,
        } = self;
        let starts = from_fn(|row| starts[row]);
        let sum_rows: [usize; ROWS] = from_fn(|row| sum_rows[row]);
        if width == S::F32_LANES {
            let tile = sum_over_images::<S, ROWS, 1>(
                simd, left, starts, left_step, right, right_step, positions, images,
            );
            add_tile(simd, tile, sums, sum_rows);
        } else {
            let tile = sum_over_images::<S, ROWS, 2>(
                simd, left, starts, left_step, right, right_step, positions, images,
            );
            add_tile(simd, tile, sums, sum_rows);
        }
    }
}

#[inline(always)]
pub(crate) fn add_tile<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    tile: [[S::f32s; REGISTERS]; ROWS],
    sums: &mut [f32],
    rows: [usize; ROWS],
) {
    let width = REGISTERS * S::F32_LANES;
    for row in 0..ROWS {
        let sums = &mut sums[rows[row] * width..][..width];
        for (total, sum) in S::as_mut_simd_f32s(sums).0.iter_mut().zip(tile[row]) {
            *total = simd.add_f32s(*total, sum);
        }
    }
}

/// Transposes a row of some images, `[channel][column][n]` with `stride` values between two channels, to
/// `[panel][column][image][lane]`. Lanes without a channel are 0.
#[expect(clippy::too_many_arguments, reason = "sizes and strides")]
#[inline(always)]
pub(crate) fn transpose_row(
    values: &[f32],
    stride: usize,
    channels: usize,
    columns: usize,
    n: usize,
    images: usize,
    panels: PanelLayout,
    panel_stride: usize,
    to: &mut [f32],
) {
    let width = panels.width;
    for (panel, to) in to.chunks_exact_mut(panel_stride).take(panels.count).enumerate() {
        let first = panel * width;
        let count = width.min(channels - first);
        for (column, to) in to.chunks_exact_mut(images * width).take(columns).enumerate() {
            let row = |channel: usize| &values[(first + channel) * stride + column * n..][..images];
            for quad in 0..count / 4 {
                let rows = std::array::from_fn(|index| row(4 * quad + index));
                transpose_quad(rows, &mut to[4 * quad..], width);
            }
            for channel in count / 4 * 4..count {
                for (line, value) in to.chunks_exact_mut(width).zip(row(channel)) {
                    line[channel] = *value;
                }
            }
            if count < width {
                to.chunks_exact_mut(width).for_each(|line| line[count..].fill(0.0));
            }
        }
    }
}

/// Transposes four rows of images to lines of four channels, `width` values apart.
#[inline(always)]
fn transpose_quad(rows: [&[f32]; 4], to: &mut [f32], width: usize) {
    let images = rows[0].len();
    let whole = if cfg!(target_arch = "x86_64") { images / 4 * 4 } else { 0 };
    for first in (0..whole).step_by(4) {
        let quads = rows.map(|row| &row[first..first + 4]);
        let lines = &mut to[first * width..];
        assert!(3 * width + 4 <= lines.len(), "room for four lines");
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the compiler finds no shuffles for this")]
        // SAFETY: every x86-64 processor has SSE. The slices have four values, and the assertion covers the last line.
        unsafe {
            use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
            let [mut a, mut b, mut c, mut d] = quads.map(|quad| _mm_loadu_ps(quad.as_ptr()));
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            for (line, values) in [a, b, c, d].into_iter().enumerate() {
                _mm_storeu_ps(lines[line * width..].as_mut_ptr(), values);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (quads, lines);
    }
    for image in whole..images {
        to[image * width..][..4].copy_from_slice(&rows.map(|row| row[image]));
    }
}
