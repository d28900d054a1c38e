//! The transforms of the forward pass, and the products between them.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{BLOCK, POSITIONS, SUMS};
use crate::convolution::{Convolution, Pass, Plane};
use crate::correlation::Source;
use crate::moments::LANES;
use crate::pooling::{largest, store_indices};
use crate::tile::{MAX_ROWS, TileKernel, max_rows, tiles};
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
            let rows = targets.start.max(first)..targets.end.min(first + height);
            if rows.is_empty() {
                continue;
            }
            for channel in 0..depth {
                // A kernel in each lane.
                let mut kernels = [[0.0; MAX_ROWS]; 9];
                for (lane, target) in rows.clone().enumerate() {
                    let kernel = match pass.source {
                        Source::Input => target * channels + channel,
                        Source::Gradient => channel * channels + target,
                    };
                    let kernel = &pass.weights[kernel * 9..][..9];
                    for (tap, weight) in kernel.iter().enumerate() {
                        let tap = match pass.source {
                            Source::Input => tap,
                            Source::Gradient => 8 - tap,
                        };
                        kernels[tap][lane] = *weight;
                    }
                }
                let place = first * depth + channel * height + rows.start - first;
                for (position, values) in transform_kernels(&kernels).iter().enumerate() {
                    let place = position * depth * all + place;
                    #[expect(unsafe_code, reason = "each thread writes other targets")]
                    // SAFETY: the places of targets belong to one thread.
                    let to = unsafe { packed.get(place..place + rows.len()) };
                    // A loop, because calling a function takes longer for a few values.
                    for (to, value) in to.iter_mut().zip(values) {
                        *to = *value;
                    }
                }
            }
        }
    }
}

/// G g Gᵀ for a kernel in each lane.
#[inline(always)]
fn transform_kernels(kernels: &[[f32; MAX_ROWS]; 9]) -> [[f32; MAX_ROWS]; POSITIONS] {
    let mut rows = [[0.0; MAX_ROWS]; 12];
    for column in 0..3 {
        for lane in 0..MAX_ROWS {
            let kernel = [0, 1, 2].map(|row| kernels[3 * row + column][lane]);
            for (row, value) in transform_kernel(kernel).into_iter().enumerate() {
                rows[3 * row + column][lane] = value;
            }
        }
    }
    let mut positions = [[0.0; MAX_ROWS]; POSITIONS];
    for row in 0..4 {
        for lane in 0..MAX_ROWS {
            let kernel = [0, 1, 2].map(|column| rows[3 * row + column][lane]);
            for (column, value) in transform_kernel(kernel).into_iter().enumerate() {
                positions[4 * row + column][lane] = value;
            }
        }
    }
    positions
}

/// G g
#[inline(always)]
fn transform_kernel([a, b, c]: [f32; 3]) -> [f32; 4] {
    let outer = a + c;
    [a, 0.5 * (outer + b), 0.5 * (outer - b), c]
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
        let (row_inside, whole) = (is_inside(y, height), images.len() == padded);
        let zeros = [0.0; BLOCK];
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
                // The first image of a position of the tile; `None` outside the plane.
                let pixel = |row: usize, column: usize| {
                    let (row, column) = (y.wrapping_add(row), x.wrapping_add(column));
                    (row < height && column < columns)
                        .then(|| ((channel * height + row) * columns + column) * n + images.start)
                };
                if whole && row_inside && is_inside(x, columns) {
                    let first = ((channel * height + y) * columns + x) * n + images.start;
                    let from = source[first..].as_ptr();
                    #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                    // SAFETY: four rows and columns from the first one on are within the plane, and the assertion above
                    // covers the last position.
                    unsafe {
                        let at = |row, column| from.wrapping_add((row * columns + column) * n);
                        transform_input(simd, at, padded, to, stride);
                    }
                    continue;
                }
                let tile: [[*const f32; 4]; 4] = if whole {
                    // Zeros are read where the plane ends.
                    from_fn(|row| {
                        from_fn(|column| {
                            pixel(row, column)
                                .map_or(zeros.as_ptr(), |first| source[first..].as_ptr())
                        })
                    })
                } else {
                    edge.fill(0.0);
                    for (index, to) in edge.chunks_exact_mut(padded).take(POSITIONS).enumerate() {
                        if let Some(first) = pixel(index / 4, index % 4) {
                            to[..images.len()].copy_from_slice(&source[first..][..images.len()]);
                        }
                    }
                    from_fn(|row| from_fn(|column| edge[(4 * row + column) * padded..].as_ptr()))
                };
                #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                // SAFETY: at each pointer are the images of a position, or as many zeros, and the assertion above covers
                // the last position.
                unsafe {
                    transform_input(simd, |row, column| tile[row][column], padded, to, stride);
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
    /// Computes a row of positions for the images of a register. `at` is where those of a row and a column of the tile are.
    ///
    /// # Safety
    ///
    /// There is a register at all rows and columns, and at the distances of four positions in `to`.
    #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
    #[inline(always)]
    pub(super) unsafe fn transform<S: Simd>(
        self,
        simd: S,
        at: impl Fn(usize, usize) -> *const f32,
        to: *mut f32,
        stride: usize,
    ) {
        let mut values = [simd.splat_f32s(0.0); 4];
        for (column, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller guarantees that the tile has these rows and columns.
            let (left, right) = unsafe {
                (
                    at(self.left, column).cast::<S::f32s>().read_unaligned(),
                    at(self.right, column).cast::<S::f32s>().read_unaligned(),
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

/// Transforms the tile of a channel. `at` is where the images of a row and a column of the tile are.
///
/// # Safety
///
/// There are `width` values at all rows and columns, and at the distances of all positions in `to`.
#[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    simd: S,
    at: impl Fn(usize, usize) -> *const f32,
    width: usize,
    to: *mut f32,
    stride: usize,
) {
    for image in (0..width).step_by(S::F32_LANES) {
        for (index, row) in INPUT_ROWS.into_iter().enumerate() {
            // SAFETY: the same guarantees.
            unsafe {
                let to = to.add(4 * index * stride + image);
                row.transform(simd, |row, column| at(row, column).wrapping_add(image), to, stride);
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
    /// The target, or with [`Pass::maxima`] that of the maxima.
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
        let maxima = Plane { channels, height: height / 2, width: columns / 2 };
        let values = if pass.maxima.is_some() { maxima.len() } else { plane.len() };
        assert!(images.end <= n && out.len() == values * n, "the target has all images");
        assert!(
            pass.maxima.is_none_or(|indices| indices.len() == values * n),
            "an index for each maximum"
        );
        assert!(images.len() <= padded && padded.is_multiple_of(lanes), "whole registers");
        let last = (SUMS - 1) * stride + channels * count * padded;
        assert!(last <= sums.len(), "sums of all channels");
        assert!(y < height && x + 2 * (count - 1) < columns, "tiles within the target");
        let zero = simd.splat_f32s(0.0);
        let rectified = |value| {
            // A maximum would turn NaN into 0 on some processors, and hide a diverged run.
            if pass.relu {
                simd.select_f32s(simd.less_than_f32s(value, zero), zero, value)
            } else {
                value
            }
        };
        for channel in 0..channels {
            let start = simd.splat_f32s(pass.start.get(channel).copied().unwrap_or(0.0));
            for tile in 0..count {
                let x = x + 2 * tile;
                let (rows_of_tile, columns_of_tile) = (2.min(height - y), 2.min(columns - x));
                for image in (0..images.len()).step_by(lanes) {
                    let used = if WHOLE { lanes } else { lanes.min(images.len() - image) };
                    let mut results = [[zero; 2]; 2];
                    for (row, results) in results.iter_mut().enumerate() {
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
                        let [left, right] = halve(simd, values);
                        *results = [simd.add_f32s(left, start), simd.add_f32s(right, start)];
                    }
                    let write = |place: usize, value: S::f32s| {
                        #[expect(unsafe_code, reason = "each thread has units of its own")]
                        // SAFETY: `place` is that of a row, a column and images within the target, which belong to one
                        // unit, and a unit to one thread.
                        let out =
                            unsafe { std::slice::from_raw_parts_mut(out.start().add(place), used) };
                        if WHOLE {
                            S::as_mut_simd_f32s(out).0[0] = value;
                        } else {
                            simd.partial_store_f32s(out, value);
                        }
                    };
                    if let Some(indices) = pass.maxima {
                        if rows_of_tile == 2 && columns_of_tile == 2 {
                            let first = (channel * maxima.height + y / 2) * maxima.width + x / 2;
                            let place = first * n + images.start + image;
                            let [[a, b], [c, d]] = results;
                            let (best, index) = largest(simd, [(a, 0), (b, 1), (c, 2), (d, 3)]);
                            write(place, rectified(best));
                            let mut lanes = [0_u32; LANES];
                            S::as_mut_simd_u32s(&mut lanes).0[0] = index;
                            #[expect(unsafe_code, reason = "each thread has units of its own")]
                            // SAFETY: the places of a unit belong to one thread.
                            let indices = unsafe { indices.get(place..place + used) };
                            if WHOLE {
                                // With a known length, the loop is a few instructions.
                                store_indices(&mut indices[..S::F32_LANES], &lanes);
                            } else {
                                store_indices(indices, &lanes);
                            }
                        }
                        continue;
                    }
                    for (row, results) in results.into_iter().enumerate().take(rows_of_tile) {
                        let first = ((channel * height + y + row) * columns + x) * n;
                        let place = first + images.start + image;
                        write(place, rectified(results[0]));
                        if columns_of_tile == 2 {
                            write(place + n, rectified(results[1]));
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
