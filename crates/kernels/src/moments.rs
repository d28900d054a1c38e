//! Sums and sums of squares per channel, for batch normalization.

use std::ops::Range;

/// The lanes in which sums over the batch are gathered, whatever the width of the registers.
pub(crate) const LANES: usize = 16;

/// Sums of the values of each channel, and of their squares, relative to a shift.
///
/// Image i is summed in lane i mod 16, first over a row in 32 bits and then over rows in 64 bits, and the lanes are
/// added in a fixed order, so the result does not depend on the width of the registers. With a shift near the mean (the
/// mean of the previous batch, for example), the squares do not cancel if the mean is far larger than the deviation.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    shift: Vec<f32>,
    count: Vec<usize>,
    sums: Vec<[f64; LANES]>,
    squares: Vec<[f64; LANES]>,
}

impl Moments {
    /// Starts new sums, with one shift per channel.
    pub fn reset(&mut self, shift: &[f32]) {
        self.shift.clear();
        self.shift.extend_from_slice(shift);
        self.count.clear();
        self.count.resize(shift.len(), 0);
        for sums in [&mut self.sums, &mut self.squares] {
            sums.clear();
            sums.resize(shift.len(), [0.0; LANES]);
        }
    }

    /// The number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.shift.len()
    }

    /// The mean and the biased variance of each channel.
    pub fn mean_and_variance(&self) -> impl Iterator<Item = (f64, f64)> {
        (0..self.shift.len()).map(|channel| {
            let count = self.count[channel] as f64;
            let mean = tree(self.sums[channel]) / count;
            let square = tree(self.squares[channel]) / count;
            (f64::from(self.shift[channel]) + mean, (square - mean * mean).max(0.0))
        })
    }

    /// Adds some images of a row, `[column][n]`.
    #[inline(always)]
    pub(crate) fn add_row(&mut self, channel: usize, row: &[f32], n: usize, images: Range<usize>) {
        let shift = self.shift[channel];
        let [mut sums, mut squares] = [[0.0_f32; LANES]; 2];
        for column in row.chunks_exact(n) {
            // Blocks start at multiples of the number of lanes.
            let (groups, rest) = column[images.clone()].as_chunks::<LANES>();
            for group in groups {
                for lane in 0..LANES {
                    let value = group[lane] - shift;
                    sums[lane] += value;
                    squares[lane] = value.mul_add(value, squares[lane]);
                }
            }
            for (lane, value) in rest.iter().enumerate() {
                let value = value - shift;
                sums[lane] += value;
                squares[lane] = value.mul_add(value, squares[lane]);
            }
        }
        self.count[channel] += row.len() / n * images.len();
        add(&mut self.sums[channel], &sums);
        add(&mut self.squares[channel], &squares);
    }
}

/// Adds 32-bit lanes to 64-bit ones.
#[inline(always)]
pub(crate) fn add(to: &mut [f64; LANES], lanes: &[f32; LANES]) {
    for (to, lane) in to.iter_mut().zip(lanes) {
        *to += f64::from(*lane);
    }
}

/// The sum of the lanes: of those 8 apart, then 4, 2 and 1.
#[inline(always)]
pub(crate) fn tree<T: Copy + std::ops::Add<Output = T>>(mut lanes: [T; LANES]) -> T {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
    }
    lanes[0]
}
