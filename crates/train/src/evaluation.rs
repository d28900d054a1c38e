use kiln_data::{Batch, LabeledImages, Normalizer, gather};

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
    infer(engine, images, rows, normalizer, |logits, labels| {
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
    infer(engine, images, rows, normalizer, |logits, labels| {
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

/// Like [`evaluate`], but also returns the predictions, in the order of the rows.
#[must_use]
pub fn evaluate_each(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    mut metrics: Metrics,
) -> Evaluation {
    let (mut predicted, mut probabilities) = (Vec::new(), Vec::new());
    infer(engine, images, rows, normalizer, |logits, labels| {
        metrics.add_batch(logits, labels);
        for row in logits.chunks_exact(logits.len() / labels.len()) {
            // A dataset has at most 65,536 classes.
            predicted.push(u16::try_from(largest(row)).unwrap_or(u16::MAX));
            probabilities.extend(softmax(row));
        }
    });
    Evaluation { metrics, predicted, probabilities }
}

/// Calls `consume` with the logits and labels of each batch of these rows.
fn infer(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    mut consume: impl FnMut(&[f32], &[u16]),
) {
    // `gather` reuses the buffers of the batch.
    let mut batch = Batch::new(images.shape);
    for rows in rows.chunks(engine.evaluation_batch()) {
        gather(images, rows, normalizer, &mut batch);
        consume(&engine.infer(&batch.pixels), &batch.labels);
    }
}

/// The softmax of the logits, computed in f64. The largest logit is subtracted first, so that no power of e overflows.
#[expect(clippy::cast_possible_truncation, reason = "probabilities are stored as f32")]
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}
