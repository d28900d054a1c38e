//! Batch normalization over channels: y = γ · (x − mean) / √(variance + ε) + β.
//!
//! The forward pass needs the moments of x, and one pass. The backward pass
//! needs two: the sums of the gradient and of gradient · x̂ per channel, then the gradient of x.

use pulp::Simd;

use crate::Workspace;
use crate::moments::{AddRow, LANES, Moments, SumLanes, Terms, add, tree};
use crate::workspace::none;

/// Adds all values of a batch, `[channels][positions][n]`, to the moments of its channels. Positions are summed in 32 bits
/// in pieces of at most 32 positions, then in 64 bits.
///
/// # Panics
///
/// The number of values is not a multiple of channels · n.
pub fn gather_moments(x: &[f32], n: usize, moments: &mut Moments, workspace: &mut Workspace) {
    let channels = moments.channels();
    assert!(x.len().is_multiple_of((channels.len() * n).max(1)), "whole channels");
    let size = (x.len() / channels.len().max(1)).max(1);
    let instructions = workspace.instructions;
    workspace.split_loops(
        x.len(),
        channels.len(),
        channels,
        none(),
        #[inline(always)]
        |part, channels, _| {
            let planes = x[part.start * size..].chunks_exact(size);
            for (channel, x) in channels.iter_mut().zip(planes) {
                for row in x.chunks(ROW * n) {
                    instructions.dispatch(AddRow { moments: channel, row, n });
                }
            }
        },
    );
}

/// Positions that are summed in 32 bits.
const ROW: usize = 32;

/// The normalization of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Of the batch, or the running mean.
    pub mean: f32,
    /// 1 / √(variance + ε)
    pub inverse_deviation: f32,
    /// Scale.
    pub gamma: f32,
    /// Offset.
    pub beta: f32,
}

/// Writes γ · x̂ + β, and with `relu` replaces negative values by 0.
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn normalize(
    x: &[f32],
    channels: &[Normalization],
    relu: bool,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    assert_eq!(x.len(), out.len(), "one output per input");
    assert!(x.len().is_multiple_of(channels.len().max(1)), "whole channels");
    let size = (x.len() / channels.len().max(1)).max(1);
    workspace.split_loops(
        x.len(),
        channels.len(),
        out,
        none(),
        #[inline(always)]
        |part, out, _| {
            for (index, out) in part.zip(out.chunks_exact_mut(size)) {
                let (x, channel) = (&x[index * size..][..size], &channels[index]);
                let scale = channel.gamma * channel.inverse_deviation;
                // The mean is subtracted first, because x · scale would cancel if the mean is large.
                let normalized = |x: f32| (x - channel.mean).mul_add(scale, channel.beta);
                let rectified = |y: f32| if relu && y < 0.0 { 0.0 } else { y };
                for (out, x) in out.iter_mut().zip(x) {
                    *out = rectified(normalized(*x));
                }
            }
        },
    );
}

/// The sums of the backward pass, for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradientSums {
    /// Σ gradient, which is the gradient of β.
    pub beta: f64,
    /// Σ gradient · x̂, which is the gradient of γ.
    pub gamma: f64,
}

/// Adds the sums over some images to `sums`. If `y`, the output of a normalization with ReLU, is not empty, the gradient is first
/// set to 0 where y is 0, in place.
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn sum_gradients(
    gradient: &mut [f32],
    y: &[f32],
    x: &[f32],
    n: usize,
    channels: &[Normalization],
    sums: &mut [GradientSums],
    workspace: &mut Workspace,
) {
    assert_eq!(gradient.len(), x.len(), "one gradient per input");
    assert!(y.is_empty() || y.len() == x.len(), "one output per input");
    assert_eq!(sums.len(), channels.len(), "sums for each channel");
    assert!(x.len().is_multiple_of((channels.len() * n).max(1)), "whole channels");
    let size = (x.len() / channels.len().max(1)).max(1);
    let instructions = workspace.instructions;
    workspace.split_loops(
        x.len(),
        channels.len(),
        gradient,
        sums,
        #[inline(always)]
        |part, gradient, sums| {
            let planes = gradient.chunks_exact_mut(size).zip(sums);
            for (index, (gradient, sums)) in part.zip(planes) {
                let channel = &channels[index];
                let [mut beta, mut gamma] = [[0.0_f64; LANES]; 2];
                let plane = index * size..(index + 1) * size;
                let x = &x[plane.clone()];
                for start in (0..size).step_by(ROW * n) {
                    let row = start..size.min(start + ROW * n);
                    let (x, gradient) = (&x[row.clone()], &mut gradient[row.clone()]);
                    if !y.is_empty() {
                        for (gradient, y) in gradient.iter_mut().zip(&y[plane.clone()][row]) {
                            *gradient = if *y <= 0.0 { 0.0 } else { *gradient };
                        }
                    }
                    let pieces = gradient.chunks_exact(n).zip(x.chunks_exact(n));
                    let pieces = pieces.map(|(gradient, x)| [gradient, x]);
                    let terms = GradientTerms(channel.mean);
                    let [row_beta, row_gamma] = instructions.dispatch(SumLanes { pieces, terms });
                    add(&mut beta, &row_beta);
                    add(&mut gamma, &row_gamma);
                }
                sums.beta += tree(beta);
                sums.gamma += tree(gamma) * f64::from(channel.inverse_deviation);
            }
        },
    );
}

/// A gradient, and its product with x - mean.
struct GradientTerms(f32);

impl Terms<2, 2> for GradientTerms {
    #[inline(always)]
    fn terms<S: Simd>(&self, simd: S, [gradient, x]: [S::f32s; 2]) -> [S::f32s; 2] {
        let centered = simd.sub_f32s(x, simd.splat_f32s(self.0));
        [gradient, simd.mul_f32s(gradient, centered)]
    }
}

/// Writes the gradient of x, from that of the output and its sums:
/// γ / σ · (gradient − Σ gradient / m − x̂ · Σ(gradient · x̂) / m), where m is `count`, the values of a channel that were
/// summed.
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn input_gradient(
    gradient: &[f32],
    x: &[f32],
    channels: &[Normalization],
    sums: &[GradientSums],
    count: usize,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    assert_eq!(gradient.len(), x.len(), "one gradient per input");
    assert_eq!(out.len(), x.len(), "one gradient per input");
    assert_eq!(sums.len(), channels.len(), "sums for each channel");
    assert!(x.len().is_multiple_of(channels.len().max(1)), "whole channels");
    let size = (x.len() / channels.len().max(1)).max(1);
    workspace.split_loops(
        x.len(),
        channels.len(),
        out,
        none(),
        #[inline(always)]
        |part, out, _| {
            for (index, out) in part.zip(out.chunks_exact_mut(size)) {
                let (channel, sums) = (&channels[index], &sums[index]);
                let inverse = channel.inverse_deviation;
                let scale = channel.gamma * inverse;
                let mean = (sums.beta / count as f64) as f32;
                let slope = (sums.gamma / count as f64) as f32 * inverse;
                let (x, gradient) = (&x[index * size..][..size], &gradient[index * size..][..size]);
                for ((out, x), gradient) in out.iter_mut().zip(x).zip(gradient) {
                    *out = (channel.mean - x).mul_add(slope, gradient - mean) * scale;
                }
            }
        },
    );
}
