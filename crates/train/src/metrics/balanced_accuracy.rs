//! The mean recall over the classes that at least one sample has.
//!
//! This is `balanced_accuracy_score` of scikit-learn. Unlike accuracy it gives a rare class the weight of a frequent one.

use kiln_store::{ClassCounts, Direction, mean_over_classes};
use serde_json::Value;

use super::batch::ScoredBatch;
use super::class_counter::ClassCounter;
use super::{Computed, Metric, MetricType};

pub(super) static BALANCED_ACCURACY: MetricType = MetricType {
    name: "balanced_accuracy",
    better: Direction::Higher,
    computed: Computed::IfNamed,
    key: "balanced_accuracy",
    new: |setup| Box::new(BalancedAccuracy { counter: ClassCounter::new(setup.classes) }),
};

#[derive(Debug)]
struct BalancedAccuracy {
    counter: ClassCounter,
}

impl Metric for BalancedAccuracy {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        self.counter.add(batch);
    }

    fn values(&self, _: usize) -> Vec<f64> {
        let recall = self.counter.classes.iter().map(ClassCounts::recall);
        vec![mean_over_classes(recall).unwrap_or(f64::NAN)]
    }

    fn counters(&self) -> Value {
        self.counter.to_json()
    }

    fn restore(&mut self, counters: Value, samples: usize) -> Result<(), String> {
        self.counter.restore(counters, samples)
    }
}
