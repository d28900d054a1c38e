//! The forward pass of a convolution and the gradient of its input, which is the same sum with the roles of channels
//! and filters exchanged.
//!
//! The lanes of the registers are images, so there is no rearrangement of pixels (im2col), no shuffle, and any number of
//! channels fills the registers. A tap outside the input is skipped, not multiplied by zero.
//!
//! A block of images is computed row by row. The rows of the source that a row needs are first copied to a ring of
//! buffers, `[channel][column][image]`. That takes one to three percent of a pass, and makes the rest independent of
//! the sizes: in the batch itself the channels of a pixel are a plane apart, a multiple of 4 KiB for pictures of 32 × 32,
//! so they would all compete for the same few lines of the caches, and with more than 32 images the images of a
//! pixel would spread over more lines than a tile uses.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::convolution::{Axis, Convolution, Pass};
use crate::finish::Finish;
use crate::tile::{
    MAX_ROWS, Tap, TapList, TileKernel, compute_tile, max_rows, sum_over_taps, tiles,
};
use crate::workspace::{ConvolutionBuffers, aligned, spread};

/// The images of a block. Three source rows of 64 channels and 14 columns then take 336 KiB of an L2 cache of 512 KiB.
pub(crate) const BLOCK: usize = 32;

/// The values of source rows that stay in an L2 cache of 512 KiB, next to weights and results: 400 KiB.
const RESIDENT: usize = 100 << 10;

/// If the source rows exceed `RESIDENT`, the columns are computed in chunks that read about this many values: 256 KiB.
const CHUNK: usize = 64 << 10;

/// The direction of a correlation, by what it reads.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Source {
    /// Forward: reads the input, writes the output.
    Input,
    /// Backward: reads the gradient of the output, writes that of the input.
    Gradient,
}

impl Source {
    /// The source position that `tap` reads for a target position.
    pub(crate) fn position(self, axis: Axis, target: usize, tap: usize) -> Option<usize> {
        match self {
            Self::Input => axis.input_of(target, tap),
            Self::Gradient => axis.output_of(target, tap),
        }
    }
}

/// See [`Convolution::forward`] and [`Convolution::input_gradient`].
pub(crate) struct DirectCorrelation<'a> {
    pub(crate) convolution: &'a Convolution,
    pub(crate) pass: Pass<'a>,
    /// The target channels to compute.
    pub(crate) targets: Range<usize>,
    /// Of these channels.
    pub(crate) out: &'a mut [f32],
    pub(crate) buffers: &'a mut ConvolutionBuffers,
}

/// One side of the operation, for a group of channels.
#[derive(Clone, Copy)]
struct Side {
    /// Channels per group.
    channels: usize,
    height: usize,
    width: usize,
}

impl WithSimd for DirectCorrelation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { convolution, pass, targets, out, buffers } = self;
        let Pass { source, weights, bias, values, n, finish, .. } = pass;
        let [rows, columns] = convolution.axes();
        let input = Side {
            channels: convolution.group_channels(),
            height: rows.input,
            width: columns.input,
        };
        let output = Side {
            channels: convolution.group_filters(),
            height: rows.output,
            width: columns.output,
        };
        let (from, to, span) = match source {
            Source::Input => (input, output, rows.input_span()),
            Source::Gradient => (output, input, rows.output_span()),
        };
        if to.channels * to.height * to.width * n == 0 {
            return;
        }
        let highest = max_rows::<S>();
        let depth = convolution.taps() * from.channels;
        let ConvolutionBuffers {
            weights: packed,
            rows: ring,
            resident,
            pairs,
            pair_starts,
            taps,
            ..
        } = buffers;
        let packed = aligned(packed, depth * to.channels);
        list_columns(source, columns, to.width, pairs, pair_starts);

        let padded = n.min(BLOCK).next_multiple_of(S::F32_LANES);
        let channel_stride = spread(from.width * padded);
        let slot_stride = channel_stride * from.channels;
        let ring = aligned(ring, slot_stride * span);
        assert!(u32::try_from(ring.len()).is_ok(), "the rows of a block are below 16 GiB");

        let chunk = (CHUNK / (from.channels * span * padded)).max(4);
        let chunk = if ring.len() <= RESIDENT { to.width } else { chunk.min(to.width) };

        for group in targets.start / to.channels..targets.end.div_ceil(to.channels) {
            let first_of_group = group * to.channels;
            // The targets in this group.
            let first_target = targets.start.max(first_of_group);
            let count = targets.end.min(first_of_group + to.channels) - first_target;
            let weights = &weights[group * to.channels * depth..][..to.channels * depth];
            let first = first_target - first_of_group;
            pack_weights(convolution, source, weights, first..first + count, highest, packed);
            let out = &mut out[(first_target - targets.start) * to.height * to.width * n..];
            for first_image in (0..n).step_by(BLOCK) {
                let images = BLOCK.min(n - first_image);
                let padded = images.next_multiple_of(S::F32_LANES);
                resident.clear();
                resident.resize(span, usize::MAX);
                for y in 0..to.height {
                    // Bring the source rows into the ring, and list the taps of each column.
                    taps.clear();
                    for tap in 0..rows.kernel {
                        let Some(row) = source.position(rows, y, tap) else { continue };
                        let slot = row % span;
                        if resident[slot] != row {
                            resident[slot] = row;
                            let slot = &mut ring[slot * slot_stride..][..slot_stride];
                            for channel in 0..from.channels {
                                let line = ((group * from.channels + channel) * from.height + row)
                                    * from.width
                                    * n;
                                let line = &values[line..][..from.width * n];
                                let slot = &mut slot[channel * channel_stride..];
                                copy_images(line, n, first_image, images, padded, slot);
                            }
                        }
                    }
                    for x in 0..to.width {
                        let pairs = &pairs[pair_starts[x]..pair_starts[x + 1]];
                        for tap in 0..rows.kernel {
                            let Some(row) = source.position(rows, y, tap) else { continue };
                            let slot = row % span * slot_stride;
                            taps.extend(pairs.iter().map(|&(column_tap, column)| Tap {
                                weights: (tap * columns.kernel) as u32 + column_tap,
                                source: (slot + column as usize * padded) as u32,
                            }));
                        }
                        taps.end_output();
                    }

                    for first_column in (0..to.width).step_by(chunk) {
                        for (first, height) in tiles(count, highest) {
                            let strip = OutputStrip {
                                weights: &packed[first * depth..][..height * depth],
                                bias: bias.get(first_target + first..).unwrap_or(&[]),
                                taps,
                                columns: first_column..to.width.min(first_column + chunk),
                                source: ring,
                                source_channels: from.channels,
                                channel_stride,
                                images,
                                out: &mut out
                                    [(first * to.height + y) * to.width * n + first_image..],
                                out_channel: to.height * to.width * n,
                                n,
                                finish,
                            };
                            compute_tile(simd, height, strip);
                        }
                    }
                }
            }
        }
    }
}

/// Some filters of an output row.
struct OutputStrip<'a> {
    /// `[tap][channel][filter]`
    weights: &'a [f32],
    /// The bias of each filter; empty for 0.
    bias: &'a [f32],
    taps: &'a TapList,
    columns: Range<usize>,
    source: &'a [f32],
    source_channels: usize,
    channel_stride: usize,
    images: usize,
    /// From the first filter's row on.
    out: &'a mut [f32],
    /// The distance of two filters in `out`.
    out_channel: usize,
    /// The distance of two columns in `out`.
    n: usize,
    finish: Finish,
}

impl TileKernel for OutputStrip<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, simd: S) {
        let lanes = S::F32_LANES;
        let mut start = [0.0; ROWS];
        if !self.bias.is_empty() {
            start.copy_from_slice(&self.bias[..ROWS]);
        }
        // The columns innermost, because neighbors share most of what they read, which then comes from the L1 cache.
        for image in (0..self.images).step_by(2 * lanes) {
            let source = &self.source[image..];
            let count = (self.images - image).min(2 * lanes);
            for x in self.columns.clone() {
                let out = &mut self.out[x * self.n + image..];
                let (weights, taps) = (self.weights, self.taps);
                let (channels, stride) = (self.source_channels, self.channel_stride);
                if count > lanes {
                    let sums = sum_over_taps::<S, ROWS, 2>(
                        simd, start, weights, taps, x, channels, source, stride,
                    );
                    store(simd, sums, out, self.out_channel, count, self.finish);
                } else {
                    let sums = sum_over_taps::<S, ROWS, 1>(
                        simd, start, weights, taps, x, channels, source, stride,
                    );
                    store(simd, sums, out, self.out_channel, count, self.finish);
                }
            }
        }
    }
}

#[inline(always)]
fn store<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    sums: [[S::f32s; REGISTERS]; ROWS],
    out: &mut [f32],
    stride: usize,
    count: usize,
    finish: Finish,
) {
    let width = REGISTERS * S::F32_LANES;
    if count == width {
        for row in 0..ROWS {
            let (out, _) = S::as_mut_simd_f32s(&mut out[row * stride..][..width]);
            for (out, sum) in out.iter_mut().zip(sums[row]) {
                *out = finish.apply(simd, sum, || *out);
            }
        }
        return;
    }
    for row in 0..ROWS {
        let out = &mut out[row * stride..][..count];
        for (part, sum) in out.chunks_mut(S::F32_LANES).zip(sums[row]) {
            let value = finish.apply(simd, sum, || simd.partial_load_f32s(part));
            simd.partial_store_f32s(part, value);
        }
    }
}

/// Copies some images of a row, `[column][n]`, to `[column][padded]`, and sets the lanes after them to 0.
#[inline(always)]
fn copy_images(row: &[f32], n: usize, first: usize, images: usize, padded: usize, to: &mut [f32]) {
    if images == n && padded == n {
        to[..row.len()].copy_from_slice(row);
        return;
    }
    for (from, to) in row.chunks_exact(n).zip(to.chunks_exact_mut(padded)) {
        to[..images].copy_from_slice(&from[first..first + images]);
        to[images..].fill(0.0);
    }
}

/// Lists the pairs of a kernel column and a source column for each target column.
pub(crate) fn list_columns(
    source: Source,
    axis: Axis,
    width: usize,
    pairs: &mut Vec<(u32, u32)>,
    starts: &mut Vec<usize>,
) {
    pairs.clear();
    starts.clear();
    for x in 0..width {
        starts.push(pairs.len());
        pairs.extend((0..axis.kernel).filter_map(|tap| {
            source.position(axis, x, tap).map(|column| (tap as u32, column as u32))
        }));
    }
    starts.push(pairs.len());
}

/// Rearranges the weights of a group, for some target channels, to `[tile][tap][source channel][target channel of the
/// tile]`.
#[inline(always)]
fn pack_weights(
    convolution: &Convolution,
    source: Source,
    weights: &[f32],
    targets: Range<usize>,
    highest: usize,
    packed: &mut [f32],
) {
    let (channels, filters, taps) =
        (convolution.group_channels(), convolution.group_filters(), convolution.taps());
    let from = match source {
        Source::Input => channels,
        Source::Gradient => filters,
    };
    for (first, height) in tiles(targets.len(), highest) {
        let tile = &mut packed[first * from * taps..][..height * from * taps];
        // Channel by channel, so that each kernel is read once and in order. The writes are from · height values apart.
        for channel in 0..from {
            let kernels: [&[f32]; MAX_ROWS] = from_fn(|row| {
                let target = targets.start + first + row.min(height - 1);
                let (filter, channel_of_filter) = match source {
                    Source::Input => (target, channel),
                    Source::Gradient => (channel, target),
                };
                &weights[(filter * channels + channel_of_filter) * taps..][..taps]
            });
            for tap in 0..taps {
                let to = &mut tile[(tap * from + channel) * height..][..height];
                for (to, kernel) in to.iter_mut().zip(kernels) {
                    *to = kernel[tap];
                }
            }
        }
    }
}
