//! The mean loss of the samples with the experiment's label smoothing, after an epoch. `loss` on the same rows is without.

use kiln_store::Direction;
use serde_json::Value;

use super::batch::ScoredBatch;
use super::{Computed, Metric, MetricType, counter};
use crate::loss::LossConfig;

pub(super) static SMOOTHED_LOSS: MetricType = MetricType {
    name: "smoothed_loss",
    better: Direction::Lower,
    computed: Computed::WithLabelSmoothing,
    key: "smoothed_loss",
    new: |setup| Box::new(SmoothedLoss { objective: setup.objective.clone(), sum: 0.0 }),
};

#[derive(Debug)]
struct SmoothedLoss {
    objective: LossConfig,
    sum: f64,
}

impl Metric for SmoothedLoss {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        let loss = |(logits, label): (&[f32], usize)| self.objective.of_sample(logits, label);
        self.sum += batch.samples().map(loss).sum::<f64>();
    }

    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    fn values(&self, samples: usize) -> Vec<f64> {
        vec![self.sum / samples as f64]
    }

    fn counters(&self) -> Value {
        self.sum.into()
    }

    fn restore(&mut self, counters: Value, _: usize) -> Result<(), String> {
        self.sum = counter(counters)?;
        Ok(())
    }
}
