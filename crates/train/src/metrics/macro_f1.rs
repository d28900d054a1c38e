//! The mean over classes of F1, the harmonic mean of precision and recall.
//!
//! A class that no sample has and that was never predicted has no F1, and the mean skips it. A class that was never
//! predicted has F1 0. This is `f1_score(average="macro", labels=range(classes), zero_division=nan)` of scikit-learn,
//! and the macro F1 of the test report. It is computed from the counts of all samples; it is not a mean over batches.

use kiln_store::{ClassCounts, Direction, mean_over_classes};
use serde_json::Value;

use super::batch::ScoredBatch;
use super::class_counter::ClassCounter;
use super::{Computed, Metric, MetricType};

pub(super) static MACRO_F1: MetricType = MetricType {
    name: "macro_f1",
    better: Direction::Higher,
    computed: Computed::IfNamed,
    key: "macro_f1",
    new: |setup| Box::new(MacroF1 { counter: ClassCounter::new(setup.classes) }),
};

#[derive(Debug)]
struct MacroF1 {
    counter: ClassCounter,
}

impl Metric for MacroF1 {
    fn add(&mut self, batch: &ScoredBatch<'_>) {
        self.counter.add(batch);
    }

    fn values(&self, _: usize) -> Vec<f64> {
        let f1 = self.counter.classes.iter().map(ClassCounts::f1);
        vec![mean_over_classes(f1).unwrap_or(f64::NAN)]
    }

    fn counters(&self) -> Value {
        self.counter.to_json()
    }

    fn restore(&mut self, counters: Value, samples: usize) -> Result<(), String> {
        self.counter.restore(counters, samples)
    }
}
