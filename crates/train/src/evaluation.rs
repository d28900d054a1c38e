use kiln_data::{Batch, LabeledImages, Normalizer, gather};

use crate::engine::Engine;
use crate::loss::LossConfig;
use crate::metrics::Metrics;

/// Images a pass in evaluation. No result depends on it, but for rounding.
const BATCH: usize = 256;

/// What a network makes of a set of images.
#[derive(Debug)]
pub struct Evaluation {
    /// Loss and accuracies over all of them.
    pub metrics: Metrics,
    /// The probability of each class for each image, `[n, classes]`, row after row.
    pub probabilities: Vec<f32>,
}

/// Loss and accuracies of the engine's present weights on these rows.
#[must_use]
pub fn evaluate(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    loss: LossConfig,
    top_k: &[usize],
) -> Metrics {
    let mut metrics = Metrics::new(loss, top_k);
    infer(engine, images, rows, normalizer, |logits, labels| {
        metrics.add(logits, labels);
    });
    metrics
}

/// Like [`evaluate`], with the probabilities, in the rows' order.
#[must_use]
pub fn evaluate_each(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    loss: LossConfig,
    top_k: &[usize],
) -> Evaluation {
    let mut metrics = Metrics::new(loss, top_k);
    let mut probabilities = Vec::new();
    infer(engine, images, rows, normalizer, |logits, labels| {
        metrics.add(logits, labels);
        let classes = logits.len() / labels.len();
        probabilities.extend(logits.chunks_exact(classes).flat_map(softmax));
    });
    Evaluation { metrics, probabilities }
}

/// Gives `take` the logits and labels of these rows, batch after batch.
fn infer(
    engine: &Engine,
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    mut take: impl FnMut(&[f32], &[u8]),
) {
    let mut batch = Batch::new(images.shape);
    for rows in rows.chunks(BATCH) {
        gather(images, rows, normalizer, &mut batch);
        take(&engine.infer(&batch.pixels), &batch.labels);
    }
}

/// eˣ over its sum, computed in f64 with the largest x taken away first.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what is asked for")]
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}
