mod monitor;

use serde::{Deserialize, Serialize};

use crate::loss::LossConfig;

pub use monitor::Metric;
pub(crate) use monitor::{Monitor, MonitorState};

/// The sums behind [`Metrics`], over the samples seen so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricSums {
    samples: usize,
    loss: f64,
    correct: usize,
    in_top: Vec<usize>,
}

/// Averages over the samples seen so far: the loss, the accuracy and the top-k accuracies.
///
/// Fed in training, step after step, they are Keras' running metrics: each batch counts with the
/// weights that it was computed with. Fed in evaluation they are the plain averages.
#[derive(Debug, Clone)]
pub struct Metrics {
    loss_config: LossConfig,
    top_k: Vec<usize>,
    samples: usize,
    loss_sum: f64,
    correct: usize,
    in_top: Vec<usize>,
}

impl Metrics {
    /// No sample seen yet.
    #[must_use]
    pub fn new(loss: LossConfig, top_k: &[usize]) -> Self {
        Self {
            loss_config: loss,
            top_k: top_k.to_vec(),
            samples: 0,
            loss_sum: 0.0,
            correct: 0,
            in_top: vec![0; top_k.len()],
        }
    }

    /// What was summed up so far.
    pub(crate) fn sums(&self) -> MetricSums {
        MetricSums {
            samples: self.samples,
            loss: self.loss_sum,
            correct: self.correct,
            in_top: self.in_top.clone(),
        }
    }

    /// Goes on from sums of the same loss and the same ks.
    pub(crate) fn set_sums(&mut self, sums: MetricSums) -> Result<(), String> {
        if sums.in_top.len() != self.top_k.len() {
            return Err("its metrics are not those of training.top_k".to_owned());
        }
        let MetricSums { samples, loss, correct, in_top } = sums;
        let counts = in_top.iter().chain([&correct]).all(|count| *count <= samples);
        if !counts || u32::try_from(samples).is_err() || !loss.is_finite() {
            return Err("its metrics are no sums over samples".to_owned());
        }
        (self.samples, self.loss_sum, self.correct, self.in_top) = (samples, loss, correct, in_top);
        Ok(())
    }

    /// Adds a batch: `logits` is `[n, classes]`, row after row. Returns the batch's mean loss,
    /// computed in f64 from the logits.
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    pub fn add(&mut self, logits: &[f32], labels: &[u8]) -> f64 {
        let classes = logits.len() / labels.len().max(1);
        let mut batch_loss = 0.0;
        for (row, label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let label = usize::from(*label);
            batch_loss += self.loss_config.of_sample(row, label);
            let rank = rank(row, label);
            self.correct += usize::from(rank == Some(0));
            for (k, count) in self.top_k.iter().zip(&mut self.in_top) {
                *count += usize::from(rank.is_some_and(|rank| rank < *k));
            }
        }
        self.samples += labels.len();
        self.loss_sum += batch_loss;
        batch_loss / labels.len() as f64
    }

    /// The mean loss; NaN before the first sample.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.samples as f64
    }

    /// The share of samples whose true class had the largest logit.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.share(self.correct)
    }

    /// For each k asked for, the share of samples whose true class was among the k largest logits.
    pub fn top_k(&self) -> impl Iterator<Item = (usize, f64)> {
        self.top_k.iter().zip(&self.in_top).map(|(k, count)| (*k, self.share(*count)))
    }

    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    fn share(&self, count: usize) -> f64 {
        count as f64 / self.samples as f64
    }
}

/// How many classes come before the true one when sorted by logit, the lower class first where
/// logits are equal; `None` where the true class's logit is not a number.
fn rank(logits: &[f32], label: usize) -> Option<usize> {
    let own = logits[label];
    if own.is_nan() {
        return None;
    }
    let before = |(class, logit): (usize, &f32)| *logit > own || (*logit == own && class < label);
    Some(logits.iter().enumerate().filter(|other| before(*other)).count())
}
