//! Winograd's minimal filtering F(4 × 4, 3 × 3) for convolutions with 3 × 3 kernels and stride 1 (Lavin and Gray 2015,
//! arXiv 1509.09308).
//!
//! A tile of 4 × 4 outputs depends on 6 × 6 inputs. With g a kernel and d the inputs, it is Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A:
//! 36 products instead of 144. The sums over channels are between the transforms, so they are 36 matrix products. With the
//! images in the lanes, the transforms are operations on whole registers. See `transforms` for the effect on rounding errors.
//!
//! A chunk of tiles and 32 images is computed for all channels at once, so that transformed values and products stay in the
//! caches.
//!
//! This file drives the forward pass and the input gradient, which is the same operation with mirrored kernels.
//! `weight_gradient` and `gradient_kernels` compute the gradient of the weights.

mod gradient_kernels;
mod input_transform;
mod output_transform;
mod pack_weights;
mod product;
mod transforms;
mod weight_gradient;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use self::input_transform::InputTransform;
use self::output_transform::OutputTransform;
use self::pack_weights::PackWeights;
use self::product::PositionProduct;
use crate::Workspace;
use crate::convolution::{Axis, Convolution, Pass, Plane};
use crate::correlation::{BLOCK, Source};
use crate::tile::{compute_tile, max_rows, tiles};
use crate::workspace::{ConvolutionBuffers, Shards, aligned, spread};
pub(crate) use weight_gradient::weight_gradient;

/// The rows and columns of a tile's outputs.
const OUTPUTS: usize = 4;

/// The rows and columns of the inputs of a tile.
const SPAN: usize = OUTPUTS + 2;

/// The values of a transformed tile.
const POSITIONS: usize = SPAN * SPAN;

/// The values of tiles that are computed together, between the transforms: 384 KiB. The gradient of the weights also counts
/// those before the first transform.
const CHUNK: usize = 96 << 10;

/// Whether this form is faster than the direct one. One decision for all three passes, from the sizes alone, so that every
/// machine yields the same bytes.
pub(crate) fn is_faster(convolution: &Convolution) -> bool {
    let Convolution { input, filters, kernel, stride, dilation, groups, .. } = *convolution;
    if kernel != [3; 2] || stride != [1; 2] || dilation != [1; 2] || groups != 1 {
        return false;
    }
    let output = convolution.output_plane();
    let products = input.channels * filters;
    // The direct form skips the taps outside the input. Its products take about 15 percent longer.
    let taps: usize = convolution.axes().map(Axis::all_taps).into_iter().product();
    let direct = taps * products * 23 / 20;
    let tiles = output.height.div_ceil(OUTPUTS) * output.width.div_ceil(OUTPUTS);
    // Measured: a value of a transformed tile takes as long as eleven products. The transform of a kernel, divided among 32
    // images, takes as long as thirty.
    let transforms = 11 * POSITIONS * (input.channels + filters);
    tiles * (POSITIONS * products + transforms) + 30 * products < direct
}

/// See [`Convolution::forward`] and [`Convolution::input_gradient`].
pub(crate) fn correlate(
    convolution: &Convolution,
    pass: Pass<'_>,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    let instructions = workspace.instructions;
    let (input, output) = (convolution.input, convolution.output_plane());
    let before = convolution.axes().map(|axis| axis.before);
    let (from, to, before) = match pass.source {
        Source::Input => (input, output, before),
        // A correlation with the mirrored kernel.
        Source::Gradient => (output, input, before.map(|before| 2_usize.wrapping_sub(before))),
    };
    if to.len() * pass.n == 0 {
        return;
    }
    let depth = from.channels;
    let mut buffer = std::mem::take(&mut workspace.panels);
    let position_weights = spread(depth * to.channels);
    let weights = aligned(&mut buffer, POSITIONS * position_weights);
    let packed = Shards::new(weights);
    let transformed = POSITIONS * depth * to.channels;
    // A transformed weight takes about as long as eight products.
    workspace.split_units(8 * transformed, to.channels, |targets, _| {
        instructions.dispatch(PackWeights {
            convolution,
            pass,
            targets,
            packed: &packed,
            stride: position_weights,
        });
    });

    let tile_values = (POSITIONS + 1) * from.channels.max(to.channels) * BLOCK;
    let chunks = Chunks::new(to, pass.n, CHUNK / tile_values);
    let out = Shards::new(out);
    workspace.split_units(convolution.products(pass.n), chunks.count(), |units, buffers| {
        instructions.dispatch(TiledCorrelation {
            pass,
            from,
            to,
            before,
            weights,
            position_weights,
            chunks,
            units,
            out: &out,
            buffers,
        });
    });
    workspace.panels = buffer;
}

/// The tiles of a target in chunks that are computed together, row by row and block by block of images.
#[derive(Clone, Copy)]
struct Chunks {
    plane: Plane,
    n: usize,
    /// Tiles of a chunk, except the last one of a row.
    tiles: usize,
    /// Chunks of a row of tiles.
    per_row: usize,
}

struct Chunk {
    images: Range<usize>,
    /// The first row and column of the target.
    y: usize,
    x: usize,
    /// Tiles.
    count: usize,
}

impl Chunks {
    /// Chunks of at most so many tiles, of nearly the same size.
    fn new(plane: Plane, n: usize, tiles: usize) -> Self {
        let of_row = plane.width.div_ceil(OUTPUTS);
        let tiles = of_row.div_ceil(of_row.div_ceil(tiles.max(1)));
        Self { plane, n, tiles, per_row: of_row.div_ceil(tiles) }
    }

    const fn count(self) -> usize {
        self.n.div_ceil(BLOCK) * self.plane.height.div_ceil(OUTPUTS) * self.per_row
    }

    fn chunk(self, index: usize) -> Chunk {
        let rows = self.plane.height.div_ceil(OUTPUTS);
        let first_image = index / (self.per_row * rows) * BLOCK;
        let x = OUTPUTS * self.tiles * (index % self.per_row);
        Chunk {
            images: first_image..self.n.min(first_image + BLOCK),
            y: OUTPUTS * (index / self.per_row % rows),
            x,
            count: self.tiles.min((self.plane.width - x).div_ceil(OUTPUTS)),
        }
    }
}

/// The part of start..start + count that is inside 0..size, relative to start. A negative start is given as a wrapped
/// `usize`.
fn inside(start: usize, size: usize, count: usize) -> Range<usize> {
    let before = if start < size { 0 } else { 0_usize.wrapping_sub(start).min(count) };
    before..size.wrapping_sub(start).clamp(before, count)
}

/// Some chunks of tiles.
struct TiledCorrelation<'a> {
    pass: Pass<'a>,
    from: Plane,
    to: Plane,
    /// Zeros above and to the left of the source.
    before: [usize; 2],
    /// See [`PackWeights`].
    weights: &'a [f32],
    /// The distance of two positions in `weights`.
    position_weights: usize,
    chunks: Chunks,
    /// The chunks to compute.
    units: Range<usize>,
    out: &'a Shards<'a, f32>,
    buffers: &'a mut ConvolutionBuffers,
}

impl WithSimd for TiledCorrelation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass, from, to, before, weights, position_weights, chunks, units, out, buffers } =
            self;
        let (n, depth) = (pass.n, from.channels);
        let highest = max_rows::<S>();
        let padded = BLOCK.min(n).next_multiple_of(S::F32_LANES);
        let stride = spread(depth.max(to.channels) * chunks.tiles * padded);
        let ConvolutionBuffers { rows, stage, .. } = buffers;
        let buffer = aligned(rows, (POSITIONS + 1) * stride);
        let zeros = aligned(stage, SPAN * n.max(padded));
        zeros.fill(0.0);
        for unit in units {
            let Chunk { images, y, x, count } = chunks.chunk(unit);
            let width = count * padded;
            simd.vectorize(InputTransform {
                source: pass.values,
                plane: from,
                n,
                images: images.clone(),
                y: y.wrapping_sub(before[0]),
                x: x.wrapping_sub(before[1]),
                count,
                zeros,
                to: &mut buffer[stride..],
                padded,
                stride,
            });
            for position in 0..POSITIONS {
                // The products overwrite the values of the previous position, which are no longer needed. So the caches hold
                // half as much.
                let (products, values) = buffer[position * stride..].split_at_mut(stride);
                let weights = &weights[position * position_weights..];
                for (first, height) in tiles(to.channels, highest) {
                    let product = PositionProduct {
                        weights: &weights[first * depth..][..height * depth],
                        values: &values[..depth * width],
                        depth,
                        width,
                        out: &mut products[first * width..],
                    };
                    compute_tile(simd, height, product);
                }
            }
            simd.vectorize(OutputTransform {
                products: buffer,
                padded,
                stride,
                pass,
                plane: to,
                images,
                y,
                x,
                count,
                out,
            });
        }
    }
}
