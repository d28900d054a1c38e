//! The transforms of the gradient of the weights, and the products between them.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::POSITIONS;
use super::input_transform::INPUT_ROWS;
use crate::convolution::Plane;
use crate::tile::{TileKernel, sum_over_images};
use crate::weight_gradient::add_tile;

/// Copies the pixels of some tiles, with zeros where the plane ends and for the images that fill the last register. What
/// follows then knows no edges, and reads from a few adjacent pages.
pub(super) struct Stage<'a> {
    pub(super) source: &'a [f32],
    pub(super) plane: Plane,
    pub(super) n: usize,
    pub(super) images: Range<usize>,
    /// The first row and column in the source. Outside, they wrap around, and the values are 0.
    pub(super) y: usize,
    pub(super) x: usize,
    /// Tiles, which are next to each other.
    pub(super) count: usize,
    /// `[channel][row][column][padded]`
    pub(super) to: &'a mut [f32],
    /// Images per tile, with those that fill the last register.
    pub(super) padded: usize,
}

/// The values of the rows of some tiles, for a channel.
pub(super) const fn staged(count: usize, padded: usize) -> usize {
    4 * (2 * count + 2) * padded
}

impl WithSimd for Stage<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { source, plane, n, images, y, x, count, to, padded } = self;
        let width = 2 * count + 2;
        // The columns inside the plane.
        let left = 0_usize.wrapping_sub(x).min(width);
        let left = if x < plane.width { 0 } else { left };
        let right = plane.width.wrapping_sub(x).min(width).max(left);
        let lines = to.chunks_exact_mut(width * padded).take(4 * plane.channels);
        for (line, to) in lines.enumerate() {
            let (channel, row) = (line / 4, y.wrapping_add(line % 4));
            if row >= plane.height || left == right {
                to.fill(0.0);
                continue;
            }
            let (before, rest) = to.split_at_mut(left * padded);
            let (inside, after) = rest.split_at_mut((right - left) * padded);
            before.fill(0.0);
            after.fill(0.0);
            let first = (channel * plane.height + row) * plane.width + x.wrapping_add(left);
            let source = &source[first * n..][..(right - left) * n];
            if images.len() == n && n == padded {
                inside.copy_from_slice(source);
                continue;
            }
            for (from, to) in source.chunks_exact(n).zip(inside.chunks_exact_mut(padded)) {
                to[..images.len()].copy_from_slice(&from[images.clone()]);
                to[images.len()..].fill(0.0);
            }
        }
    }
}

/// A row of Bᵀ d B for all channels of some staged tiles.
pub(super) struct StagedTransform<'a> {
    /// See [`Stage`].
    pub(super) source: &'a [f32],
    pub(super) channels: usize,
    /// Tiles.
    pub(super) count: usize,
    pub(super) padded: usize,
    /// The row of positions to compute.
    pub(super) row: usize,
    /// `[column of positions][channel][tile][padded]`
    pub(super) to: &'a mut [f32],
    /// The distance of two positions.
    pub(super) stride: usize,
}

impl WithSimd for StagedTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, channels, count, padded, row, to, stride } = self;
        assert!(padded.is_multiple_of(S::F32_LANES), "whole registers");
        assert!(3 * stride + channels * count * padded <= to.len(), "room for all channels");
        let (row, row_stride) = (INPUT_ROWS[row], (2 * count + 2) * padded);
        let channel_values = staged(count, padded);
        for channel in 0..channels {
            let source = &source[channel * channel_values..][..channel_values];
            let to = &mut to[channel * count * padded..];
            for tile in 0..count {
                for image in (0..padded).step_by(S::F32_LANES) {
                    #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                    // SAFETY: a channel has four rows with two columns for each tile and two more, and the assertion above
                    // covers the last position.
                    unsafe {
                        let from = source.as_ptr().add(2 * tile * padded + image);
                        let at =
                            |row, column| from.wrapping_add(row * row_stride + column * padded);
                        let to = to.as_mut_ptr().add(tile * padded + image);
                        row.transform(simd, at, to, stride);
                    }
                }
            }
        }
    }
}

/// A dy Aᵀ for the channels in the lanes of some panels, with a last row of A of the opposite sign, which saves negations.
/// [`transform_kernel_gradient`] makes up for it.
pub(super) struct GradientTransform<'a> {
    /// Two rows, each `[panel][column][image][lane]`, with an even number of columns.
    pub(super) source: &'a [f32],
    /// The distance of the two rows.
    pub(super) row_stride: usize,
    pub(super) panels: usize,
    /// Tiles per panel.
    pub(super) count: usize,
    pub(super) images: usize,
    /// Lanes per panel.
    pub(super) width: usize,
    /// The row of positions to compute.
    pub(super) row: usize,
    /// `[column of positions][panel][tile][padded][lane]`
    pub(super) to: &'a mut [f32],
    /// Images per tile. Those without a gradient become 0.
    pub(super) padded: usize,
    /// The distance of two positions.
    pub(super) stride: usize,
}

impl WithSimd for GradientTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, row_stride, panels, count, images, width, row, to, padded, stride } =
            self;
        let column = images * width;
        let (upper, lower) = (&source[..row_stride], &source[row_stride..]);
        let size = panels * count * padded * width;
        assert!(images <= padded && size <= stride, "room for all panels");
        let mut positions = to.chunks_mut(stride);
        let mut positions: [&mut [f32]; 4] =
            from_fn(|_| positions.next().map_or(&mut [][..], |to| &mut to[..size]));
        for tile in 0..panels * count {
            let from = 2 * tile * column..2 * (tile + 1) * column;
            let (a, b) = S::as_simd_f32s(&upper[from.clone()]).0.split_at(column / S::F32_LANES);
            let (c, d) = S::as_simd_f32s(&lower[from]).0.split_at(column / S::F32_LANES);
            let place = tile * padded * width;
            let [first, second, third, fourth] = positions.each_mut().map(|to| {
                let (to, rest) = to[place..place + padded * width].split_at_mut(column);
                rest.fill(0.0);
                S::as_mut_simd_f32s(to).0
            });
            let to = first.iter_mut().zip(second).zip(third).zip(fourth);
            let values = a.iter().zip(b).zip(c).zip(d);
            for ((((first, second), third), fourth), (((a, b), c), d)) in to.zip(values) {
                let [left, right] = match row {
                    0 => [*a, *b],
                    1 => [simd.add_f32s(*a, *c), simd.add_f32s(*b, *d)],
                    2 => [simd.sub_f32s(*a, *c), simd.sub_f32s(*b, *d)],
                    _ => [*c, *d],
                };
                *first = left;
                *second = simd.add_f32s(left, right);
                *third = simd.sub_f32s(left, right);
                *fourth = right;
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

/// Gᵀ m G for the sums m of a channel of the input and the filters in the lanes of a register. The last row and column have
/// the opposite sign; see [`GradientTransform`].
#[inline(always)]
pub(super) fn transform_kernel_gradient<S: Simd>(
    simd: S,
    sums: [S::f32s; POSITIONS],
) -> [S::f32s; 9] {
    // Loops, because closures are not always compiled for the vector instructions.
    let half = simd.splat_f32s(0.5);
    let mut rows = [simd.splat_f32s(0.0); 12];
    for column in 0..4 {
        let [a, b, c] = combine(simd, half, [0, 1, 2, 3].map(|row| sums[4 * row + column]));
        (rows[column], rows[4 + column], rows[8 + column]) = (a, b, c);
    }
    let mut taps = [half; 9];
    for row in 0..3 {
        let [a, b, c] = combine(simd, half, [0, 1, 2, 3].map(|column| rows[4 * row + column]));
        (taps[3 * row], taps[3 * row + 1], taps[3 * row + 2]) = (a, b, c);
    }
    taps
}

/// Gᵀ m, see [`transform_kernel_gradient`].
#[inline(always)]
fn combine<S: Simd>(simd: S, half: S::f32s, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 3] {
    let sum = simd.mul_f32s(half, simd.add_f32s(b, c));
    let difference = simd.mul_f32s(half, simd.sub_f32s(b, c));
    [simd.add_f32s(a, sum), difference, simd.sub_f32s(sum, d)]
}
