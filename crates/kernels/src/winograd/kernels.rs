//! The transforms of the forward pass, and the products between them.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{BLOCK, POSITIONS, SUMS};
use crate::convolution::{Convolution, Pass, Plane};
use crate::correlation::Source;
use crate::tile::{TileKernel, max_rows, tiles};
use crate::workspace::{LINE, Shards};

/// Transforms the kernels to `[position][tile of target channels][source channel][target channel of the tile]`.
pub(super) struct PackWeights<'a> {
    pub(super) convolution: &'a Convolution,
    pub(super) pass: Pass<'a>,
    pub(super) targets: Range<usize>,
    pub(super) packed: &'a Shards<'a, f32>,
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

/// Bᵀ d B for all channels of some tiles.
pub(super) struct InputTransform<'a> {
    pub(super) source: &'a [f32],
    pub(super) plane: Plane,
    pub(super) n: usize,
    pub(super) images: Range<usize>,
    /// The first row and column of the tile in the source. Outside, they wrap around, and the values are 0.
    pub(super) y: usize,
    pub(super) x: usize,
    /// Tiles, which are next to each other.
    pub(super) count: usize,
    /// `[position][channel][tile][padded]`
    pub(super) to: &'a mut [f32],
    /// Images per tile, with those that fill the last register.
    pub(super) padded: usize,
    /// The distance of two positions.
    pub(super) stride: usize,
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

/// A row of Bᵀ: two rows of a tile, and whether the second one is added or subtracted.
#[derive(Clone, Copy)]
pub(super) struct InputRow {
    left: usize,
    right: usize,
    adds: bool,
}

pub(super) const INPUT_ROWS: [InputRow; 4] = [
    InputRow { left: 0, right: 2, adds: false },
    InputRow { left: 1, right: 2, adds: true },
    InputRow { left: 2, right: 1, adds: false },
    InputRow { left: 1, right: 3, adds: false },
];

impl InputRow {
    /// Computes a row of positions for the images of a register.
    ///
    /// # Safety
    ///
    /// There is a register at `from` and at the distances of all rows and columns, and at the distances of four positions
    /// in `to`.
    #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
    #[inline(always)]
    pub(super) unsafe fn transform<S: Simd>(
        self,
        simd: S,
        from: *const f32,
        row_stride: usize,
        column_stride: usize,
        to: *mut f32,
        stride: usize,
    ) {
        let mut values = [simd.splat_f32s(0.0); 4];
        for (column, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller guarantees that the tile has these rows and columns.
            let (left, right) = unsafe {
                let from = from.add(column * column_stride);
                (
                    from.add(self.left * row_stride).cast::<S::f32s>().read_unaligned(),
                    from.add(self.right * row_stride).cast::<S::f32s>().read_unaligned(),
                )
            };
            *value =
                if self.adds { simd.add_f32s(left, right) } else { simd.sub_f32s(left, right) };
        }
        let [a, b, c, d] = values;
        let values =
            [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)];
        for (column, value) in values.into_iter().enumerate() {
            // SAFETY: the caller guarantees that there is room for all positions.
            unsafe { to.add(column * stride).cast::<S::f32s>().write_unaligned(value) };
        }
    }
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
    for image in (0..width).step_by(S::F32_LANES) {
        for (index, row) in INPUT_ROWS.into_iter().enumerate() {
            // SAFETY: the same guarantees.
            unsafe {
                let (from, to) = (from.add(image), to.add(4 * index * stride + image));
                row.transform(simd, from, row_stride, column_stride, to, stride);
            }
        }
    }
}

/// The products of some rows of transformed weights with the values of a position, and the first half of the output
/// transform, Aᵀ m.
pub(super) struct Product<'a> {
    /// `[channel][row]`
    pub(super) weights: &'a [f32],
    /// `[channel][width]`
    pub(super) values: &'a [f32],
    pub(super) depth: usize,
    /// A multiple of the lanes of a register.
    pub(super) width: usize,
    /// The row of the position.
    pub(super) row: usize,
    /// m₀ + m₁ + m₂, and `stride` values later m₁ - m₂ - m₃: `[row][width]`.
    pub(super) sums: &'a mut [f32],
    pub(super) stride: usize,
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
pub(super) struct OutputTransform<'a> {
    /// `[column][half][channel][tile][padded]`
    pub(super) sums: &'a [f32],
    pub(super) padded: usize,
    pub(super) stride: usize,
    pub(super) pass: Pass<'a>,
    pub(super) plane: Plane,
    pub(super) images: Range<usize>,
    /// The first row and column of the tiles.
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) count: usize,
    pub(super) out: &'a Shards<'a, f32>,
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
