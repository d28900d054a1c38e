//! The loss's gradient.

/// Writes the gradient of the mean cross-entropy with respect to the logits `[n, classes]`, straight
/// from them: (softmax − q) / n, where q is the label as a distribution, smoothed.
#[expect(clippy::cast_precision_loss, reason = "rows and classes are far below 2^24")]
pub(super) fn cross_entropy_gradient(
    logits: &[f32],
    labels: &[u8],
    label_smoothing: f32,
    gradient: &mut [f32],
) {
    let classes = logits.len() / labels.len();
    let share = 1.0 / labels.len() as f32;
    let everywhere = label_smoothing / classes as f32;
    let rows = logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes));
    for ((logits, gradient), label) in rows.zip(labels) {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (power, logit) in gradient.iter_mut().zip(logits) {
            *power = (logit - most).exp();
            sum += *power;
        }
        for power in gradient.iter_mut() {
            *power = (*power / sum - everywhere) * share;
        }
        gradient[usize::from(*label)] -= (1.0 - label_smoothing) * share;
    }
}
