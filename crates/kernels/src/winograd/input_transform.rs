//! The transform of the input.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{BLOCK, OUTPUTS, POSITIONS, SPAN, inside, transforms};
use crate::convolution::Plane;
use crate::workspace::LINE;

/// Bᵀ d B for all channels of some tiles.
pub(super) struct InputTransform<'a> {
    pub(super) source: &'a [f32],
    pub(super) plane: Plane,
    pub(super) n: usize,
    pub(super) images: Range<usize>,
    /// The first row and column of the tiles in the source. Outside, they wrap around, and the values are 0.
    pub(super) y: usize,
    pub(super) x: usize,
    /// Tiles, which are next to each other.
    pub(super) count: usize,
    /// Zeros for a row of a tile: `SPAN` times the larger one of `n` and `padded`.
    pub(super) zeros: &'a [f32],
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
        let Self { source, plane, n, images, y, x, count, zeros, to, padded, stride } = self;
        let Plane { channels, height, width } = plane;
        assert!(images.end <= n && source.len() == plane.len() * n, "the source has all images");
        assert!(images.len() <= padded && padded <= BLOCK, "room for the images");
        assert!(padded.is_multiple_of(S::F32_LANES), "whole registers");
        let last = (POSITIONS - 1) * stride + channels * count * padded;
        assert!(last <= to.len(), "room for all channels");
        assert!(zeros.len() >= SPAN * n.max(padded), "zeros for a row");
        let rows = inside(y, height, SPAN);
        let mut copy = [[0.0; SPAN * BLOCK]; SPAN];
        for channel in 0..channels {
            // Where the images of the first column of a row of the channel are. It may be before the source or after it.
            let at = |channel: usize, row: usize, x: usize| {
                let line = (channel * height).wrapping_add(y).wrapping_add(row);
                let pixel = line.wrapping_mul(width).wrapping_add(x);
                source.as_ptr().wrapping_add(pixel.wrapping_mul(n).wrapping_add(images.start))
            };
            // Prefetch the rows of the next channel: rows are too short for the hardware prefetcher. After the last channel the
            // addresses are outside the source, which a prefetch ignores.
            for row in rows.clone() {
                let from = at(channel + 1, row, x);
                for column in 0..OUTPUTS * count + 2 {
                    for image in (0..padded).step_by(LINE) {
                        prefetch(from.wrapping_add(column * n + image));
                    }
                }
            }
            for tile in 0..count {
                let x = x.wrapping_add(OUTPUTS * tile);
                let columns = inside(x, width, SPAN);
                let mut tile_rows = TileRows { rows: [zeros.as_ptr(); SPAN], step: n, columns };
                if images.len() == padded {
                    for row in rows.clone() {
                        tile_rows.rows[row] = at(channel, row, x);
                    }
                } else {
                    tile_rows.step = padded;
                    for row in rows.clone() {
                        let line = (channel * height + y.wrapping_add(row)) * width;
                        for column in tile_rows.columns.clone() {
                            let first = (line + x.wrapping_add(column)) * n + images.start;
                            copy[row][column * padded..][..images.len()]
                                .copy_from_slice(&source[first..][..images.len()]);
                        }
                        tile_rows.rows[row] = copy[row].as_ptr();
                    }
                }
                let to = to[(channel * count + tile) * padded..].as_mut_ptr();
                #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
                // SAFETY: the rows and columns inside the plane are in the source, or copied with zeros for the images that
                // fill the last register. The other rows are zeros. The assertion above covers the last position.
                unsafe {
                    tile_rows.transform(simd, padded, to, stride);
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

/// The tile of a channel.
struct TileRows {
    rows: [*const f32; SPAN],
    /// The distance of two columns.
    step: usize,
    /// The columns inside the plane. The others are 0 and are not read.
    columns: Range<usize>,
}

impl TileRows {
    /// Transforms the tile.
    ///
    /// # Safety
    ///
    /// `width` values can be read at each row and each column inside the plane, and can be written at `to` plus each multiple
    /// of `stride` below 36 · `stride`.
    #[expect(unsafe_code, reason = "bounds checks would take as long as the sums")]
    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, simd: S, width: usize, to: *mut f32, stride: usize) {
        for image in (0..width).step_by(S::F32_LANES) {
            let mut columns = [[simd.splat_f32s(0.0); SPAN]; SPAN];
            for (column, transformed) in columns.iter_mut().enumerate() {
                if column < self.columns.start || column >= self.columns.end {
                    continue;
                }
                let mut values = [simd.splat_f32s(0.0); SPAN];
                for (row, value) in values.iter_mut().enumerate() {
                    let from = self.rows[row].wrapping_add(column * self.step + image);
                    // SAFETY: the caller guarantees that the tile has this row and column.
                    *value = unsafe { from.cast::<S::f32s>().read_unaligned() };
                }
                *transformed = transforms::input(simd, values);
            }
            for row in 0..SPAN {
                let mut values = [simd.splat_f32s(0.0); SPAN];
                for (value, column) in values.iter_mut().zip(&columns) {
                    *value = column[row];
                }
                let to = to.wrapping_add(SPAN * row * stride + image);
                for (column, value) in transforms::input(simd, values).into_iter().enumerate() {
                    // SAFETY: the caller guarantees that there is room for all positions.
                    unsafe {
                        to.wrapping_add(column * stride).cast::<S::f32s>().write_unaligned(value);
                    }
                }
            }
        }
    }
}
