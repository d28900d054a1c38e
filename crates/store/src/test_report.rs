use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::class_counts::ClassCounts;
use crate::error::{Result, StoreError};
use crate::{files, versioned};

/// The version of `report.json` that this build writes, and the newest that it reads.
pub const REPORT_VERSION: u32 = 1;

/// What counts as a probability: a sum of exponentials may round to a little over one.
pub(crate) const PROBABILITIES: RangeInclusive<f32> = 0.0..=1.001;

/// As many as a byte has values.
pub(crate) const MOST_CLASSES: usize = 256;

/// The largest report that is read; the matrix of 256 classes takes a megabyte.
const MOST_BYTES: u64 = 16 << 20;

/// What a trained model said about the test set: the material of a [`TestReport`].
#[derive(Debug, Clone, Copy)]
pub struct Tested<'a> {
    /// The classes' names, by index.
    pub class_names: &'a [String],
    /// The true class of each image.
    pub labels: &'a [u8],
    /// `[images, classes]`, row-major: the probability that the model gives each class.
    pub probabilities: &'a [f32],
    /// Mean loss over the test set.
    pub loss: f64,
    /// Which weights were tested.
    pub weights: Weights,
    /// The epoch that they come from, counted from 1.
    pub epoch: usize,
    /// The k of the top-k accuracies to report.
    pub top_k: &'a [usize],
}

impl<'a> Tested<'a> {
    /// Checks that labels, probabilities and class names fit together.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] where there are no images, no classes or more than 256, a length does not fit, a
    /// label has no class, or a probability is not a number from 0 to 1.
    pub fn check(&self) -> Result<()> {
        let (images, classes) = (self.labels.len(), self.class_names.len());
        let problem = if classes == 0 || images == 0 {
            "there are no images or no classes".to_owned()
        } else if classes > MOST_CLASSES {
            format!("{classes} classes, and a label, one byte, tells at most {MOST_CLASSES} apart")
        } else if Some(self.probabilities.len()) != images.checked_mul(classes) {
            format!(
                "{images} images of {classes} classes need {images} × {classes} probabilities, not {}",
                self.probabilities.len()
            )
        } else if let Some(image) =
            self.labels.iter().position(|label| usize::from(*label) >= classes)
        {
            let label = self.labels[image];
            format!("image {image} has label {label}, and there are {classes} classes")
        } else if let Some(at) =
            self.probabilities.iter().position(|value| !PROBABILITIES.contains(value))
        {
            let (image, value) = (at / classes, self.probabilities[at]);
            format!("{value} is no probability (image {image}, class {})", at % classes)
        } else {
            return Ok(());
        };
        Err(StoreError::Inconsistent(format!("test report: {problem}")))
    }

    /// Each image with what the model said about it, in order.
    pub fn predictions(&self) -> impl Iterator<Item = Prediction<'a>> + use<'a> {
        let rows = self.probabilities.chunks_exact(self.class_names.len().max(1));
        self.labels.iter().zip(rows).enumerate().map(|(index, (label, probabilities))| {
            let predicted = most_probable(probabilities);
            Prediction { index, label: usize::from(*label), predicted, probabilities }
        })
    }
}

/// What the model said about one test image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction<'a> {
    /// The image's place in the test set, from 0.
    pub index: usize,
    /// The index of its true class.
    pub label: usize,
    /// The index of the most probable class, the first of equals.
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

    /// Whether the true class is among the `k` most probable, of equals those with the lower index first.
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

/// Which weights a run keeps and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// Those after the last epoch.
    Last,
    /// Those of the epoch that the monitor found best.
    Best,
}

impl Weights {
    /// The word in `report.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Weights::Last => "last",
            Weights::Best => "best",
        }
    }
}

/// `report.json`: how the model did on the test set.
///
/// With TP, FP and FN the true positives, false positives and false negatives of a class, precision is TP / (TP + FP),
/// recall TP / (TP + FN), and F1, their harmonic mean, 2 TP / (2 TP + FP + FN). Where a denominator is zero the number
/// does not exist and is `null`: precision for a class that was never predicted, recall for one that no image has.
/// Averages run over the classes that have the number, and [`TestReport::notes`] says which have not. That is
/// scikit-learn's `zero_division=nan`; its default counts such a class as 0 instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Images tested.
    pub examples: usize,
    /// Which weights were tested.
    pub weights: Weights,
    /// The epoch that they come from, counted from 1.
    pub epoch: usize,
    /// Mean loss; `None` where it is not finite.
    pub loss: Option<f64>,
    /// Share of images classified rightly.
    pub accuracy: f64,
    /// Share of images whose class is among the k most probable.
    pub top_k: Vec<TopK>,
    /// Each class, by index.
    pub per_class: Vec<ClassReport>,
    /// The mean over classes, each counting the same.
    pub macro_average: Average,
    /// The mean over classes, each counting by its support.
    pub weighted_average: Average,
    /// `[true class][predicted class]`: images.
    pub confusion: Vec<Vec<u64>>,
    /// In words, what is missing from the numbers above and why.
    pub notes: Vec<String>,
}

/// One top-k accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// How many of the most probable classes count.
    pub k: usize,
    /// Share of images whose class is among them.
    pub accuracy: f64,
}

/// How the model did on one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// The class's name.
    pub class: String,
    /// Of the images predicted as this class, the share that are of it.
    pub precision: Option<f64>,
    /// Of this class's images, the share that were predicted as it.
    pub recall: Option<f64>,
    /// The harmonic mean of the two.
    pub f1: Option<f64>,
    /// This class's images in the test set.
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
        Self::parse(path, &files::read(path, MOST_BYTES)?)
    }

    /// Reads the text of a `report.json`; `path` stands for it in messages.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`] with the line where it is no report, or its confusion matrix is not one of its classes;
    /// or [`StoreError::NewerFormat`].
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let report: Self = versioned::parse(path, text, REPORT_VERSION)?;
        let classes = report.per_class.len();
        let malformed = |key: &str, problem: String| {
            let before = text.find(&format!("\"{key}\"")).map_or("", |place| &text[..place]);
            StoreError::malformed(path, 1 + before.matches('\n').count() as u64, problem)
        };
        if classes > MOST_CLASSES {
            let problem = format!("{classes} classes, and there can be {MOST_CLASSES} at most");
            return Err(malformed("per_class", problem));
        }
        let sides =
            || std::iter::once(report.confusion.len()).chain(report.confusion.iter().map(Vec::len));
        if let Some(side) = sides().find(|side| *side != classes) {
            let problem = format!("a side of {side} in the confusion matrix of {classes} classes");
            return Err(malformed("confusion", problem));
        }
        Ok(report)
    }

    /// The text of `report.json`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] where JSON cannot hold it.
    pub fn to_json(&self) -> Result<String> {
        versioned::to_json(REPORT_VERSION, self)
    }

    /// Computes the report.
    ///
    /// # Errors
    ///
    /// As [`Tested::check`].
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

    /// The pairs of classes that were taken for one another, most images first.
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
        // A stable sort: equals stay in the order of the classes.
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs
    }
}

/// How often images of one class were taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfusedPair {
    /// The index of the true class.
    pub label: usize,
    /// The index of the predicted class.
    pub predicted: usize,
    /// Images.
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
                "no {number} for {}: {reason}; averages leave it out",
                names.join(", ")
            ));
        }
    };
    note(|class| class.precision.is_none(), "precision", "never predicted");
    note(|class| class.recall.is_none(), "recall", "no such image in the test set");
    notes
}
