//! The share of samples whose true class has the largest logit.

use kiln_store::Direction;
use serde_json::Value;

use super::batch::ScoredBatch;
use super::{Computed, Metric, MetricType, counter, share};

pub(super) static ACCURACY: MetricType = MetricType {
    name: "accuracy",
    better: Direction::Higher,
    computed: Computed::Always,
    key: "correct",
    new: |_| Box::new(Accuracy::default()),
};

#[derive(Debug, Default)]
struct Accuracy {
    correct: usize,
}

impl Metric for Accuracy {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        self.correct += batch.ranks.iter().filter(|rank| **rank == 0).count();
    }

    fn values(&self, samples: usize) -> Vec<f64> {
        vec![share(self.correct, samples)]
    }

    fn counters(&self) -> Value {
        self.correct.into()
    }

    fn restore(&mut self, counters: Value, samples: usize) -> Result<(), String> {
        self.correct = counter(counters)?;
        if self.correct > samples {
            return Err(format!("{} of {samples} images are correct", self.correct));
        }
        Ok(())
    }
}
