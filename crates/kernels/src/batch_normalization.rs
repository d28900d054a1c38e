//! Batch normalization over channels: y = γ · (x − mean) / √(variance + ε) + β.
//!
//! Both passes go over the values twice: forward for the moments and the output, backward for the sums of the gradient and
//! of gradient · x̂, and the gradient of x. The second time follows the first one channel by channel, when the values of the
//! channel are still in the caches: reading a batch takes longer than computing with it.

use std::ops::Range;

use pulp::Simd;

use crate::Workspace;
use crate::moments::{
    AddRow, ChannelMoments, LANES, PART, SumLanes, Terms, add_lanes, sum_of_lanes,
};
use crate::workspace::{Shards, none};

/// A batch in blocks of images, one after the other, each `[channels][positions][images of the block]`.
#[derive(Clone, Copy, Debug)]
pub struct BlockLayout {
    /// Feature maps.
    pub channels: usize,
    /// Values of a feature map.
    pub positions: usize,
    /// Images of the batch.
    pub n: usize,
    /// Images of a block. The last one may have fewer.
    pub block: usize,
}

impl BlockLayout {
    const fn len(self) -> usize {
        self.channels * self.positions * self.n
    }

    /// Where the values of a channel are in each block, and the images of the block.
    fn planes(self, channel: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
        let Self { channels, positions, n, block } = self;
        (0..n).step_by(block.max(1)).map(move |first| {
            let images = block.min(n - first);
            let start = positions * (first * channels + channel * images);
            (start..start + positions * images, images)
        })
    }
}

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

impl Normalization {
    /// γ · x̂ + β
    #[inline(always)]
    fn apply(&self) -> impl Fn(f32) -> f32 + use<> {
        let Self { mean, inverse_deviation, gamma, beta } = *self;
        let scale = gamma * inverse_deviation;
        // The mean is subtracted first, because x · scale would cancel if the mean is large.
        move |x| (x - mean).mul_add(scale, beta)
    }

    #[inline(always)]
    fn write(&self, x: &[f32], relu: bool, out: &mut [f32]) {
        let normalized = self.apply();
        let rectified = |y: f32| if relu && y < 0.0 { 0.0 } else { y };
        for (out, x) in out.iter_mut().zip(x) {
            *out = rectified(normalized(*x));
        }
    }

    /// As [`write`](Self::write), with the values of a shortcut added before the ReLU.
    #[inline(always)]
    fn write_sum(&self, x: &[f32], shortcut: &[f32], relu: bool, out: &mut [f32]) {
        let normalized = self.apply();
        let rectified = |y: f32| if relu && y < 0.0 { 0.0 } else { y };
        for ((out, x), shortcut) in out.iter_mut().zip(x).zip(shortcut) {
            *out = rectified(normalized(*x) + shortcut);
        }
    }
}

/// The moments of a channel of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// The mean.
    pub mean: f64,
    /// The biased variance.
    pub variance: f64,
}

/// Normalizes a batch with its own moments, adds the values of a shortcut, if there is one, and with `relu` replaces negative
/// values by 0. The mean in `channels` is one that
/// is near that of the batch, for example of the previous batch; mean and deviation are replaced by those of the batch.
///
/// Positions are summed in 32 bits in pieces of at most 32 positions, then in 64 bits, in the order of the blocks.
///
/// # Panics
///
/// The sizes of the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
pub fn normalize_batch(
    x: &[f32],
    layout: BlockLayout,
    epsilon: f64,
    channels: &mut [Normalization],
    statistics: &mut [Statistics],
    shortcut: Option<&[f32]>,
    relu: bool,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    assert_eq!(x.len(), layout.len(), "the input has the size of the batch");
    assert_eq!(out.len(), x.len(), "one output per input");
    assert!(shortcut.is_none_or(|values| values.len() == x.len()), "one value per input");
    assert_eq!(channels.len(), layout.channels, "a normalization for each channel");
    assert_eq!(statistics.len(), layout.channels, "statistics for each channel");
    let instructions = workspace.instructions;
    let out = Shards::new(out);
    workspace.split_loops(
        x.len(),
        layout.channels,
        channels,
        statistics,
        #[inline(always)]
        |part, channels, statistics| {
            for (index, (channel, statistics)) in part.zip(channels.iter_mut().zip(statistics)) {
                let mut moments = ChannelMoments::new(channel.mean);
                for (plane, n) in layout.planes(index) {
                    for row in x[plane].chunks(PART * n) {
                        let moments = &mut moments;
                        instructions.dispatch(AddRow { moments, row, n });
                    }
                }
                let (mean, variance) = moments.mean_and_variance();
                *statistics = Statistics { mean, variance };
                channel.mean = mean as f32;
                channel.inverse_deviation = (1.0 / (variance + epsilon).sqrt()) as f32;
                for (plane, _) in layout.planes(index) {
                    #[expect(unsafe_code, reason = "each part has channels of its own")]
                    // SAFETY: the planes of a channel belong to one part.
                    let out = unsafe { out.get(plane.clone()) };
                    let x = &x[plane.clone()];
                    match shortcut {
                        None => channel.write(x, relu, out),
                        Some(values) => channel.write_sum(x, &values[plane], relu, out),
                    }
                }
            }
        },
    );
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
                channels[index].write(&x[index * size..][..size], relu, out);
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

/// How the gradient of the input of a normalization is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    /// It is not computed. The slice then has unspecified values.
    Unneeded,
    /// With constant mean and deviation.
    WithConstants,
    /// With the mean and deviation of the batch:
    /// γ / σ · (gradient − Σ gradient / m − x̂ · Σ(gradient · x̂) / m), for m values of a channel.
    WithStatistics,
}

/// The operation after a normalization, in the backward pass.
#[derive(Debug)]
pub enum NextOperation<'a> {
    /// None, or a ReLU. The gradient of the input replaces that of the output.
    Activation {
        /// Whether it is a ReLU.
        relu: bool,
    },
    /// The sum with a shortcut. The gradient of the sum, which is also that of the shortcut, is kept.
    ResidualSum {
        /// The output of the ReLU that follows the sum; `None` without a ReLU. Where this output is 0, the gradient of the sum
        /// is 0.
        relu_output: Option<&'a [f32]>,
        /// Where the gradient of the input is written.
        input_gradient: &'a mut [f32],
    },
}

/// Writes the sums of the gradient of a batch, and the gradient of the input: in place, or as `next` says. `gradient` is the
/// gradient of the output of `next`.
///
/// # Panics
///
/// The sizes of the slices do not fit.
#[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
pub fn normalization_gradients(
    gradient: &mut [f32],
    x: &[f32],
    layout: BlockLayout,
    channels: &[Normalization],
    next: NextOperation<'_>,
    to_input: InputGradient,
    sums: &mut [GradientSums],
    workspace: &mut Workspace,
) {
    assert_eq!(x.len(), layout.len(), "the input has the size of the batch");
    assert_eq!(gradient.len(), x.len(), "one gradient per input");
    assert_eq!(channels.len(), layout.channels, "a normalization for each channel");
    assert_eq!(sums.len(), layout.channels, "sums for each channel");
    let count = (layout.positions * layout.n) as f64;
    let instructions = workspace.instructions;
    let gradient = Shards::new(gradient);
    let (relu, relu_output, input_gradient) = match next {
        NextOperation::Activation { relu } => (relu, None, None),
        NextOperation::ResidualSum { relu_output, input_gradient } => {
            assert_eq!(input_gradient.len(), x.len(), "one gradient per input");
            (false, relu_output, Some(Shards::new(input_gradient)))
        }
    };
    assert!(relu_output.is_none_or(|y| y.len() == x.len()), "one output per input");
    workspace.split_loops(
        x.len(),
        layout.channels,
        sums,
        none(),
        #[inline(always)]
        |part, sums, _| {
            for (index, sums) in part.zip(sums) {
                let channel = &channels[index];
                let normalized = channel.apply();
                #[expect(unsafe_code, reason = "each part has channels of its own")]
                // SAFETY: the planes of a channel belong to one part, which has one of them at a time.
                let gradient_of = |plane: Range<usize>| unsafe { gradient.get(plane) };
                let [mut beta, mut gamma] = [[0.0_f64; LANES]; 2];
                *sums = GradientSums::default();
                for (plane, n) in layout.planes(index) {
                    let parts = plane.clone().step_by(PART * n);
                    let parts = parts.map(|first| first..plane.end.min(first + PART * n));
                    for part in parts {
                        let (gradient, x) = (gradient_of(part.clone()), &x[part.clone()]);
                        if let Some(y) = relu_output {
                            for (gradient, y) in gradient.iter_mut().zip(&y[part]) {
                                *gradient = if *y <= 0.0 { 0.0 } else { *gradient };
                            }
                        }
                        if relu {
                            for (gradient, x) in gradient.iter_mut().zip(x) {
                                *gradient = if normalized(*x) <= 0.0 { 0.0 } else { *gradient };
                            }
                        }
                        let pieces = gradient.chunks_exact(n).zip(x.chunks_exact(n));
                        let pieces = pieces.map(|(gradient, x)| [gradient, x]);
                        let terms = GradientTerms(channel.mean);
                        let [row_beta, row_gamma] =
                            instructions.dispatch(SumLanes { pieces, terms });
                        add_lanes(&mut beta, &row_beta);
                        add_lanes(&mut gamma, &row_gamma);
                    }
                    sums.beta += sum_of_lanes(std::mem::replace(&mut beta, [0.0; LANES]));
                    sums.gamma += sum_of_lanes(std::mem::replace(&mut gamma, [0.0; LANES]))
                        * f64::from(channel.inverse_deviation);
                }
                let inverse = channel.inverse_deviation;
                let scale = channel.gamma * inverse;
                let (mean, slope) = match to_input {
                    InputGradient::Unneeded => continue,
                    InputGradient::WithConstants => (0.0, 0.0),
                    InputGradient::WithStatistics => {
                        ((sums.beta / count) as f32, (sums.gamma / count) as f32 * inverse)
                    }
                };
                for (plane, _) in layout.planes(index) {
                    let x = &x[plane.clone()];
                    let gradient = gradient_of(plane.clone());
                    let value =
                        |g: f32, x: f32| (channel.mean - x).mul_add(slope, g - mean) * scale;
                    let Some(out) = &input_gradient else {
                        for (gradient, x) in gradient.iter_mut().zip(x) {
                            *gradient = value(*gradient, *x);
                        }
                        continue;
                    };
                    #[expect(unsafe_code, reason = "each part has channels of its own")]
                    // SAFETY: the planes of a channel belong to one part.
                    let out = unsafe { out.get(plane) };
                    for ((out, gradient), x) in out.iter_mut().zip(gradient).zip(x) {
                        *out = value(*gradient, *x);
                    }
                }
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
