use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::Device;
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use crate::class_weights::ClassWeights;

/// The `[loss]` table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LossConfig {
    /// The mean over samples of −Σ q ln p, where p is the softmax of the logits and q the distribution of the label: 1
    /// for the true class, or with label smoothing s (Szegedy et al. 2016) 1 − s + s/classes for the true class and
    /// s/classes for all others.
    SparseCategoricalCrossentropy {
        /// s, at least 0 and below 1. Only training uses it; evaluation reports the loss without it, and as
        /// `smoothed_loss` with it.
        label_smoothing: f64,
        /// The loss of an image in training is multiplied by the weight of its class; for mixed labels, by the weighted
        /// mean. The sum is divided by the number of images and not by the sum of weights, as in Keras. Evaluation
        /// reports the loss without weights.
        #[serde(skip_serializing_if = "ClassWeights::is_equal")]
        class_weights: ClassWeights,
    },
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::SparseCategoricalCrossentropy {
            label_smoothing: 0.0,
            class_weights: ClassWeights::Equal,
        }
    }
}

impl LossConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        if let Some(value) = table.value("type") {
            value.keyword("loss", &["sparse_categorical_crossentropy"])?;
        }
        let expected = "a number, at least 0 and below 1";
        let label_smoothing =
            table.checked("label_smoothing", 0.0, expected, |s| (0.0..1.0).contains(s))?;
        let class_weights = table.default("class_weights", ClassWeights::Equal)?;
        Ok(Self::SparseCategoricalCrossentropy { label_smoothing, class_weights })
    }

    pub(crate) fn label_smoothing(&self) -> f64 {
        let Self::SparseCategoricalCrossentropy { label_smoothing, .. } = self;
        *label_smoothing
    }

    pub(crate) fn class_weights(&self) -> &ClassWeights {
        let Self::SparseCategoricalCrossentropy { class_weights, .. } = self;
        class_weights
    }

    pub(crate) fn is_smoothed(&self) -> bool {
        self.label_smoothing() > 0.0
    }

    pub(crate) fn without_smoothing(&self) -> Self {
        let class_weights = self.class_weights().clone();
        Self::SparseCategoricalCrossentropy { label_smoothing: 0.0, class_weights }
    }

    /// The loss as a Burn module, which takes logits.
    #[expect(clippy::cast_possible_truncation, reason = "the backend computes in f32")]
    pub(crate) fn init(&self, device: &Device) -> CrossEntropyLoss {
        let label_smoothing = self.label_smoothing();
        // `None` instead of `Some(0.0)`, because the loss without smoothing only reads the logit of the true class.
        let smoothing = (label_smoothing > 0.0).then_some(label_smoothing as f32);
        CrossEntropyLossConfig::new().with_smoothing(smoothing).init(device)
    }

    /// The loss of one sample without the weight of its class, computed in f64 on the host from its logits.
    pub(crate) fn of_sample(&self, logits: &[f32], label: usize) -> f64 {
        let label_smoothing = self.label_smoothing();
        // Subtracting the largest logit first keeps the powers of e from overflowing.
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit) - max)).sum();
        let log_sum = max + libm::log(sum);
        let surprise = |class: usize| log_sum - f64::from(logits[class]);
        if label_smoothing == 0.0 {
            return surprise(label);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536 classes")]
        let mean = (0..logits.len()).map(surprise).sum::<f64>() / logits.len() as f64;
        (1.0 - label_smoothing) * surprise(label) + label_smoothing * mean
    }
}
