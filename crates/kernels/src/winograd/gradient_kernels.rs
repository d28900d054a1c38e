//! The transforms of the gradient of the weights, and the products between them.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{BLOCK, OUTPUTS, POSITIONS, SPAN, inside, transforms};
use crate::convolution::Plane;
use crate::tile::{TileKernel, sum_over_images};
use crate::weight_gradient::add_tile;

/// Bᵀ d for all channels of some tiles. The edges of the plane are handled here, so [`ColumnTransform`] needs no checks, and
/// its reads touch few pages.
pub(super) struct RowTransform<'a> {
    pub(super) source: &'a [f32],
    pub(super) plane: Plane,
    pub(super) n: usize,
    pub(super) images: Range<usize>,
    /// The first row and column in the source. Outside, they wrap around, and the values are 0.
    pub(super) y: usize,
    pub(super) x: usize,
    /// Tiles, which are next to each other.
    pub(super) count: usize,
    /// `[row of positions][channel][column][padded]`
    pub(super) to: &'a mut [f32],
    /// Images per tile, with those that fill the last register.
    pub(super) padded: usize,
    /// The distance of two rows of positions.
    pub(super) stride: usize,
}

/// The columns of some tiles that are next to each other.
pub(super) const fn columns(count: usize) -> usize {
    OUTPUTS * count + 2
}

impl WithSimd for RowTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, plane, n, images, y, x, count, to, padded, stride } = self;
        let columns = columns(count);
        assert!(images.end <= n && source.len() == plane.len() * n, "the source has all images");
        assert!(images.len() <= padded && padded <= BLOCK, "room for the images");
        assert!(padded.is_multiple_of(S::F32_LANES), "whole registers");
        let size = plane.channels * columns * padded;
        assert!((SPAN - 1) * stride + size <= to.len(), "room for all channels");
        let rows = inside(y, plane.height, SPAN);
        let inside = inside(x, plane.width, columns);
        let whole = images.len() == padded;
        let zeros = [0.0; BLOCK];
        // The zeros after the images fill the last register.
        let mut copy = [[0.0; BLOCK]; SPAN];
        for channel in 0..plane.channels {
            for column in 0..columns {
                let first = (channel * columns + column) * padded;
                if !inside.contains(&column) {
                    for row in 0..SPAN {
                        to[row * stride + first..][..padded].fill(0.0);
                    }
                    continue;
                }
                let mut from = [zeros.as_ptr(); SPAN];
                for row in rows.clone() {
                    let line = channel * plane.height + y.wrapping_add(row);
                    let pixel = line * plane.width + x.wrapping_add(column);
                    let values = &source[pixel * n + images.start..][..images.len()];
                    from[row] = values.as_ptr();
                    if !whole {
                        copy[row][..images.len()].copy_from_slice(values);
                        from[row] = copy[row].as_ptr();
                    }
                }
                for image in (0..padded).step_by(S::F32_LANES) {
                    let mut values = [simd.splat_f32s(0.0); SPAN];
                    for (value, from) in values.iter_mut().zip(from) {
                        let from = from.wrapping_add(image).cast::<S::f32s>();
                        #[expect(unsafe_code, reason = "bounds checks would take as long")]
                        // SAFETY: each pointer is to at least `padded` values: the source, a copy filled with zeros, or zeros.
                        unsafe {
                            *value = from.read_unaligned();
                        }
                    }
                    let to = to[first + image..].as_mut_ptr();
                    for (row, value) in transforms::input(simd, values).into_iter().enumerate() {
                        #[expect(unsafe_code, reason = "bounds checks would take as long")]
                        // SAFETY: the assertion above covers the last row.
                        unsafe {
                            to.wrapping_add(row * stride).cast::<S::f32s>().write_unaligned(value);
                        }
                    }
                }
            }
        }
    }
}

/// A row of Bᵀ d B for all channels of some tiles, from the same row of Bᵀ d.
pub(super) struct ColumnTransform<'a> {
    /// `[channel][column][padded]`, see [`RowTransform`].
    pub(super) source: &'a [f32],
    pub(super) channels: usize,
    /// Tiles.
    pub(super) count: usize,
    pub(super) padded: usize,
    /// `[column of positions][channel][tile][padded]`
    pub(super) to: &'a mut [f32],
    /// The distance of two positions.
    pub(super) stride: usize,
}

impl WithSimd for ColumnTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, channels, count, padded, to, stride } = self;
        assert!(padded.is_multiple_of(S::F32_LANES), "whole registers");
        let last = (SPAN - 1) * stride + channels * count * padded;
        assert!(last <= to.len(), "room for all channels");
        assert!(channels * columns(count) * padded <= source.len(), "all columns");
        for channel in 0..channels {
            for tile in 0..count {
                for image in (0..padded).step_by(S::F32_LANES) {
                    let column = channel * columns(count) + OUTPUTS * tile;
                    let from = source.as_ptr().wrapping_add(column * padded + image);
                    let place = (channel * count + tile) * padded + image;
                    let to = to.as_mut_ptr().wrapping_add(place);
                    let mut line = [simd.splat_f32s(0.0); SPAN];
                    for (column, value) in line.iter_mut().enumerate() {
                        let from = from.wrapping_add(column * padded).cast::<S::f32s>();
                        #[expect(unsafe_code, reason = "bounds checks would take as long")]
                        // SAFETY: a tile has six columns, and the assertion above covers the last one.
                        unsafe {
                            *value = from.read_unaligned();
                        }
                    }
                    for (column, value) in transforms::input(simd, line).into_iter().enumerate() {
                        let to = to.wrapping_add(column * stride).cast::<S::f32s>();
                        #[expect(unsafe_code, reason = "bounds checks would take as long")]
                        // SAFETY: the assertion above covers the last position.
                        unsafe {
                            to.write_unaligned(value);
                        }
                    }
                }
            }
        }
    }
}

/// Computes A dy in place. dy has four rows and A dy six. Their first and last rows are equal, so dy starts in rows 0, 1, 2
/// and 5 ([`GRADIENT_ROWS`]).
pub(super) struct GradientRowTransform<'a> {
    /// Six rows of `stride` values.
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
}

/// Where the rows of the gradient are before [`GradientRowTransform`].
pub(super) const GRADIENT_ROWS: [usize; OUTPUTS] = [0, 1, 2, SPAN - 1];

impl WithSimd for GradientRowTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { values, stride } = self;
        assert!(stride.is_multiple_of(S::F32_LANES), "whole registers");
        let mut rows = values.chunks_exact_mut(stride);
        let rows: [&mut [S::f32s]; SPAN] =
            from_fn(|_| rows.next().map_or(&mut [][..], |row| S::as_mut_simd_f32s(row).0));
        #[expect(clippy::needless_range_loop, reason = "an index of all six rows")]
        for index in 0..stride / S::F32_LANES {
            let mut values = [simd.splat_f32s(0.0); OUTPUTS];
            for (value, row) in values.iter_mut().zip(GRADIENT_ROWS) {
                *value = rows[row][index];
            }
            let values = transforms::gradient(simd, values);
            for row in 1..SPAN - 1 {
                rows[row][index] = values[row];
            }
        }
    }
}

/// A row of A dy Aᵀ for the channels in the lanes of some panels, from the same row of A dy.
pub(super) struct GradientColumnTransform<'a> {
    /// `[panel][column][image][lane]`, with four columns for each tile.
    pub(super) source: &'a [f32],
    pub(super) panels: usize,
    /// Tiles per panel.
    pub(super) count: usize,
    pub(super) images: usize,
    /// Lanes per panel.
    pub(super) width: usize,
    /// `[column of positions][panel][tile][padded][lane]`
    pub(super) to: &'a mut [f32],
    /// Images per tile. Those without a gradient become 0.
    pub(super) padded: usize,
    /// The distance of two positions.
    pub(super) stride: usize,
}

impl WithSimd for GradientColumnTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, panels, count, images, width, to, padded, stride } = self;
        let (column, size) = (images * width, padded * width);
        assert!(images <= padded && column.is_multiple_of(S::F32_LANES), "whole registers");
        assert!((SPAN - 1) * stride + panels * count * size <= to.len(), "room for all panels");
        assert!(panels * count * OUTPUTS * column <= source.len(), "all panels");
        for tile in 0..panels * count {
            for lane in (0..column).step_by(S::F32_LANES) {
                let from = source.as_ptr().wrapping_add(OUTPUTS * tile * column + lane);
                let mut line = [simd.splat_f32s(0.0); OUTPUTS];
                for (x, value) in line.iter_mut().enumerate() {
                    let from = from.wrapping_add(x * column).cast::<S::f32s>();
                    #[expect(unsafe_code, reason = "bounds checks would take as long")]
                    // SAFETY: the assertion above covers the last column.
                    unsafe {
                        *value = from.read_unaligned();
                    }
                }
                let to = to.as_mut_ptr().wrapping_add(tile * size + lane);
                for (x, value) in transforms::gradient(simd, line).into_iter().enumerate() {
                    let to = to.wrapping_add(x * stride).cast::<S::f32s>();
                    #[expect(unsafe_code, reason = "bounds checks would take as long")]
                    // SAFETY: the assertion above covers the last position.
                    unsafe {
                        to.write_unaligned(value);
                    }
                }
            }
            for position in 0..SPAN {
                to[position * stride + tile * size..][column..size].fill(0.0);
            }
        }
    }
}

/// The products of some channels of the input with a panel of the gradient at a position, which are added to their sums.
pub(super) struct GradientProduct<'a> {
    /// `[channel][tile][padded]`
    pub(super) values: &'a [f32],
    /// `[tile][padded][lane]`
    pub(super) panel: &'a [f32],
    /// Tiles times padded images.
    pub(super) depth: usize,
    /// Lanes.
    pub(super) width: usize,
    /// `[channel][lane]`
    pub(super) sums: &'a mut [f32],
}

impl TileKernel for GradientProduct<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self { values, panel, depth, width, sums } = self;
        let starts = from_fn(|row| row * depth);
        let rows = from_fn::<usize, ROWS, _>(|row| row);
        if width == S::F32_LANES {
            let tile = sum_over_images::<S, ROWS, 1>(simd, values, starts, 0, panel, 0, 1, depth);
            add_tile(simd, tile, sums, rows);
        } else {
            let tile = sum_over_images::<S, ROWS, 2>(simd, values, starts, 0, panel, 0, 1, depth);
            add_tile(simd, tile, sums, rows);
        }
    }
}

/// Gᵀ m G for the sums m of a channel of the input and the filters in the lanes of a register.
#[inline(always)]
pub(super) fn transform_kernel_gradient<S: Simd>(
    simd: S,
    sums: [S::f32s; POSITIONS],
) -> [S::f32s; 9] {
    // Loops, because closures are not always compiled for the vector instructions.
    let mut rows = [[simd.splat_f32s(0.0); SPAN]; 3];
    for column in 0..SPAN {
        let mut values = [simd.splat_f32s(0.0); SPAN];
        for (row, value) in values.iter_mut().enumerate() {
            *value = sums[SPAN * row + column];
        }
        for (row, value) in transforms::kernel_gradient(simd, values).into_iter().enumerate() {
            rows[row][column] = value;
        }
    }
    let mut taps = [simd.splat_f32s(0.0); 9];
    for (taps, row) in taps.chunks_exact_mut(3).zip(rows) {
        taps.copy_from_slice(&transforms::kernel_gradient(simd, row));
    }
    taps
}
