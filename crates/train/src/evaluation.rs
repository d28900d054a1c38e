use kiln_data::{Batch, LabelledImages, Normalizer, gather};

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

/// Evaluates the engine's present weights on these rows, in their order.
#[must_use]
pub fn evaluate(
    engine: &Engine,
    images: &LabelledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    loss: LossConfig,
    top_k: &[usize],
) -> Evaluation {
    let mut metrics = Metrics::new(loss, top_k);
    let mut probabilities = Vec::new();
    let mut batch = Batch::new(images.shape);
    for rows in rows.chunks(BATCH) {
        gather(images, rows, normalizer, &mut batch);
        let logits = engine.infer(&batch.pixels);
        metrics.add(&logits, &batch.labels);
        let classes = logits.len() / rows.len();
        probabilities.extend(logits.chunks_exact(classes).flat_map(softmax));
    }
    Evaluation { metrics, probabilities }
}

/// eˣ over its sum, computed in f64 with the largest x taken away first.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what is asked for")]
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let powers: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}
