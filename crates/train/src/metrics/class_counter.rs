//! Counts per class, for metrics that are means over classes.

use kiln_store::ClassCounts;
use serde_json::{Value, json};

use super::batch::ScoredBatch;
use super::counter;

#[derive(Debug)]
pub(super) struct ClassCounter {
    /// One entry per class, by index.
    pub(super) classes: Vec<ClassCounts>,
}

impl ClassCounter {
    pub(super) fn new(classes: usize) -> Self {
        Self { classes: vec![ClassCounts::default(); classes] }
    }

    pub(super) fn add(&mut self, batch: &ScoredBatch<'_>) {
        for (label, predicted) in batch.predictions() {
            self.classes[label].support += 1;
            self.classes[predicted].predicted += 1;
            self.classes[label].hits += u64::from(label == predicted);
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self.classes)
    }

    pub(super) fn restore(&mut self, counters: Value, samples: usize) -> Result<(), String> {
        let classes: Vec<ClassCounts> = counter(counters)?;
        if classes.len() != self.classes.len() {
            let (found, expected) = (classes.len(), self.classes.len());
            return Err(format!("{found} classes, but the model has {expected}"));
        }
        // Checked sums: a checkpoint from anywhere may hold any numbers.
        let sum = |count: fn(&ClassCounts) -> u64| {
            classes.iter().map(count).try_fold(0_u64, u64::checked_add)
        };
        let all = Some(samples as u64);
        let possible = |class: &ClassCounts| class.hits <= class.support.min(class.predicted);
        if sum(|class| class.support) != all
            || sum(|class| class.predicted) != all
            || !classes.iter().all(possible)
        {
            return Err(format!("the counts are not those of {samples} images"));
        }
        self.classes = classes;
        Ok(())
    }
}
