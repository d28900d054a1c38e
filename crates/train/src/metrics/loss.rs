//! The mean loss of the samples.

use kiln_store::Direction;
use serde_json::Value;

use super::batch::ScoredBatch;
use super::{Computed, Metric, MetricType, counter};

pub(super) static LOSS: MetricType = MetricType {
    name: "loss",
    better: Direction::Lower,
    computed: Computed::Always,
    key: "loss",
    new: |_| Box::new(Loss::default()),
};

#[derive(Debug, Default)]
struct Loss {
    sum: f64,
}

impl Metric for Loss {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        self.sum += batch.loss;
    }

    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    fn values(&self, samples: usize) -> Vec<f64> {
        vec![self.sum / samples as f64]
    }

    fn counters(&self) -> Value {
        self.sum.into()
    }

    fn restore(&mut self, counters: Value, _: usize) -> Result<(), String> {
        // JSON has no other numbers than finite ones.
        self.sum = counter(counters)?;
        Ok(())
    }
}
