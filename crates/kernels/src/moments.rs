//! Sums over lanes, and the moments of a channel, for batch normalization.

use pulp::{Simd, WithSimd};

/// The lanes in which sums over the batch are gathered, whatever the width of the registers.
pub(crate) const LANES: usize = 16;

/// Positions that are summed in 32 bits, before their sum is added in 64 bits.
pub(crate) const PART: usize = 32;

/// Sums of the values of a channel, and of their squares, relative to a shift.
///
/// Image i is summed in lane i mod 16, first over at most 32 positions in 32 bits and then in 64 bits, and the lanes are
/// added in a fixed order, so the result does not depend on the width of the registers. With a shift near the mean (the
/// mean of the previous batch, for example), the squares do not cancel if the mean is far larger than the deviation.
pub(crate) struct ChannelMoments {
    shift: f32,
    count: usize,
    sums: [f64; LANES],
    squares: [f64; LANES],
}

impl ChannelMoments {
    pub(crate) const fn new(shift: f32) -> Self {
        let zero = [0.0; LANES];
        Self { shift, count: 0, sums: zero, squares: zero }
    }

    /// The mean and the biased variance.
    pub(crate) fn mean_and_variance(&self) -> (f64, f64) {
        let count = self.count as f64;
        let mean = sum_of_lanes(self.sums) / count;
        let square = sum_of_lanes(self.squares) / count;
        (f64::from(self.shift) + mean, (square - mean * mean).max(0.0))
    }

    /// Adds a row, `[column][n]`.
    #[inline(always)]
    fn add_row<S: Simd>(&mut self, simd: S, row: &[f32], n: usize) {
        let columns = row.chunks_exact(n).map(|column| [column]);
        let [sums, squares] = sum_lanes(simd, columns, &ShiftedSquares(self.shift));
        self.count += row.len();
        add_lanes(&mut self.sums, &sums);
        add_lanes(&mut self.squares, &squares);
    }
}

/// x - shift and its square.
struct ShiftedSquares(f32);

impl Terms<1, 2> for ShiftedSquares {
    #[inline(always)]
    fn terms<S: Simd>(&self, simd: S, [value]: [S::f32s; 1]) -> [S::f32s; 2] {
        let value = simd.sub_f32s(value, simd.splat_f32s(self.0));
        [value, simd.mul_f32s(value, value)]
    }
}

/// What is summed, computed from some values.
pub(crate) trait Terms<const VALUES: usize, const TERMS: usize> {
    fn terms<S: Simd>(&self, simd: S, values: [S::f32s; VALUES]) -> [S::f32s; TERMS];
}

/// Sums the terms of pieces: of value i of a piece in lane i mod 16.
#[inline(always)]
fn sum_lanes<'a, S: Simd, const VALUES: usize, const TERMS: usize>(
    simd: S,
    pieces: impl Iterator<Item = [&'a [f32]; VALUES]>,
    terms: &impl Terms<VALUES, TERMS>,
) -> [[f32; LANES]; TERMS] {
    let registers = LANES / S::F32_LANES;
    // Only as many registers as the virtual lanes need are used; the compiler removes the others.
    let mut sums = [[simd.splat_f32s(0.0); LANES]; TERMS];
    // Apart, because lanes with a variable index would keep all of the sums out of the registers.
    let mut rest_sums = [[0.0_f32; LANES]; TERMS];
    for piece in pieces {
        let count = piece[0].len();
        let whole = count / LANES * LANES;
        for group in (0..whole).step_by(LANES) {
            let values = piece.map(|values| S::as_simd_f32s(&values[group..group + LANES]).0);
            for register in 0..registers {
                let terms = terms.terms(simd, values.map(|values| values[register]));
                for term in 0..TERMS {
                    sums[term][register] = simd.add_f32s(sums[term][register], terms[term]);
                }
            }
        }
        for first in (whole..count).step_by(S::F32_LANES) {
            let part = first..count.min(first + S::F32_LANES);
            let values = piece.map(|values| simd.partial_load_f32s(&values[part.clone()]));
            for (sums, term) in rest_sums.iter_mut().zip(terms.terms(simd, values)) {
                let mut lanes = [0.0; LANES];
                S::as_mut_simd_f32s(&mut lanes).0[0] = term;
                let sums = &mut sums[first - whole..];
                sums.iter_mut().zip(&lanes[..part.len()]).for_each(|(sum, lane)| *sum += lane);
            }
        }
    }
    for (rest_sums, sums) in rest_sums.iter_mut().zip(sums) {
        let mut lanes = [0.0; LANES];
        S::as_mut_simd_f32s(&mut lanes).0.copy_from_slice(&sums[..registers]);
        rest_sums.iter_mut().zip(lanes).for_each(|(rest, lane)| *rest += lane);
    }
    rest_sums
}

/// [`sum_lanes`] as a kernel.
pub(crate) struct SumLanes<P, K, const VALUES: usize, const TERMS: usize> {
    pub(crate) pieces: P,
    pub(crate) terms: K,
}

impl<'a, P, K, const VALUES: usize, const TERMS: usize> WithSimd for SumLanes<P, K, VALUES, TERMS>
where
    P: Iterator<Item = [&'a [f32]; VALUES]>,
    K: Terms<VALUES, TERMS>,
{
    type Output = [[f32; LANES]; TERMS];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        sum_lanes(simd, self.pieces, &self.terms)
    }
}

/// Adds a row of a batch to the moments of its channel.
pub(crate) struct AddRow<'a> {
    pub(crate) moments: &'a mut ChannelMoments,
    pub(crate) row: &'a [f32],
    pub(crate) n: usize,
}

impl WithSimd for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.moments.add_row(simd, self.row, self.n);
    }
}

/// Adds 32-bit lanes to 64-bit ones.
#[inline(always)]
pub(crate) fn add_lanes(to: &mut [f64; LANES], lanes: &[f32; LANES]) {
    for (to, lane) in to.iter_mut().zip(lanes) {
        *to += f64::from(*lane);
    }
}

/// The sum of the lanes: of those 8 apart, then 4, 2 and 1.
#[inline(always)]
pub(crate) fn sum_of_lanes<T: Copy + std::ops::Add<Output = T>>(mut lanes: [T; LANES]) -> T {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
    }
    lanes[0]
}
