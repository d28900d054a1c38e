//! Winograd's minimal filtering F(2 × 2, 3 × 3) for convolutions with 3 × 3 kernels and stride 1 (Lavin and Gray 2015,
//! arXiv 1509.09308).
//!
//! A tile of 2 × 2 outputs depends on 4 × 4 inputs. With g a kernel and d the inputs, it is Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A:
//! 16 products instead of 36. The sums over channels are between the transforms, so they are 16 matrix products. With the
//! images in the lanes, the transforms are sums of whole registers. They multiply by 0, ±1 and ½ only, and the result is
//! as accurate as that of the direct form.
//!
//! A tile of 32 images is computed for all channels at once, so that what is between the transforms stays in the caches.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Workspace;
use crate::convolution::{Axis, Convolution, Pass, Plane};
use crate::correlation::Source;
use crate::tile::{TileKernel, compute_tile, max_rows, tiles};
use crate::workspace::{ConvolutionBuffers, LINE, Shards, aligned};

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
    let tiles = (CHUNK / tile_values).clamp(1, to.width.div_ceil(2));
    let chunks = to.width.div_ceil(2 * tiles);
    let units = pass.n.div_ceil(BLOCK) * to.height.div_ceil(2) * chunks;
    let out = Shards::new(out);
    workspace.share(convolution.products(pass.n), units, |units, buffers| {
        instructions.dispatch(Correlation {
            pass,
            from,
            to,
            before,
            weights,
            tiles,
            units,
            out: &out,
            buffers,
        });
    });
    workspace.panels = buffer;
}

/// Transforms the kernels to `[position][tile of target channels][source channel][target channel of the tile]`.
struct PackWeights<'a> {
    convolution: &'a Convolution,
    pass: Pass<'a>,
    targets: Range<usize>,
    packed: &'a Shards<'a, f32>,
}

impl WithSimd for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { convolution, pass, targets, packed } = self;
        let (channels, filters) = (convolution.input.channels, convolution.filters);
        let (depth, all) = match pass.source {
            Source::Input => (channels, filters),
            Source::Gradient => (filters, channels),
        };
        for (first, height) in tiles(all, max_rows::<S>()) {
            for target in targets.start.max(first)..targets.end.min(first + height) {
                for channel in 0..depth {
                    let kernel = match pass.source {
                        Source::Input => target * channels + channel,
                        Source::Gradient => channel * channels + target,
                    };
                    let kernel = &pass.weights[kernel * 9..][..9];
                    let kernel = from_fn(|index| match pass.source {
                        Source::Input => kernel[index],
                        Source::Gradient => kernel[8 - index],
                    });
                    let place = first * depth + channel * height + target - first;
                    for (position, value) in transform_kernel(kernel).into_iter().enumerate() {
                        let place = position * depth * all + place;
                        #[expect(unsafe_code, reason = "each thread writes other targets")]
                        // SAFETY: the place of a target belongs to one thread.
                        unsafe {
                            packed.get(place..place + 1)[0] = value;
                        }
                    }
                }
            }
        }
    }
}

/// G g Gᵀ
#[inline(always)]
fn transform_kernel(kernel: [f32; 9]) -> [f32; POSITIONS] {
    let transform = |[a, b, c]: [f32; 3]| {
        let outer = a + c;
        [a, 0.5 * (outer + b), 0.5 * (outer - b), c]
    };
    let columns: [[f32; 4]; 3] = from_fn(|j| transform([kernel[j], kernel[3 + j], kernel[6 + j]]));
    let rows: [[f32; 4]; 4] = from_fn(|i| transform(columns.map(|column| column[i])));
    from_fn(|index| rows[index / 4][index % 4])
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
    /// Tiles that are computed together, except the last ones of a row.
    tiles: usize,
    /// Chunks of tiles, row by row and block by block of images.
    units: Range<usize>,
    out: &'a Shards<'a, f32>,
    buffers: &'a mut ConvolutionBuffers,
}

impl WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass, from, to, before, weights, units, out, buffers, .. } = self;
        let (n, depth) = (pass.n, from.channels);
        let ConvolutionBuffers { rows, sums, .. } = buffers;
        let highest = max_rows::<S>();
        let padded = BLOCK.min(n).next_multiple_of(S::F32_LANES);
        let width = self.tiles * padded;
        let (stride, sums_stride) = (spread(depth * width), spread(to.channels * width));
        let values = aligned(rows, POSITIONS * stride);
        let sums = aligned(sums, SUMS * sums_stride);
        let rows = to.height.div_ceil(2);
        let chunks = to.width.div_ceil(2 * self.tiles);
        for unit in units {
            let first_image = unit / (chunks * rows) * BLOCK;
            let images = first_image..n.min(first_image + BLOCK);
            let y = 2 * (unit / chunks % rows);
            let x = 2 * self.tiles * (unit % chunks);
            let count = self.tiles.min((to.width - x).div_ceil(2));
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

/// An odd number of lines, so that the positions of a tile are spread over all sets of the caches.
const fn spread(values: usize) -> usize {
    values.next_multiple_of(LINE) | LINE
}

/// Bᵀ d B for all channels of some tiles.
struct InputTransform<'a> {
    source: &'a [f32],
    plane: Plane,
    n: usize,
    images: Range<usize>,
    /// The first row and column of the tile in the source. Outside, they wrap around, and the values are 0.
    y: usize,
    x: usize,
    /// Tiles, which are next to each other.
    count: usize,
    /// `[position][channel][tile][padded]`
    to: &'a mut [f32],
    /// Images per tile, with those that fill the last register.
    padded: usize,
    /// The distance of two positions.
    stride: usize,
}

impl WithSimd for InputTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, plane, n, images, y, x, count, to, padded, stride } = self;
        let Plane { channels, height, width: columns } = plane;
        assert!(images.end <= n && source.len() == plane.len() * n, "the source has all images");
        assert!(images.len() <= padded && padded.is_multiple_of(S::F32_LANES), "whole registers");
        let last = (POSITIONS - 1) * stride + channels * count * padded;
        assert!(last <= to.len(), "room for all channels");
        let is_inside = |first: usize, size: usize| first < size && first + 4 <= size;
        let rows_inside = is_inside(y, height) && images.len() == padded;
        let mut edge = [0.0; POSITIONS * BLOCK];
        for channel in 0..channels {
            // The rows are too short for the processor to load them in advance.
            let next =
                ((channel + 1) * height).wrapping_add(y).wrapping_mul(columns).wrapping_add(x);
            for row in 0..4 {
                let from = source.as_ptr().wrapping_add(
                    next.wrapping_add(row * columns).wrapping_mul(n).wrapping_add(images.start),
                );
                for column in 0..2 * count + 2 {
                    for image in (0..padded).step_by(LINE) {
                        prefetch(from.wrapping_add(column * n + image));
                    }
                }
            }
            for tile in 0..count {
                let x = x.wrapping_add(2 * tile);
                let to = to[(channel * count + tile) * padded..].as_mut_ptr();
                if rows_inside && is_inside(x, columns) {
                    let first = ((channel * height + y) * columns + x) * n + images.start;
                    let from = source[first..].as_ptr();
                    #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                    // SAFETY: four rows and columns from the first one on are within the plane, and the assertion above
                    // covers the last position.
                    unsafe {
                        transform_input(simd, from, columns * n, n, padded, to, stride);
                    }
                    continue;
                }
                edge.fill(0.0);
                for row in (0..4).filter(|&row| y.wrapping_add(row) < height) {
                    for column in (0..4).filter(|&column| x.wrapping_add(column) < columns) {
                        let row_of_source = channel * height + y.wrapping_add(row);
                        let from = (row_of_source * columns + x.wrapping_add(column)) * n;
                        let to = &mut edge[(4 * row + column) * padded..][..images.len()];
                        to.copy_from_slice(&source[from + images.start..][..images.len()]);
                    }
                }
                let from = edge.as_ptr();
                #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                // SAFETY: a tile has four rows and columns, and the assertion above covers the last position.
                unsafe {
                    transform_input(simd, from, 4 * padded, padded, padded, to, stride);
                }
            }
        }
    }
}

/// Asks for the line of an address, which is needed soon. The address may be invalid.
#[inline(always)]
fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "an intrinsic")]
    // SAFETY: a hint, which ignores invalid addresses.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Transforms the tile of a channel.
///
/// # Safety
///
/// There are `width` values at `from` and at the distances of all rows and columns, and at the distances of all positions
/// in `to`.
#[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    simd: S,
    from: *const f32,
    row_stride: usize,
    column_stride: usize,
    width: usize,
    to: *mut f32,
    stride: usize,
) {
    let rows = [(0, 2), (1, 2), (2, 1), (1, 3)];
    for image in (0..width).step_by(S::F32_LANES) {
        for (row, (left, right)) in rows.into_iter().enumerate() {
            let mut values = [simd.splat_f32s(0.0); 4];
            for (column, value) in values.iter_mut().enumerate() {
                // SAFETY: the caller guarantees that the tile has these rows and columns.
                let (left, right) = unsafe {
                    let from = from.add(column * column_stride + image);
                    (
                        from.add(left * row_stride).cast::<S::f32s>().read_unaligned(),
                        from.add(right * row_stride).cast::<S::f32s>().read_unaligned(),
                    )
                };
                *value =
                    if row == 1 { simd.add_f32s(left, right) } else { simd.sub_f32s(left, right) };
            }
            let [a, b, c, d] = values;
            let values = [
                simd.sub_f32s(a, c),
                simd.add_f32s(b, c),
                simd.sub_f32s(c, b),
                simd.sub_f32s(b, d),
            ];
            for (column, value) in values.into_iter().enumerate() {
                // SAFETY: the caller guarantees that there is room for all positions.
                unsafe {
                    let to = to.add((4 * row + column) * stride + image);
                    to.cast::<S::f32s>().write_unaligned(value);
                }
            }
        }
    }
}

/// The products of some rows of transformed weights with the values of a position, and the first half of the output
/// transform, Aᵀ m.
struct Product<'a> {
    /// `[channel][row]`
    weights: &'a [f32],
    /// `[channel][width]`
    values: &'a [f32],
    depth: usize,
    /// A multiple of the lanes of a register.
    width: usize,
    /// The row of the position.
    row: usize,
    /// m₀ + m₁ + m₂, and `stride` values later m₁ - m₂ - m₃: `[row][width]`.
    sums: &'a mut [f32],
    stride: usize,
}

impl TileKernel for Product<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self { weights, values, depth, width, row, sums, stride } = self;
        let lanes = S::F32_LANES;
        assert!(
            width.is_multiple_of(lanes) && stride + ROWS * width <= sums.len(),
            "room for sums"
        );
        let mut first = 0;
        while first < width {
            let (values, sums) = (&values[first..], sums[first..].as_mut_ptr());
            if width - first >= 2 * lanes {
                let tile = sum_over_channels::<S, ROWS, 2>(simd, weights, values, depth, width);
                #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                // SAFETY: the assertion covers the last row.
                unsafe {
                    add_position(simd, row, tile, sums, width, stride)
                };
                first += 2 * lanes;
            } else {
                let tile = sum_over_channels::<S, ROWS, 1>(simd, weights, values, depth, width);
                #[expect(unsafe_code, reason = "as above")]
                // SAFETY: as above.
                unsafe {
                    add_position(simd, row, tile, sums, width, stride)
                };
                first += lanes;
            }
        }
    }
}

/// Adds the products of a row of positions to the two sums of its column.
///
/// # Safety
///
/// There are `ROWS` rows of `width` values after `sums`, and after `stride` values more.
#[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
#[inline(always)]
unsafe fn add_position<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    position: usize,
    tile: [[S::f32s; REGISTERS]; ROWS],
    sums: *mut f32,
    width: usize,
    stride: usize,
) {
    for (row, values) in tile.into_iter().enumerate() {
        for (register, value) in values.into_iter().enumerate() {
            let place = row * width + register * S::F32_LANES;
            let first = sums.wrapping_add(place).cast::<S::f32s>();
            let second = sums.wrapping_add(stride + place).cast::<S::f32s>();
            // SAFETY: the caller guarantees that there is room.
            unsafe {
                match position {
                    0 => first.write_unaligned(value),
                    1 => {
                        first.write_unaligned(simd.add_f32s(first.read_unaligned(), value));
                        second.write_unaligned(value);
                    }
                    2 => {
                        first.write_unaligned(simd.add_f32s(first.read_unaligned(), value));
                        second.write_unaligned(simd.sub_f32s(second.read_unaligned(), value));
                    }
                    _ => second.write_unaligned(simd.sub_f32s(second.read_unaligned(), value)),
                }
            }
        }
    }
}

#[inline(always)]
fn sum_over_channels<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    weights: &[f32],
    values: &[f32],
    depth: usize,
    stride: usize,
) -> [[S::f32s; REGISTERS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    assert!(depth > 0 && weights.len() >= depth * ROWS, "weights too short");
    let last = (depth - 1) * stride + REGISTERS * S::F32_LANES;
    assert!(last <= values.len(), "values too short");
    for channel in 0..depth {
        #[expect(unsafe_code, reason = "bounds checks would take as long as the products")]
        // SAFETY: the assertions cover the last channel. Registers consist of floats, and the reads do not require a
        // larger alignment than that of a float.
        let (column, line) = unsafe {
            let column = weights.as_ptr().add(channel * ROWS);
            let line: *const S::f32s = values.as_ptr().add(channel * stride).cast();
            (
                from_fn::<f32, ROWS, _>(|row| *column.add(row)),
                from_fn::<S::f32s, REGISTERS, _>(|register| line.add(register).read_unaligned()),
            )
        };
        for (value, sums) in column.into_iter().zip(&mut sums) {
            let value = simd.splat_f32s(value);
            for (sum, values) in sums.iter_mut().zip(line) {
                *sum = simd.mul_add_f32s(value, values, *sum);
            }
        }
    }
    sums
}

/// The second half of Aᵀ m A for all target channels of a tile, and what follows before the results are stored.
struct OutputTransform<'a> {
    /// `[column][half][channel][tile][padded]`
    sums: &'a [f32],
    padded: usize,
    stride: usize,
    pass: Pass<'a>,
    plane: Plane,
    images: Range<usize>,
    /// The first row and column of the tiles.
    y: usize,
    x: usize,
    count: usize,
    out: &'a Shards<'a, f32>,
}

impl WithSimd for OutputTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.images.len() == self.padded {
            self.transform::<S, true>(simd);
        } else {
            self.transform::<S, false>(simd);
        }
    }
}

impl OutputTransform<'_> {
    /// Whether all registers are whole is known when this is compiled.
    #[inline(always)]
    fn transform<S: Simd, const WHOLE: bool>(self, simd: S) {
        let Self { sums, padded, stride, pass, plane, images, y, x, count, out } = self;
        let Plane { channels, height, width: columns } = plane;
        let (n, lanes) = (pass.n, S::F32_LANES);
        assert!(images.end <= n && out.len() == plane.len() * n, "the target has all images");
        assert!(images.len() <= padded && padded.is_multiple_of(lanes), "whole registers");
        let last = (SUMS - 1) * stride + channels * count * padded;
        assert!(last <= sums.len(), "sums of all channels");
        assert!(y < height && x + 2 * (count - 1) < columns, "tiles within the target");
        let zero = simd.splat_f32s(0.0);
        for channel in 0..channels {
            let start = simd.splat_f32s(pass.start.get(channel).copied().unwrap_or(0.0));
            for tile in 0..count {
                let x = x + 2 * tile;
                let (rows_of_tile, columns_of_tile) = (2.min(height - y), 2.min(columns - x));
                for image in (0..images.len()).step_by(lanes) {
                    let used = if WHOLE { lanes } else { lanes.min(images.len() - image) };
                    for row in 0..rows_of_tile {
                        let mut values = [zero; 4];
                        for (column, value) in values.iter_mut().enumerate() {
                            let sum = (channel * count + tile) * padded + image;
                            let place = (2 * column + row) * stride + sum;
                            #[expect(unsafe_code, reason = "bounds checks would take as long")]
                            // SAFETY: the assertions above cover the last position, channel, tile and image.
                            unsafe {
                                let sum = sums.as_ptr().add(place).cast::<S::f32s>();
                                *value = sum.read_unaligned();
                            }
                        }
                        let first = ((channel * height + y + row) * columns + x) * n;
                        let pair = halve(simd, values).into_iter().enumerate();
                        for (column, value) in pair.take(columns_of_tile) {
                            let mut value = simd.add_f32s(value, start);
                            if pass.relu {
                                // A maximum would turn NaN into 0 on some processors, and hide a diverged run.
                                let is_negative = simd.less_than_f32s(value, zero);
                                value = simd.select_f32s(is_negative, zero, value);
                            }
                            let place = first + column * n + images.start + image;
                            #[expect(unsafe_code, reason = "each thread has units of its own")]
                            // SAFETY: the row, the column and the images are within the target, and belong to one
                            // unit, and a unit to one thread.
                            let out = unsafe {
                                std::slice::from_raw_parts_mut(out.start().add(place), used)
                            };
                            if WHOLE {
                                S::as_mut_simd_f32s(out).0[0] = value;
                            } else {
                                simd.partial_store_f32s(out, value);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Aᵀ m
#[inline(always)]
fn halve<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
}
