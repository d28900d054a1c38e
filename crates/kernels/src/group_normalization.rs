//! Normalization of each image by itself: over groups of channels, or over the channels of each pixel.

use crate::instructions::vectorize;
use crate::moments::{LANES, PART, add_lanes, sum_of_lanes};
use crate::{Blend, Plane, Workspace};

/// Which values of an image are normalized together. A batch is `[channels][positions][n]`; a row is the n values of one
/// position of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sets {
    /// The number of sets.
    pub count: usize,
    /// The rows of a set.
    pub rows: usize,
    /// The distance between two rows of a set.
    row_stride: usize,
    /// The distance between the first rows of two sets.
    set_stride: usize,
    /// The rows of a channel.
    positions: usize,
}

impl Sets {
    /// Groups of channels, each with all its positions (Wu and He 2018).
    #[must_use]
    pub const fn groups(plane: Plane, groups: usize) -> Self {
        let rows = plane.len() / groups;
        let positions = plane.height * plane.width;
        Self { count: groups, rows, row_stride: 1, set_stride: rows, positions }
    }

    /// The channels of each position (Ba et al. 2016, as in Keras for images).
    #[must_use]
    pub const fn positions(plane: Plane) -> Self {
        let positions = plane.height * plane.width;
        let rows = plane.channels;
        Self { count: positions, rows, row_stride: positions, set_stride: 1, positions }
    }

    /// The rows of a set.
    fn rows_of(self, set: usize) -> impl Iterator<Item = usize> {
        (0..self.rows).map(move |row| set * self.set_stride + row * self.row_stride)
    }

    const fn channel(self, row: usize) -> usize {
        row / self.positions
    }
}

/// The statistics that a forward pass saves for the backward pass, `[sets][n]`, and sums of one set, `[n]`.
#[derive(Clone, Debug, Default)]
pub struct SetStatistics {
    mean: Vec<f32>,
    /// 1 / √(variance + ε)
    inverse_deviation: Vec<f32>,
    sums: [Vec<f64>; 2],
    parts: [Vec<f32>; 2],
}

impl SetStatistics {
    /// Adds the 32-bit sums of a part to those of 64 bits, and starts new ones.
    fn end_part(&mut self) {
        for (sums, parts) in self.sums.iter_mut().zip(&mut self.parts) {
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += f64::from(std::mem::take(part));
            }
        }
    }

    fn reset_sums(&mut self, n: usize) {
        for sums in &mut self.sums {
            sums.clear();
            sums.resize(n, 0.0);
        }
        for parts in &mut self.parts {
            parts.clear();
            parts.resize(n, 0.0);
        }
    }
}

/// Writes γ (x − mean) / √(variance + ε) + β. `gamma` and `beta` have one value per channel, or are empty for 1 and 0.
///
/// # Panics
///
/// The sizes of the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
pub fn normalize_sets(
    sets: Sets,
    x: &[f32],
    n: usize,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f64,
    out: &mut [f32],
    statistics: &mut SetStatistics,
    workspace: &Workspace,
) {
    assert_eq!(x.len(), out.len(), "one output per input");
    assert_eq!(x.len(), sets.count * sets.rows * n, "all rows are in a set");
    for (values, message) in [(gamma, "one scale per channel"), (beta, "one offset per channel")] {
        assert!(values.is_empty() || values.len() * sets.positions * n == x.len(), "{message}");
    }
    statistics.mean.resize(sets.count * n, 0.0);
    statistics.inverse_deviation.resize(sets.count * n, 0.0);
    let count = sets.rows as f64;
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            for set in 0..sets.count {
                let images = set * n..(set + 1) * n;
                // The mean first, then the squares of the differences, which do not cancel.
                statistics.reset_sums(n);
                for (index, row) in sets.rows_of(set).enumerate() {
                    for (part, x) in statistics.parts[0].iter_mut().zip(&x[row * n..][..n]) {
                        *part += x;
                    }
                    if index % PART == PART - 1 {
                        statistics.end_part();
                    }
                }
                statistics.end_part();
                for (mean, sum) in
                    statistics.mean[images.clone()].iter_mut().zip(&statistics.sums[0])
                {
                    *mean = (sum / count) as f32;
                }
                for (index, row) in sets.rows_of(set).enumerate() {
                    let x = x[row * n..][..n].iter().zip(&statistics.mean[images.clone()]);
                    for (part, (x, mean)) in statistics.parts[1].iter_mut().zip(x) {
                        *part = (x - mean).mul_add(x - mean, *part);
                    }
                    if index % PART == PART - 1 {
                        statistics.end_part();
                    }
                }
                statistics.end_part();
                let inverses = &mut statistics.inverse_deviation[images.clone()];
                for (inverse, sum) in inverses.iter_mut().zip(&statistics.sums[1]) {
                    *inverse = (1.0 / (sum / count + epsilon).sqrt()) as f32;
                }
                for row in sets.rows_of(set) {
                    let channel = sets.channel(row);
                    let gamma = gamma.get(channel).copied().unwrap_or(1.0);
                    let beta = beta.get(channel).copied().unwrap_or(0.0);
                    let x = x[row * n..][..n].iter().zip(&statistics.mean[images.clone()]);
                    let x = x.zip(&statistics.inverse_deviation[images.clone()]);
                    for (out, ((x, mean), inverse)) in out[row * n..][..n].iter_mut().zip(x) {
                        *out = ((x - mean) * inverse).mul_add(gamma, beta);
                    }
                }
            }
        },
    );
}

/// Writes the gradient of x: (γg − Σ γg / m − x̂ Σ γg x̂ / m) / σ for the gradient g of the output, over the m rows of a
/// set.
///
/// # Panics
///
/// The sizes of the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
pub fn sets_input_gradient(
    sets: Sets,
    gradient: &[f32],
    x: &[f32],
    n: usize,
    gamma: &[f32],
    out: &mut [f32],
    statistics: &mut SetStatistics,
    workspace: &Workspace,
) {
    assert_eq!(x.len(), out.len(), "one gradient per input");
    assert_eq!(x.len(), gradient.len(), "one gradient per output");
    assert_eq!(x.len(), sets.count * sets.rows * n, "all rows are in a set");
    let whole = gamma.is_empty() || gamma.len() * sets.positions * n == x.len();
    assert!(whole, "one scale per channel");
    let count = sets.rows as f64;
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            for set in 0..sets.count {
                let images = set * n..(set + 1) * n;
                statistics.reset_sums(n);
                for (index, row) in sets.rows_of(set).enumerate() {
                    let gamma = gamma.get(sets.channel(row)).copied().unwrap_or(1.0);
                    let SetStatistics { mean, inverse_deviation, parts: [plain, scaled], .. } =
                        &mut *statistics;
                    let x = x[row * n..][..n].iter().zip(&mean[images.clone()]);
                    let x = x.zip(&inverse_deviation[images.clone()]);
                    let values = gradient[row * n..][..n].iter().zip(x);
                    for ((plain, scaled), (gradient, ((x, mean), inverse))) in
                        plain.iter_mut().zip(scaled).zip(values)
                    {
                        let gradient = gradient * gamma;
                        *plain += gradient;
                        *scaled = gradient.mul_add((x - mean) * inverse, *scaled);
                    }
                    if index % PART == PART - 1 {
                        statistics.end_part();
                    }
                }
                statistics.end_part();
                // The means of both sums, in 32 bits.
                for (parts, sums) in statistics.parts.iter_mut().zip(&statistics.sums) {
                    for (part, sum) in parts.iter_mut().zip(sums) {
                        *part = (sum / count) as f32;
                    }
                }
                let [plain, scaled] = &statistics.parts;
                for row in sets.rows_of(set) {
                    let gamma = gamma.get(sets.channel(row)).copied().unwrap_or(1.0);
                    let x = x[row * n..][..n].iter().zip(&statistics.mean[images.clone()]);
                    let x = x.zip(&statistics.inverse_deviation[images.clone()]);
                    let values =
                        gradient[row * n..][..n].iter().zip(x).zip(plain.iter().zip(scaled));
                    for (out, ((gradient, ((x, mean), inverse)), (plain, scaled))) in
                        out[row * n..][..n].iter_mut().zip(values)
                    {
                        let normalized = (x - mean) * inverse;
                        *out = (gradient * gamma - plain - normalized * scaled) * inverse;
                    }
                }
            }
        },
    );
}

/// Blends the gradient of γ, Σ g x̂ over positions and images, into `out`, one value per channel.
///
/// # Panics
///
/// The sizes of the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
pub fn sets_scale_gradient(
    sets: Sets,
    gradient: &[f32],
    x: &[f32],
    n: usize,
    out: &mut [f32],
    blend: Blend,
    statistics: &SetStatistics,
    workspace: &Workspace,
) {
    assert_eq!(x.len(), gradient.len(), "one gradient per output");
    assert_eq!(x.len(), out.len() * sets.positions * n, "one value per channel");
    // The set of a row: rows of a channel are in one group, or each in the set of its position.
    let set = |row: usize| {
        if sets.row_stride == 1 { row / sets.rows } else { row % sets.positions }
    };
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            for (channel, out) in out.iter_mut().enumerate() {
                let mut sums = [0.0_f64; LANES];
                for row in channel * sets.positions..(channel + 1) * sets.positions {
                    let images = set(row) * n..(set(row) + 1) * n;
                    let x = x[row * n..][..n].iter().zip(&statistics.mean[images.clone()]);
                    let x = x.zip(&statistics.inverse_deviation[images]);
                    let mut lanes = [0.0_f32; LANES];
                    for (image, (gradient, ((x, mean), inverse))) in
                        gradient[row * n..][..n].iter().zip(x).enumerate()
                    {
                        let lane = &mut lanes[image % LANES];
                        *lane = gradient.mul_add((x - mean) * inverse, *lane);
                    }
                    add_lanes(&mut sums, &lanes);
                }
                *out = blend.apply(*out, sum_of_lanes(sums) as f32);
            }
        },
    );
}
