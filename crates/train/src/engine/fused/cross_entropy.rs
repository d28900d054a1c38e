//! The gradient of the loss.

/// Writes the gradient `[classes, n]` of the mean cross-entropy with respect to the logits `[n, classes]`, times
/// `scale`: (softmax − q) / n, where q is the smoothed distribution of the label.
#[expect(clippy::cast_precision_loss, reason = "rows and classes are far below 2^24")]
pub(super) fn cross_entropy_gradient(
    logits: &[f32],
    labels: &[u16],
    label_smoothing: f32,
    scale: f32,
    gradient: &mut Vec<f32>,
) {
    let count = labels.len();
    let classes = logits.len() / count;
    let share = scale / count as f32;
    let smoothed = label_smoothing / classes as f32;
    gradient.resize(logits.len(), 0.0);
    let mut powers = vec![0.0; classes];
    for (sample, (logits, label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Subtracting the largest logit does not change the softmax, and no power of e overflows.
        for (power, logit) in powers.iter_mut().zip(logits) {
            *power = (logit - most).exp();
        }
        let sum: f32 = powers.iter().sum();
        for (class, power) in powers.iter().enumerate() {
            gradient[class * count + sample] = (power / sum - smoothed) * share;
        }
        gradient[usize::from(*label) * count + sample] -= (1.0 - label_smoothing) * share;
    }
}
