use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::class_counts::ClassCounts;
use crate::error::{Result, StoreError};
use crate::{files, versioned};

/// The version of `report.json` that this build writes, and the newest that it reads.
pub const REPORT_VERSION: u32 = 1;

/// The maximum value of a probability: rounding may raise a sum slightly above one.
pub(crate) const PROBABILITIES: RangeInclusive<f32> = 0.0..=1.001;

/// The number of values of a byte.
pub(crate) const MAX_CLASSES: usize = 256;

/// The maximum size of a report; the confusion matrix of 256 classes takes a megabyte.
const MAX_BYTES: u64 = 16 << 20;

/// A model's output for the test set, from which a [`TestReport`] is computed.
#[derive(Debug, Clone, Copy)]
pub struct Tested<'a> {
    /// The class names, by index.
    pub class_names: &'a [String],
    /// The true class of each image.
    pub labels: &'a [u8],
    /// The probability of each class for each image, `[images, classes]`, row-major.
    pub probabilities: &'a [f32],
    /// The mean loss on the test set.
    pub loss: f64,
    /// The choice of weights.
    pub weights: TestedWeights,
    /// The epoch of the weights, counted from 1.
    pub epoch: usize,
    /// The k of the top-k accuracies to report.
    pub top_k: &'a [usize],
}

impl<'a> Tested<'a> {
    /// Checks that labels, probabilities and class names are consistent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] if there are no images, no classes or more than 256, a length does not match, a
    /// label has no class, or a probability is not a number from 0 to 1.
    pub fn check(&self) -> Result<()> {
        let (images, classes) = (self.labels.len(), self.class_names.len());
        let problem = if classes == 0 || images == 0 {
            "there are no images or no classes".to_owned()
        } else if classes > MAX_CLASSES {
            format!(
                "{classes} classes; labels are single bytes, so at most {MAX_CLASSES} classes are supported"
            )
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
        } else {
            return Ok(());
        };
        Err(StoreError::Inconsistent(format!("test report: {problem}")))
    }

    /// The images with their predictions, in order.
    pub fn predictions(&self) -> impl Iterator<Item = Prediction<'a>> + use<'a> {
        // At least 1, because `chunks_exact` panics for 0.
        let rows = self.probabilities.chunks_exact(self.class_names.len().max(1));
        self.labels.iter().zip(rows).enumerate().map(|(index, (label, probabilities))| {
            let predicted = most_probable(probabilities);
            Prediction { index, label: usize::from(*label), predicted, probabilities }
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
    /// The index of the most probable class; of equals, the first.
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

    /// Whether the true class is among the `k` most probable; of equals, those with the lower index come first.
    #[must_use]
    pub fn is_in_top(&self, k: usize) -> bool {
        let own = self.probabilities[self.label];
        let ahead = self
            .probabilities
            .iter()
            .enumerate()
            .filter(|(class, value)| **value > own || (**value == own && *class < self.label));
        ahead.count() < k
    }
}

fn most_probable(probabilities: &[f32]) -> usize {
    let mut best = 0;
    for (class, value) in probabilities.iter().enumerate() {
        if *value > probabilities[best] {
            best = class;
        }
    }
    best
}

/// Which weights a run saves and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestedWeights {
    /// The weights after the last epoch.
    Last,
    /// The weights of the best epoch of the monitored metric.
    Best,
}

impl TestedWeights {
    /// The value in `report.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TestedWeights::Last => "last",
            TestedWeights::Best => "best",
        }
    }
}

/// `report.json`: the model's results on the test set.
///
/// With TP, FP and FN the true positives, false positives and false negatives of a class, precision is TP / (TP +
/// FP), recall is TP / (TP + FN), and F1, their harmonic mean, is 2 TP / (2 TP + FP + FN). If a denominator is zero,
/// the number does not exist and is `null`: the precision of a class that was never predicted, the recall of a class
/// without images. Averages are over the classes that have the number; [`TestReport::notes`] names the others. This
/// corresponds to scikit-learn's `zero_division=nan`; its default counts such a class as 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// The number of test images.
    pub examples: usize,
    /// The choice of weights.
    pub weights: TestedWeights,
    /// The epoch of the weights, counted from 1.
    pub epoch: usize,
    /// The mean loss; `None` if it is not finite.
    pub loss: Option<f64>,
    /// The share of correctly classified images.
    pub accuracy: f64,
    /// The shares of images whose class is among the k most probable.
    pub top_k: Vec<TopK>,
    /// The results per class, by index.
    pub per_class: Vec<ClassReport>,
    /// The unweighted mean over classes.
    pub macro_average: Average,
    /// The mean over classes, weighted by support.
    pub weighted_average: Average,
    /// The number of images as `[true class][predicted class]`.
    pub confusion: Vec<Vec<u64>>,
    /// Notes about missing numbers and their reasons.
    pub notes: Vec<String>,
}

/// A top-k accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// The number of classes that count.
    pub k: usize,
    /// The share of images whose class is among them.
    pub accuracy: f64,
}

/// The results for one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// The name of the class.
    pub class: String,
    /// Of the images predicted as this class, the share that belongs to it.
    pub precision: Option<f64>,
    /// Of the images of this class, the share that was predicted as it.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// The number of test images of this class.
    pub support: u64,
}

/// A mean over the classes that have the number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// Mean precision.
    pub precision: Option<f64>,
    /// Mean recall.
    pub recall: Option<f64>,
    /// Mean F1.
    pub f1: Option<f64>,
}

impl TestReport {
    /// Reads `report.json`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &files::read(path, MAX_BYTES)?)
    }

    /// Reads the text of a `report.json`; `path` is used in messages.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`] with the line if it is not a report, or its confusion matrix does not match its
    /// classes; or [`StoreError::NewerFormat`].
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let report: Self = versioned::parse(path, text, REPORT_VERSION)?;
        let classes = report.per_class.len();
        // The text is valid JSON of the right types, so there is no error with a line: the key shows it.
        let malformed = |key: &str, problem: String| {
            let before = text.find(&format!("\"{key}\"")).map_or("", |place| &text[..place]);
            StoreError::malformed(path, 1 + before.matches('\n').count() as u64, problem)
        };
        if classes > MAX_CLASSES {
            let problem = format!("{classes} classes; at most {MAX_CLASSES} are supported");
            return Err(malformed("per_class", problem));
        }
        let sides =
            || std::iter::once(report.confusion.len()).chain(report.confusion.iter().map(Vec::len));
        if let Some(side) = sides().find(|side| *side != classes) {
            let problem = format!(
                "the confusion matrix has {side} rows or columns, but there are {classes} classes"
            );
            return Err(malformed("confusion", problem));
        }
        Ok(report)
    }

    /// The text of `report.json`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] if JSON cannot represent it.
    pub fn to_json(&self) -> Result<String> {
        versioned::to_json(REPORT_VERSION, self)
    }

    /// Computes the report.
    ///
    /// # Errors
    ///
    /// Those of [`Tested::check`].
    pub fn new(tested: &Tested<'_>) -> Result<Self> {
        tested.check()?;
        let classes = tested.class_names.len();
        let examples = tested.labels.len();
        let mut confusion = vec![vec![0_u64; classes]; classes];
        for prediction in tested.predictions() {
            confusion[prediction.label][prediction.predicted] += 1;
        }
        let right: u64 = (0..classes).map(|class| confusion[class][class]).sum();
        let top_k = tested.top_k.iter().map(|k| {
            let hits = tested.predictions().filter(|prediction| prediction.is_in_top(*k)).count();
            TopK { k: *k, accuracy: hits as f64 / examples as f64 }
        });
        let names = tested.class_names.iter().enumerate();
        let per_class: Vec<_> =
            names.map(|(class, name)| ClassReport::new(name, class, &confusion)).collect();
        Ok(Self {
            examples,
            weights: tested.weights,
            epoch: tested.epoch,
            loss: Some(tested.loss).filter(|loss| loss.is_finite()),
            accuracy: right as f64 / examples as f64,
            top_k: top_k.collect(),
            macro_average: Average::new(&per_class, |_| 1.0),
            weighted_average: Average::new(&per_class, |class| class.support as f64),
            notes: notes(&per_class),
            per_class,
            confusion,
        })
    }

    /// The pairs of confused classes, by descending number of images.
    #[must_use]
    pub fn confused_pairs(&self) -> Vec<ConfusedPair> {
        let mut pairs = Vec::new();
        for (label, row) in self.confusion.iter().enumerate() {
            for (predicted, count) in row.iter().enumerate() {
                if label != predicted && *count > 0 {
                    pairs.push(ConfusedPair { label, predicted, count: *count });
                }
            }
        }
        // The sort is stable: pairs with equal counts stay in class order.
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs
    }
}

/// How often one class was predicted for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfusedPair {
    /// The index of the true class.
    pub label: usize,
    /// The index of the predicted class.
    pub predicted: usize,
    /// The number of images.
    pub count: u64,
}

impl ClassReport {
    fn new(name: &str, class: usize, confusion: &[Vec<u64>]) -> Self {
        let counts = ClassCounts {
            hits: confusion[class][class],
            predicted: confusion.iter().map(|row| row[class]).sum(),
            support: confusion[class].iter().sum(),
        };
        Self {
            class: name.to_owned(),
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            support: counts.support,
        }
    }
}

impl Average {
    fn new(classes: &[ClassReport], weight: impl Fn(&ClassReport) -> f64) -> Self {
        let mean = |number: fn(&ClassReport) -> Option<f64>| {
            let (mut sum, mut weights) = (0.0, 0.0);
            for class in classes {
                if let Some(value) = number(class) {
                    sum += weight(class) * value;
                    weights += weight(class);
                }
            }
            (weights > 0.0).then(|| sum / weights)
        };
        Self {
            precision: mean(|class| class.precision),
            recall: mean(|class| class.recall),
            f1: mean(|class| class.f1),
        }
    }
}

fn notes(classes: &[ClassReport]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |lacks: fn(&ClassReport) -> bool, number: &str, reason: &str| {
        let names: Vec<_> = classes.iter().filter(|class| lacks(class)).collect();
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|class| class.class.as_str()).collect();
            notes.push(format!(
                "no {number} for {}: {reason}; averages exclude it",
                names.join(", ")
            ));
        }
    };
    note(|class| class.precision.is_none(), "precision", "never predicted");
    note(|class| class.recall.is_none(), "recall", "the test set has no such image");
    notes
}
