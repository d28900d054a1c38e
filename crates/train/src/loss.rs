use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::Device;
use kiln_config::{ConfigError, Table};
use serde::Serialize;

/// The `[loss]` table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LossConfig {
    /// The mean over samples of −Σ q ln p, where p is the softmax of the logits and q the label
    /// as a distribution: 1 on the true class, or with smoothing s (Szegedy et al. 2016)
    /// 1 − s + s/classes on it and s/classes on every other.
    SparseCategoricalCrossentropy {
        /// s, from 0 up to, but not, 1. Evaluation uses the same loss, as in Keras.
        label_smoothing: f64,
    },
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::SparseCategoricalCrossentropy { label_smoothing: 0.0 }
    }
}

impl LossConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        if let Some(value) = table.value("type") {
            value.keyword(&["sparse_categorical_crossentropy"])?;
        }
        let expected = "a number from 0 up to, but not, 1";
        let label_smoothing =
            table.checked("label_smoothing", 0.0, expected, |s| (0.0..1.0).contains(s))?;
        Ok(Self::SparseCategoricalCrossentropy { label_smoothing })
    }

    /// The loss on a device, from logits.
    #[expect(clippy::cast_possible_truncation, reason = "the backend computes in f32")]
    pub(crate) fn init(self, device: &Device) -> CrossEntropyLoss {
        let Self::SparseCategoricalCrossentropy { label_smoothing } = self;
        // None rather than Some(0.0): the plain loss only looks up the true class.
        let smoothing = (label_smoothing > 0.0).then_some(label_smoothing as f32);
        CrossEntropyLossConfig::new().with_smoothing(smoothing).init(device)
    }

    /// The loss of one sample from its logits, in f64 on the host.
    pub(crate) fn of_sample(self, logits: &[f32], label: usize) -> f64 {
        let Self::SparseCategoricalCrossentropy { label_smoothing } = self;
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let most = f64::from(most);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
        let log_sum = most + sum.ln();
        let surprise = |class: usize| log_sum - f64::from(logits[class]);
        if label_smoothing == 0.0 {
            return surprise(label);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 256 classes")]
        let mean = (0..logits.len()).map(surprise).sum::<f64>() / logits.len() as f64;
        (1.0 - label_smoothing) * surprise(label) + label_smoothing * mean
    }
}
