//! For each k of `training.top_k`, the share of samples whose true class is among the k largest logits.

use kiln_store::Direction;
use serde_json::{Value, json};

use super::batch::ScoredBatch;
use super::{Computed, Metric, MetricType, counter, share};

pub(super) static TOP_K_ACCURACY: MetricType = MetricType {
    name: "top_<k>_accuracy",
    better: Direction::Higher,
    computed: Computed::Always,
    key: "in_top",
    new: |setup| Box::new(TopKAccuracy::new(setup.top_k)),
};

#[derive(Debug)]
struct TopKAccuracy {
    top_k: Vec<usize>,
    /// For each k, the samples whose true class was among the k largest logits.
    in_top: Vec<usize>,
}

impl TopKAccuracy {
    fn new(top_k: &[usize]) -> Self {
        Self { top_k: top_k.to_vec(), in_top: vec![0; top_k.len()] }
    }
}

impl Metric for TopKAccuracy {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        for (k, in_top) in self.top_k.iter().zip(&mut self.in_top) {
            *in_top += batch.ranks.iter().filter(|rank| *rank < k).count();
        }
    }

    fn values(&self, samples: usize) -> Vec<f64> {
        self.in_top.iter().map(|in_top| share(*in_top, samples)).collect()
    }

    fn counters(&self) -> Value {
        json!(self.in_top)
    }

    fn restore(&mut self, counters: Value, samples: usize) -> Result<(), String> {
        let in_top: Vec<usize> = counter(counters)?;
        if in_top.len() != self.top_k.len() {
            let (found, expected) = (in_top.len(), self.top_k.len());
            return Err(format!("{found} numbers, but training.top_k has {expected}"));
        }
        if let Some(count) = in_top.iter().find(|count| **count > samples) {
            return Err(format!("{count} of {samples} images are in the top"));
        }
        self.in_top = in_top;
        Ok(())
    }
}
