//! Batch normalization over channels: y = γ · (x − mean) / √(variance + ε) + β.
//!
//! The forward pass needs the moments of x, which a convolution gathers while it stores x, and one pass. The backward pass
//! needs two: the sums of the gradient and of gradient · x̂ per channel, then the gradient of x.

use crate::Workspace;
use crate::moments::{LANES, Moments, add, tree};
use crate::pooling::vectorize;

/// Adds all values of a batch, `[channels][positions][n]`, to the moments of its channels. Positions are summed in 32 bits
/// in pieces of at most [`ROW`] positions, then in 64 bits.
///
/// # Panics
///
/// The number of values is not a multiple of channels · n.
pub fn gather_moments(x: &[f32], n: usize, moments: &mut Moments, workspace: &Workspace) {
    let channels = moments.channels();
    assert!(x.len().is_multiple_of((channels * n).max(1)), "whole channels");
    let size = x.len() / channels.max(1);
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            for (channel, x) in x.chunks_exact(size.max(1)).enumerate() {
                for row in x.chunks(ROW * n) {
                    moments.add_row(channel, row, n, 0..n);
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

/// Writes γ · x̂ + β, plus `residual` unless it is empty, and with `relu` replaces negative values by 0.
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn normalize(
    x: &[f32],
    channels: &[Normalization],
    residual: &[f32],
    relu: bool,
    out: &mut [f32],
    workspace: &Workspace,
) {
    assert_eq!(x.len(), out.len(), "one output per input");
    assert!(x.len().is_multiple_of(channels.len().max(1)), "whole channels");
    assert!(residual.is_empty() || residual.len() == x.len(), "one residual per input");
    let size = (x.len() / channels.len().max(1)).max(1);
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            let planes = out.chunks_exact_mut(size).zip(x.chunks_exact(size)).zip(channels);
            for (index, ((out, x), channel)) in planes.enumerate() {
                let scale = channel.gamma * channel.inverse_deviation;
                // The mean is subtracted first, because x · scale would cancel if the mean is large.
                let normalized = |x: f32| (x - channel.mean).mul_add(scale, channel.beta);
                let rectified = |y: f32| if relu && y < 0.0 { 0.0 } else { y };
                if residual.is_empty() {
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = rectified(normalized(*x));
                    }
                } else {
                    let residual = &residual[index * size..][..size];
                    for ((out, x), residual) in out.iter_mut().zip(x).zip(residual) {
                        *out = rectified(normalized(*x) + residual);
                    }
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

/// Sums the gradient of the output. If `y`, the output of a normalization with ReLU, is not empty, the gradient is first
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
    workspace: &Workspace,
) {
    assert_eq!(gradient.len(), x.len(), "one gradient per input");
    assert!(y.is_empty() || y.len() == x.len(), "one output per input");
    assert_eq!(sums.len(), channels.len(), "sums for each channel");
    assert!(x.len().is_multiple_of((channels.len() * n).max(1)), "whole channels");
    let size = (x.len() / channels.len().max(1)).max(1);
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            for (index, (channel, sums)) in channels.iter().zip(sums).enumerate() {
                let [mut beta, mut gamma] = [[0.0_f64; LANES]; 2];
                let plane = index * size..(index + 1) * size;
                let (x, gradient) = (&x[plane.clone()], &mut gradient[plane.clone()]);
                if !y.is_empty() {
                    // The row that follows is then read from the L1 cache.
                    for (gradient, y) in gradient.iter_mut().zip(&y[plane]) {
                        *gradient = if *y <= 0.0 { 0.0 } else { *gradient };
                    }
                }
                for (gradient, x) in gradient.chunks(ROW * n).zip(x.chunks(ROW * n)) {
                    let [mut row_beta, mut row_gamma] = [[0.0_f32; LANES]; 2];
                    for (gradient, x) in gradient.chunks_exact(n).zip(x.chunks_exact(n)) {
                        let (groups, gradient_rest) = gradient.as_chunks::<LANES>();
                        let (x_groups, x_rest) = x.as_chunks::<LANES>();
                        for (gradient, x) in groups.iter().zip(x_groups) {
                            for lane in 0..LANES {
                                row_beta[lane] += gradient[lane];
                                let centered = x[lane] - channel.mean;
                                row_gamma[lane] = gradient[lane].mul_add(centered, row_gamma[lane]);
                            }
                        }
                        for (lane, (gradient, x)) in gradient_rest.iter().zip(x_rest).enumerate() {
                            row_beta[lane] += gradient;
                            let centered = x - channel.mean;
                            row_gamma[lane] = gradient.mul_add(centered, row_gamma[lane]);
                        }
                    }
                    add(&mut beta, &row_beta);
                    add(&mut gamma, &row_gamma);
                }
                sums.beta = tree(beta);
                sums.gamma = tree(gamma) * f64::from(channel.inverse_deviation);
            }
        },
    );
}

/// Writes the gradient of x, from that of the output and its sums:
/// γ / σ · (gradient − Σ gradient / m − x̂ · Σ(gradient · x̂) / m), with m values per channel.
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn input_gradient(
    gradient: &[f32],
    x: &[f32],
    channels: &[Normalization],
    sums: &[GradientSums],
    out: &mut [f32],
    workspace: &Workspace,
) {
    assert_eq!(gradient.len(), x.len(), "one gradient per input");
    assert_eq!(out.len(), x.len(), "one gradient per input");
    assert_eq!(sums.len(), channels.len(), "sums for each channel");
    assert!(x.len().is_multiple_of(channels.len().max(1)), "whole channels");
    let size = (x.len() / channels.len().max(1)).max(1);
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            let planes = out.chunks_exact_mut(size).zip(x.chunks_exact(size));
            let planes = planes.zip(gradient.chunks_exact(size)).zip(channels.iter().zip(sums));
            for (((out, x), gradient), (channel, sums)) in planes {
                let inverse = channel.inverse_deviation;
                let scale = channel.gamma * inverse;
                let mean = (sums.beta / size as f64) as f32;
                let slope = (sums.gamma / size as f64) as f32 * inverse;
                for ((out, x), gradient) in out.iter_mut().zip(x).zip(gradient) {
                    *out = (channel.mean - x).mul_add(slope, gradient - mean) * scale;
                }
            }
        },
    );
}
