//! The products between the transforms.

use std::array::from_fn;

use pulp::Simd;

use crate::tile::TileKernel;

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
