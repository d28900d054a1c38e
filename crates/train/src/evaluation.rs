use kiln_data::{Batch, LabeledImages, Normalizer, gather, gather_mirrored};

use crate::engine::Engine;
use crate::metrics::{Metrics, largest};

/// The results of a network on a set of images.
#[derive(Debug)]
pub struct Evaluation {
    /// The metrics over all images.
    pub metrics: Metrics,
    /// The class with the largest logit for each image; of equals, the lowest class.
    pub predicted: Vec<u16>,
    /// The probability of each class for each image, `[images, classes]`, row-major.
    pub probabilities: Vec<f32>,
}

/// Adds these rows of `images` to `metrics`, with the logits that the engine's current weights give them.
#[must_use]
pub fn evaluate(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    mut metrics: Metrics,
) -> Metrics {
    infer(engine, images, rows, normalizer, false, |logits, labels| {
        metrics.add_batch(logits, labels);
    });
    metrics
}

/// Like [`evaluate`], but also adds the rows at even and those at odd places to metrics of their own.
#[must_use]
pub(crate) fn evaluate_halves(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    mut metrics: Metrics,
    mut halves: [Metrics; 2],
) -> (Metrics, [Metrics; 2]) {
    let mut start = 0;
    infer(engine, images, rows, normalizer, false, |logits, labels| {
        metrics.add_batch(logits, labels);
        let classes = logits.len() / labels.len();
        for (half, metrics) in halves.iter_mut().enumerate() {
            // The batch may begin at an odd place.
            let first = (start + half) % 2;
            let labels: Vec<u16> = labels.iter().copied().skip(first).step_by(2).collect();
            let logits = logits.chunks_exact(classes).skip(first).step_by(2);
            if !labels.is_empty() {
                metrics.add_batch(&logits.flatten().copied().collect::<Vec<f32>>(), &labels);
            }
        }
        start += labels.len();
    });
    (metrics, halves)
}

/// Like [`evaluate`], but also returns the predictions, in the order of the rows. With `flip`, metrics and predictions are
/// those of [`TestConfig::flip`](crate::TestConfig::flip).
#[must_use]
pub fn evaluate_each(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    flip: bool,
    mut metrics: Metrics,
) -> Evaluation {
    let (mut predicted, mut probabilities) = (Vec::new(), Vec::new());
    infer(engine, images, rows, normalizer, flip, |logits, labels| {
        metrics.add_batch(logits, labels);
        for row in logits.chunks_exact(logits.len() / labels.len()) {
            // A dataset has at most 65,536 classes.
            predicted.push(u16::try_from(largest(row)).unwrap_or(u16::MAX));
            probabilities.extend(softmax(row));
        }
    });
    Evaluation { metrics, predicted, probabilities }
}

/// Calls `consume` with the logits and labels of each batch of these rows. With `flip`, the logits are those of
/// [`mean_prediction`] for the images and their mirror images.
fn infer(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    flip: bool,
    mut consume: impl FnMut(&[f32], &[u16]),
) {
    // `gather` reuses the buffers of the batch.
    let mut batch = Batch::new(images.shape);
    for rows in rows.chunks(engine.evaluation_batch()) {
        gather(images, rows, normalizer, &mut batch);
        let mut logits = engine.infer(&batch.pixels);
        if flip {
            gather_mirrored(images, rows, normalizer, &mut batch);
            let classes = logits.len() / rows.len();
            logits = mean_prediction(&logits, &engine.infer(&batch.pixels), classes);
        }
        consume(&logits, &batch.labels);
    }
}

/// Logits whose softmax is the mean of the softmax of two sets of logits, all `[n, classes]`: the logarithms of the mean
/// probabilities. They stay finite where a probability would be rounded to 0.
#[expect(clippy::cast_possible_truncation, reason = "logits are f32")]
pub(crate) fn mean_prediction(first: &[f32], second: &[f32], classes: usize) -> Vec<f32> {
    // At least 1, because `chunks_exact` panics for 0.
    let rows = [first, second].map(|logits| logits.chunks_exact(classes.max(1)));
    let [first, second] = rows;
    let mean = |(a, b): (f64, f64)| {
        // ln((eᵃ + eᵇ) / 2) without an overflow.
        (a.max(b) + libm::log1p(libm::exp(-(a - b).abs())) - std::f64::consts::LN_2) as f32
    };
    first
        .zip(second)
        .flat_map(|(a, b)| log_softmax(a).into_iter().zip(log_softmax(b)).map(mean))
        .collect()
}

/// The logarithms of the probabilities.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit) - largest)).sum();
    logits.iter().map(|logit| f64::from(*logit) - largest - libm::log(sum)).collect()
}

/// The softmax of the logits, computed in f64. The largest logit is subtracted first, so that no power of e overflows.
#[expect(clippy::cast_possible_truncation, reason = "probabilities are stored as f32")]
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers: Vec<f64> =
        logits.iter().map(|logit| libm::exp(f64::from(*logit) - largest)).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_softmax_of_a_mean_prediction_is_the_mean_of_the_probabilities() {
        // Probabilities 1/4, 3/4 and 1/2, 1/2; then 3/8, 5/8.
        let mean = mean_prediction(&[0.0, 3.0_f32.ln()], &[7.0, 7.0], 2);
        for (own, expected) in softmax(&mean).iter().zip([0.375, 0.625]) {
            assert!((own - expected).abs() < 1e-7, "{own}, expected {expected}");
        }
    }

    #[test]
    fn a_mean_prediction_is_finite_where_probabilities_round_to_zero() {
        // ln((e⁻³⁰⁰ + e⁻²⁰⁰) / 2) = −200 − ln 2.
        let mean = mean_prediction(&[0.0, 300.0, 5.0, 5.0], &[0.0, 200.0, 5.0, 5.0], 2);
        assert_eq!(softmax(&mean[..2]), [0.0, 1.0]);
        assert!((f64::from(mean[0]) + 200.0 + std::f64::consts::LN_2).abs() < 1e-4, "{mean:?}");
        assert!(mean_prediction(&[f32::NAN, 0.0], &[1.0, 0.0], 2).iter().all(|mean| mean.is_nan()));
    }
}
