//! The transform of the products to the output.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{OUTPUTS, POSITIONS, SPAN, transforms};
use crate::convolution::{Pass, Plane};
use crate::moments::LANES;
use crate::pooling::{largest, store_indices};
use crate::workspace::Shards;

/// Aᵀ m A for all target channels of some tiles, and what follows before the results are stored.
pub(super) struct OutputTransform<'a> {
    /// `[position][channel][tile][padded]`
    pub(super) products: &'a [f32],
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
    /// `WHOLE` is a constant, so that full registers need no partial stores.
    #[inline(always)]
    fn transform<S: Simd, const WHOLE: bool>(self, simd: S) {
        let Self { products, padded, stride, pass, plane, images, y, x, count, out } = self;
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
        let last = (POSITIONS - 1) * stride + channels * count * padded;
        assert!(last <= products.len(), "products of all channels");
        assert!(y < height && x + OUTPUTS * (count - 1) < columns, "tiles within the target");
        let zero = simd.splat_f32s(0.0);
        for channel in 0..channels {
            let bias = simd.splat_f32s(pass.bias.get(channel).copied().unwrap_or(0.0));
            for tile in 0..count {
                let x = x + OUTPUTS * tile;
                let (rows_of_tile, columns_of_tile) =
                    (OUTPUTS.min(height - y), OUTPUTS.min(columns - x));
                for image in (0..images.len()).step_by(lanes) {
                    let used = if WHOLE { lanes } else { lanes.min(images.len() - image) };
                    let first = (channel * count + tile) * padded + image;
                    let mut half = [[zero; OUTPUTS]; SPAN];
                    for (column, transformed) in half.iter_mut().enumerate() {
                        let mut values = [zero; SPAN];
                        for (row, value) in values.iter_mut().enumerate() {
                            let place = (SPAN * row + column) * stride + first;
                            #[expect(unsafe_code, reason = "bounds checks would take as long")]
                            // SAFETY: the assertions above cover the last position, channel, tile and image.
                            unsafe {
                                let product = products.as_ptr().add(place).cast::<S::f32s>();
                                *value = product.read_unaligned();
                            }
                        }
                        *transformed = transforms::output(simd, values);
                    }
                    let mut results = [[zero; OUTPUTS]; OUTPUTS];
                    for (row, results) in results.iter_mut().enumerate() {
                        let mut values = [zero; SPAN];
                        for (value, column) in values.iter_mut().zip(&half) {
                            *value = column[row];
                        }
                        let values = transforms::output(simd, values);
                        for (result, value) in results.iter_mut().zip(values) {
                            *result = simd.add_f32s(value, bias);
                        }
                    }
                    let write = |place: usize, value: S::f32s| {
                        #[expect(
                            unsafe_code,
                            reason = "each thread has units of its own, and bounds checks take too long"
                        )]
                        // SAFETY: the assertions above place the row, the column and the images within the target. A unit
                        // belongs to one thread, so nothing else uses them.
                        let out =
                            unsafe { std::slice::from_raw_parts_mut(out.start().add(place), used) };
                        if WHOLE {
                            let out = &mut S::as_mut_simd_f32s(out).0[0];
                            *out = pass.finish.apply(simd, value, || *out);
                        } else {
                            let old = || simd.partial_load_f32s(out);
                            let value = pass.finish.apply(simd, value, old);
                            simd.partial_store_f32s(out, value);
                        }
                    };
                    if let Some(indices) = pass.maxima {
                        for row in 0..rows_of_tile / 2 {
                            for column in 0..columns_of_tile / 2 {
                                let line = channel * maxima.height + y / 2 + row;
                                let first = line * maxima.width + x / 2 + column;
                                let place = first * n + images.start + image;
                                let at = |y: usize, x: usize| results[2 * row + y][2 * column + x];
                                let window =
                                    [(at(0, 0), 0), (at(0, 1), 1), (at(1, 0), 2), (at(1, 1), 3)];
                                let (best, index) = largest(simd, window);
                                write(place, best);
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
                        }
                        continue;
                    }
                    for (row, results) in results.into_iter().enumerate().take(rows_of_tile) {
                        let first = ((channel * height + y + row) * columns + x) * n;
                        let place = first + images.start + image;
                        for (column, value) in results.into_iter().enumerate().take(columns_of_tile)
                        {
                            write(place + column * n, value);
                        }
                    }
                }
            }
        }
    }
}
