//! The products between the transforms.

use std::array::from_fn;

use pulp::Simd;

use crate::tile::TileKernel;

/// The products of some rows of transformed weights with the values of a position.
pub(super) struct PositionProduct<'a> {
    /// `[channel][row]`
    pub(super) weights: &'a [f32],
    /// `[channel][width]`
    pub(super) values: &'a [f32],
    pub(super) depth: usize,
    /// A multiple of the lanes of a register.
    pub(super) width: usize,
    /// `[row][width]`
    pub(super) out: &'a mut [f32],
}

impl TileKernel for PositionProduct<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self { weights, values, depth, width, out } = self;
        let lanes = S::F32_LANES;
        assert!(width.is_multiple_of(lanes) && ROWS * width <= out.len(), "room for the products");
        let mut first = 0;
        while first < width {
            let (values, out) = (&values[first..], out[first..].as_mut_ptr());
            if width - first >= 2 * lanes {
                let tile = sum_over_channels::<S, ROWS, 2>(simd, weights, values, depth, width);
                #[expect(unsafe_code, reason = "bounds checks would take as long as the stores")]
                // SAFETY: the assertion covers the last row.
                unsafe {
                    store_tile::<S, ROWS, 2>(tile, out, width)
                };
                first += 2 * lanes;
            } else {
                let tile = sum_over_channels::<S, ROWS, 1>(simd, weights, values, depth, width);
                #[expect(unsafe_code, reason = "as above")]
                // SAFETY: as above.
                unsafe {
                    store_tile::<S, ROWS, 1>(tile, out, width)
                };
                first += lanes;
            }
        }
    }
}

/// # Safety
///
/// There is room for `ROWS` rows of `REGISTERS` registers after `out`, `width` values apart.
#[expect(unsafe_code, reason = "bounds checks would take as long as the stores")]
#[inline(always)]
unsafe fn store_tile<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    tile: [[S::f32s; REGISTERS]; ROWS],
    out: *mut f32,
    width: usize,
) {
    for (row, values) in tile.into_iter().enumerate() {
        for (register, value) in values.into_iter().enumerate() {
            let to = out.wrapping_add(row * width + register * S::F32_LANES);
            // SAFETY: the caller guarantees that there is room.
            unsafe { to.cast::<S::f32s>().write_unaligned(value) };
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
