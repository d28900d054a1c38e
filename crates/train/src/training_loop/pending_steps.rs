use std::num::NonZeroUsize;

use kiln_data::{Batch, Mix};

use crate::engine::{Logits, Targets};
use crate::metrics::Metrics;

/// Training steps whose logits have not been read. On a GPU, reading waits for the device, so it is done for many steps at
/// once. The metrics see all steps in order, so the length of the queue does not affect them.
pub(super) struct PendingSteps {
    /// The logits are read when there are this many steps.
    length: NonZeroUsize,
    steps: Vec<PendingStep>,
}

struct PendingStep {
    /// Counted from 1 in the epoch.
    number: usize,
    logits: Logits,
    labels: Vec<u16>,
    mix: Vec<Mix>,
}

/// A step with a loss that is not finite.
pub(super) struct DivergedStep {
    pub(super) number: usize,
    pub(super) loss: f64,
}

impl PendingSteps {
    pub(super) const fn new(length: NonZeroUsize) -> Self {
        Self { length, steps: Vec::new() }
    }

    pub(super) fn push(&mut self, number: usize, logits: Logits, batch: &Batch) {
        let (labels, mix) = (batch.labels.clone(), batch.mix.clone());
        self.steps.push(PendingStep { number, logits, labels, mix });
    }

    pub(super) fn is_full(&self) -> bool {
        self.steps.len() >= self.length.get()
    }

    /// Reads the logits and adds them to the metrics, up to the first step with a loss that is not finite.
    ///
    /// # Errors
    ///
    /// That step.
    pub(super) fn read(
        &mut self,
        class_weights: &[f64],
        metrics: &mut Metrics,
    ) -> Result<(), DivergedStep> {
        let (mut logits, mut batches) = (Vec::new(), Vec::new());
        for PendingStep { number, logits: of_step, labels, mix } in self.steps.drain(..) {
            logits.push(of_step);
            batches.push((number, labels, mix));
        }
        for (logits, (number, labels, mix)) in Logits::read_all(logits).iter().zip(&batches) {
            let loss = metrics.add_batch(logits, Targets { labels, mix, class_weights });
            if !loss.is_finite() {
                return Err(DivergedStep { number: *number, loss });
            }
        }
        Ok(())
    }
}
