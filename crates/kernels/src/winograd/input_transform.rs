//! The transform of the input.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{BLOCK, POSITIONS};
use crate::convolution::Plane;
use crate::workspace::LINE;

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
