//! Winograd's minimal filtering F(2 × 2, 3 × 3) for convolutions with 3 × 3 kernels and stride 1 (Lavin and Gray 2015,
//! arXiv 1509.09308).
//!
//! A tile of 2 × 2 outputs depends on 4 × 4 inputs. With g a kernel and d the inputs, it is Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A:
//! 16 products instead of 36. The sums over channels are between the transforms, so they are 16 matrix products. With the
//! images in the lanes, the transforms are sums of whole registers. They multiply by 0, ±1 and ½ only, and the result is
//! as accurate as that of the direct form.
//!
//! A tile of 32 images is computed for all channels at once, so that what is between the transforms stays in the caches.
//!
//! This file has the plan of the forward pass and of the input gradient, which is the same operation with other kernels,
//! with its transforms and products in files of their own. `weight_gradient` and `gradient_kernels` are those of the gradient of
//! the weights.

mod gradient_kernels;
mod input_transform;
mod output_transform;
mod pack_weights;
mod product;
mod weight_gradient;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use self::input_transform::InputTransform;
use self::output_transform::OutputTransform;
use self::pack_weights::PackWeights;
use self::product::Product;
use crate::Workspace;
use crate::convolution::{Axis, Convolution, Pass, Plane};
use crate::correlation::Source;
use crate::tile::{compute_tile, max_rows, tiles};
use crate::workspace::{ConvolutionBuffers, Shards, aligned, spread};
pub(crate) use weight_gradient::weight_gradient;

/// The values of a transformed tile.
const POSITIONS: usize = 16;

/// The values of a tile that remain after the first half of the output transform.
const SUMS: usize = 8;

/// The values of tiles that are computed together, before and after the products: 256 KiB.
const CHUNK: usize = 64 << 10;

/// The images of a block.
const BLOCK: usize = 32;

/// Whether this form is faster than the direct one. It depends on the sizes alone, so that it is the same on every machine.
pub(crate) fn is_faster(convolution: &Convolution) -> bool {
    let Convolution { input, filters, kernel, stride, dilation, groups, .. } = *convolution;
    if kernel != [3; 2] || stride != [1; 2] || dilation != [1; 2] || groups != 1 {
        return false;
    }
    let output = convolution.output_plane();
    let products = input.channels * filters;
    // The direct form skips the taps outside the input.
    let taps: usize = convolution.axes().map(Axis::all_taps).into_iter().product();
    let tiles = output.height.div_ceil(2) * output.width.div_ceil(2);
    // Measured: a value of a transformed tile takes about as long as eight products.
    let transforms = 8 * POSITIONS * (input.channels + filters);
    tiles * (POSITIONS * products + transforms) < taps * products
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
    let weights = aligned(&mut buffer, POSITIONS * depth * to.channels);
    let packed = Shards::new(weights);
    let transformed = POSITIONS * depth * to.channels;
    workspace.share(8 * transformed, to.channels, |targets, _| {
        instructions.dispatch(PackWeights { convolution, pass, targets, packed: &packed });
    });

    let tile_values = (POSITIONS * from.channels + SUMS * to.channels) * BLOCK;
    let chunks = Chunks::new(to, pass.n, CHUNK / tile_values);
    let out = Shards::new(out);
    workspace.share(convolution.products(pass.n), chunks.count(), |units, buffers| {
        instructions.dispatch(Correlation {
            pass,
            from,
            to,
            before,
            weights,
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
        let of_row = plane.width.div_ceil(2);
        let tiles = of_row.div_ceil(of_row.div_ceil(tiles.max(1)));
        Self { plane, n, tiles, per_row: of_row.div_ceil(tiles) }
    }

    const fn count(self) -> usize {
        self.n.div_ceil(BLOCK) * self.plane.height.div_ceil(2) * self.per_row
    }

    fn chunk(self, index: usize) -> Chunk {
        let rows = self.plane.height.div_ceil(2);
        let first_image = index / (self.per_row * rows) * BLOCK;
        let x = 2 * self.tiles * (index % self.per_row);
        Chunk {
            images: first_image..self.n.min(first_image + BLOCK),
            y: 2 * (index / self.per_row % rows),
            x,
            count: self.tiles.min((self.plane.width - x).div_ceil(2)),
        }
    }
}

/// Some chunks of tiles.
struct Correlation<'a> {
    pass: Pass<'a>,
    from: Plane,
    to: Plane,
    /// Zeros above and to the left of the source.
    before: [usize; 2],
    /// See [`PackWeights`].
    weights: &'a [f32],
    chunks: Chunks,
    /// The chunks to compute.
    units: Range<usize>,
    out: &'a Shards<'a, f32>,
    buffers: &'a mut ConvolutionBuffers,
}

impl WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass, from, to, before, weights, chunks, units, out, buffers } = self;
        let (n, depth) = (pass.n, from.channels);
        let ConvolutionBuffers { rows, sums, .. } = buffers;
        let highest = max_rows::<S>();
        let padded = BLOCK.min(n).next_multiple_of(S::F32_LANES);
        let width = chunks.tiles * padded;
        let (stride, sums_stride) = (spread(depth * width), spread(to.channels * width));
        let values = aligned(rows, POSITIONS * stride);
        let sums = aligned(sums, SUMS * sums_stride);
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
                to: values,
                padded,
                stride,
            });
            // Column by column, so that the two sums of a column stay in the L1 cache.
            for column in 0..4 {
                let sums = &mut sums[2 * column * sums_stride..];
                for row in 0..4 {
                    let position = 4 * row + column;
                    let weights = &weights[position * depth * to.channels..];
                    let values = &values[position * stride..][..depth * width];
                    for (first, height) in tiles(to.channels, highest) {
                        let product = Product {
                            weights: &weights[first * depth..][..height * depth],
                            values,
                            depth,
                            width,
                            row,
                            sums: &mut sums[first * width..],
                            stride: sums_stride,
                        };
                        compute_tile(simd, height, product);
                    }
                }
            }
            simd.vectorize(OutputTransform {
                sums,
                padded,
                stride: sums_stride,
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
