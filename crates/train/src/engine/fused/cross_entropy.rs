//! The gradient of the loss.

use kiln_kernels::Workspace;
use kiln_kernels::math::{self, vectorized};

use super::operations::Buffer;
use crate::engine::Targets;

/// Writes the gradient `[classes, n]` of the mean cross-entropy with respect to the logits `[n, classes]`, times
/// `scale`: w (softmax − q) / n, where q is the smoothed distribution of the labels and w the weight of the image.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "rows and classes are far below 2^24; the engine computes in f32"
)]
pub(super) fn cross_entropy_gradient(
    logits: &[f32],
    targets: Targets<'_>,
    label_smoothing: f32,
    scale: f32,
    gradient: &mut Buffer,
    workspace: &Workspace,
) {
    let count = targets.len();
    let classes = logits.len() / count;
    let equal_share = scale / count as f32;
    let smoothed = label_smoothing / classes as f32;
    gradient.resize(logits.len());
    let mut powers = vec![0.0; classes];
    vectorized(
        workspace.instructions(),
        #[inline(always)]
        || {
            for (sample, (logits, label)) in
                logits.chunks_exact(classes).zip(targets.labels).enumerate()
            {
                let share = match targets.weight(sample) {
                    None => equal_share,
                    Some(weight) => equal_share * weight as f32,
                };
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                // Subtracting the largest logit does not change the softmax, and no power of e overflows.
                for (power, logit) in powers.iter_mut().zip(logits) {
                    *power = math::exp(logit - most);
                }
                let sum: f32 = powers.iter().sum();
                for (class, power) in powers.iter().enumerate() {
                    gradient[class * count + sample] = (power / sum - smoothed) * share;
                }
                let true_share = (1.0 - label_smoothing) * share;
                match targets.mix.get(sample) {
                    None => gradient[usize::from(*label) * count + sample] -= true_share,
                    Some(mix) => {
                        gradient[usize::from(*label) * count + sample] -=
                            (1.0 - mix.weight) * true_share;
                        gradient[usize::from(mix.label) * count + sample] -=
                            mix.weight * true_share;
                    }
                }
            }
        },
    );
}
