//! What a model answered for the test set.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::optimism::Optimism;
use crate::test_report::TopK;

/// The maximum value of a probability: rounding may raise a sum slightly above one.
pub(crate) const PROBABILITIES: RangeInclusive<f32> = 0.0..=1.001;

/// The number of values of a label.
pub(crate) const MAX_CLASSES: usize = 1 << 16;

/// A model's output for the test set, from which a [`TestReport`](crate::TestReport) is computed.
#[derive(Debug, Clone, Copy)]
pub struct Tested<'a> {
    /// The class names, by index.
    pub class_names: &'a [String],
    /// The true class of each image.
    pub labels: &'a [u16],
    /// The predicted class of each image: the one with the largest logit. The probabilities are rounded, so several
    /// classes can have the highest one.
    pub predicted: &'a [u16],
    /// The probability of each class for each image, `[images, classes]`, row-major.
    pub probabilities: &'a [f32],
    /// The mean loss on the test set, without label smoothing.
    pub loss: f64,
    /// The mean loss with the label smoothing of the training, if it has any.
    pub smoothed_loss: Option<f64>,
    /// The choice of weights.
    pub weights: TestedWeights,
    /// The epoch of the weights, counted from 1.
    pub epoch: usize,
    /// Whether the probabilities are means over an image and its horizontal mirror image.
    pub flip: bool,
    /// The top-k accuracies, computed from the logits.
    pub top_k: &'a [TopK],
    /// The index of the most frequent class of the training rows, if it is known.
    pub most_frequent: Option<usize>,
    /// [`RunRecord::optimism`](crate::RunRecord::optimism).
    pub optimism: Option<Optimism>,
}

impl<'a> Tested<'a> {
    /// Checks that labels, predictions, probabilities and class names are consistent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] if there are no images, no classes or more than 65,536, a length does not match, a
    /// label has no class, a probability is not a number from 0 to 1, or a predicted class is not the most probable one.
    pub fn check(&self) -> Result<()> {
        let (images, classes) = (self.labels.len(), self.class_names.len());
        let problem = if classes == 0 || images == 0 {
            "there are no images or no classes".to_owned()
        } else if classes > MAX_CLASSES {
            format!("{classes} classes; at most {MAX_CLASSES} are supported")
        } else if Some(self.probabilities.len()) != images.checked_mul(classes) {
            format!(
                "{images} images of {classes} classes need {images} × {classes} probabilities, not {}",
                self.probabilities.len()
            )
        } else if let Some(image) =
            self.labels.iter().position(|label| usize::from(*label) >= classes)
        {
            let label = self.labels[image];
            format!("image {image} has label {label}, but there are only {classes} classes")
        } else if let Some(at) =
            self.probabilities.iter().position(|value| !PROBABILITIES.contains(value))
        {
            let (image, value) = (at / classes, self.probabilities[at]);
            format!("{value} is not a probability (image {image}, class {})", at % classes)
        } else if self.predicted.len() != images {
            format!("{images} images need {images} predicted classes, not {}", self.predicted.len())
        } else if let Some(image) = self.wrong_prediction() {
            let predicted = self.predicted[image];
            format!(
                "image {image} is predicted as class {predicted}, which is not the most probable"
            )
        } else {
            return Ok(());
        };
        Err(StoreError::Inconsistent(format!("test report: {problem}")))
    }

    /// The first image whose predicted class does not exist or has not the highest probability.
    fn wrong_prediction(&self) -> Option<usize> {
        let rows = self.probabilities.chunks_exact(self.class_names.len());
        self.predicted.iter().zip(rows).position(|(predicted, row)| {
            let own = row.get(usize::from(*predicted));
            own.is_none_or(|own| row.iter().any(|other| other > own))
        })
    }

    /// The images with their predictions, in order.
    pub fn predictions(&self) -> impl Iterator<Item = Prediction<'a>> + use<'a> {
        // At least 1, because `chunks_exact` panics for 0.
        let rows = self.probabilities.chunks_exact(self.class_names.len().max(1));
        let classes = self.labels.iter().zip(self.predicted);
        let images = classes.zip(rows).enumerate();
        images.map(|(index, ((label, predicted), probabilities))| {
            let [label, predicted] = [label, predicted].map(|class| usize::from(*class));
            Prediction { index, label, predicted, probabilities }
        })
    }
}

/// A model's output for one test image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction<'a> {
    /// The index of the image in the test set, from 0.
    pub index: usize,
    /// The index of its true class.
    pub label: usize,
    /// The index of the predicted class.
    pub predicted: usize,
    /// The probability of each class.
    pub probabilities: &'a [f32],
}

impl Prediction<'_> {
    /// The probability of the predicted class.
    #[must_use]
    pub fn probability(&self) -> f32 {
        self.probabilities[self.predicted]
    }
}

/// Which weights a run saves and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestedWeights {
    /// The weights after the last epoch.
    Last,
    /// The weights of the best epoch of the monitored metric.
    Best,
    /// The running average of the weights after the last epoch.
    Average,
    /// The running average of the weights after the best epoch of the monitored metric.
    BestAverage,
}

impl TestedWeights {
    /// The value in `report.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TestedWeights::Last => "last",
            TestedWeights::Best => "best",
            TestedWeights::Average => "average",
            TestedWeights::BestAverage => "best_average",
        }
    }
}
