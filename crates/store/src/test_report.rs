use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::class_counts::ClassCounts;
use crate::error::{Result, StoreError};
use crate::optimism::Optimism;
use crate::tested::{MAX_CLASSES, Tested, TestedWeights};
use crate::{files, versioned};

/// The version of `report.json` that this build writes, and the newest that it reads.
pub const REPORT_VERSION: u32 = 1;

/// With more classes, a report lists the confused classes, because a matrix of a thousand classes has a million
/// numbers, most of them 0.
pub const MAX_MATRIX_CLASSES: usize = 256;

/// The largest number of confused pairs in a report.
const MAX_PAIRS: usize = 100_000;

/// The maximum size of a report: the confusion matrix of 256 classes takes a megabyte, and [`MAX_CLASSES`] classes with
/// [`MAX_PAIRS`] confused pairs take 25.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

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
    /// Whether the probabilities are means over an image and its horizontal mirror image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flip: bool,
    /// The mean loss, without label smoothing; `None` if it is not finite.
    pub loss: Option<f64>,
    /// The mean loss with the label smoothing of the training; `None` without smoothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothed_loss: Option<f64>,
    /// The share of correctly classified images.
    pub accuracy: f64,
    /// The result of a model without any skill. `None` if an earlier version of Kiln wrote the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_frequent: Option<MostFrequentClass>,
    /// How much too high the validation accuracy is because the epoch was chosen with the same images; `None` if there was
    /// no choice by validation, and if an earlier version of Kiln wrote the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimism: Option<Optimism>,
    /// The shares of images whose class is among the k most probable.
    pub top_k: Vec<TopK>,
    /// The results per class, by index.
    pub per_class: Vec<ClassReport>,
    /// The unweighted mean over classes.
    pub macro_average: Average,
    /// The mean over classes, weighted by support.
    pub weighted_average: Average,
    /// The number of images as `[true class][predicted class]`; empty if there are more than 256 classes.
    pub confusion: Vec<Vec<u64>>,
    /// With more than 256 classes, the confused classes by descending number of images, at most 100,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confused: Vec<ConfusedPair>,
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

/// The most frequent class of the training rows, which a model without any skill would always answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MostFrequentClass {
    /// The name of the class; of equally frequent ones, the first.
    pub class: String,
    /// The share of test images of this class.
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
    /// [`StoreError::Malformed`] with the line if it is not a report, or its confusion matrix or its confused
    /// pairs do not match its classes; or [`StoreError::NewerFormat`].
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
        let expected = if classes > MAX_MATRIX_CLASSES { 0 } else { classes };
        if let Some(side) = sides().find(|side| *side != expected) {
            let problem = format!(
                "the confusion matrix has {side} rows or columns, but there are {classes} classes"
            );
            return Err(malformed("confusion", problem));
        }
        let has_classes = |pair: &&ConfusedPair| pair.label.max(pair.predicted) < classes;
        if let Some(pair) = report.confused.iter().find(|pair| !has_classes(pair)) {
            let ConfusedPair { label, predicted, .. } = pair;
            let problem = format!(
                "it has the classes {label} and {predicted}, but there are {classes} classes"
            );
            return Err(malformed("confused", problem));
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
        Ok(Self::of_classes(tested))
    }

    /// Like [`new`](Self::new), from the labels and predicted classes alone, which must exist.
    pub(crate) fn of_classes(tested: &Tested<'_>) -> Self {
        let classes = tested.class_names.len();
        let examples = tested.labels.len();
        // Most pairs of many classes never occur, so they are not stored.
        let mut pairs: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        let mut counts = vec![ClassCounts { hits: 0, predicted: 0, support: 0 }; classes];
        for (label, predicted) in tested.labels.iter().zip(tested.predicted) {
            let [label, predicted] = [label, predicted].map(|class| usize::from(*class));
            *pairs.entry((label, predicted)).or_default() += 1;
            counts[label].support += 1;
            counts[predicted].predicted += 1;
            counts[label].hits += u64::from(label == predicted);
        }
        let (mut confusion, mut confused) = (Vec::new(), Vec::new());
        if classes <= MAX_MATRIX_CLASSES {
            confusion = vec![vec![0_u64; classes]; classes];
            for ((label, predicted), count) in pairs {
                confusion[label][predicted] = count;
            }
        } else {
            let different = pairs.into_iter().filter(|((label, predicted), _)| label != predicted);
            confused.extend(different.map(|((label, predicted), count)| ConfusedPair {
                label,
                predicted,
                count,
            }));
            // The sort is stable: pairs with equal counts stay in class order.
            confused.sort_by_key(|pair| std::cmp::Reverse(pair.count));
            confused.truncate(MAX_PAIRS);
        }
        let right: u64 = counts.iter().map(|counts| counts.hits).sum();
        let names = tested.class_names.iter().zip(&counts);
        let per_class: Vec<_> =
            names.map(|(name, counts)| ClassReport::new(name, counts)).collect();
        Self {
            examples,
            weights: tested.weights,
            epoch: tested.epoch,
            flip: tested.flip,
            loss: Some(tested.loss).filter(|loss| loss.is_finite()),
            smoothed_loss: tested.smoothed_loss,
            accuracy: right as f64 / examples as f64,
            most_frequent: tested.most_frequent.and_then(|class| {
                let ClassReport { class, support, .. } = per_class.get(class)?;
                let accuracy = *support as f64 / examples as f64;
                Some(MostFrequentClass { class: class.clone(), accuracy })
            }),
            optimism: tested.optimism,
            top_k: tested.top_k.to_vec(),
            macro_average: Average::new(&per_class, |_| 1.0),
            weighted_average: Average::new(&per_class, |class| class.support as f64),
            notes: notes(&per_class),
            per_class,
            confusion,
            confused,
        }
    }

    /// The counts of one class, from the confusion matrix or the confused pairs; `None` if there is no such class, or if
    /// there are more confused pairs than the report lists.
    #[must_use]
    pub fn counts(&self, class: usize) -> Option<ClassCounts> {
        if class < self.confusion.len() {
            return Some(class_counts(class, &self.confusion));
        }
        let support = self.per_class.get(class)?.support;
        if self.confused.len() >= MAX_PAIRS {
            return None;
        }
        // A file may have any numbers, so the sums must not overflow.
        let sum = |has_class: fn(&ConfusedPair, usize) -> bool| {
            let pairs = self.confused.iter().filter(|pair| has_class(pair, class));
            pairs.fold(0_u64, |sum, pair| sum.saturating_add(pair.count))
        };
        let hits = support.saturating_sub(sum(|pair, class| pair.label == class));
        let predicted = hits.saturating_add(sum(|pair, class| pair.predicted == class));
        Some(ClassCounts { hits, predicted, support })
    }

    /// The pairs of confused classes, by descending number of images.
    #[must_use]
    pub fn confused_pairs(&self) -> Vec<ConfusedPair> {
        let mut pairs = self.confused.clone();
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusedPair {
    /// The index of the true class.
    pub label: usize,
    /// The index of the predicted class.
    pub predicted: usize,
    /// The number of images.
    pub count: u64,
}

impl ClassReport {
    fn new(name: &str, counts: &ClassCounts) -> Self {
        Self {
            class: name.to_owned(),
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            support: counts.support,
        }
    }
}

/// The counts of one class of a square confusion matrix.
fn class_counts(class: usize, confusion: &[Vec<u64>]) -> ClassCounts {
    // A file may have any numbers, so the sums must not overflow.
    let sum = |counts: &mut dyn Iterator<Item = &u64>| {
        counts.fold(0, |sum: u64, count| sum.saturating_add(*count))
    };
    ClassCounts {
        hits: confusion[class][class],
        predicted: sum(&mut confusion.iter().map(|row| &row[class])),
        support: sum(&mut confusion[class].iter()),
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

/// The largest number of classes that a note about many classes names.
const MAX_NAMES: usize = 10;

fn notes(classes: &[ClassReport]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |lacks: fn(&ClassReport) -> bool, number: &str, reason: &str| {
        let names: Vec<_> = classes.iter().filter(|class| lacks(class)).collect();
        if !names.is_empty() {
            // The names of hundreds of classes would hide the note.
            let shown = if classes.len() > MAX_MATRIX_CLASSES { MAX_NAMES } else { names.len() };
            let others = names.len().saturating_sub(shown);
            let names: Vec<_> =
                names.iter().take(shown).map(|class| class.class.as_str()).collect();
            let others =
                if others > 0 { format!(" and {others} other classes") } else { String::new() };
            let names = names.join(", ");
            notes.push(format!("no {number} for {names}{others}: {reason}; averages exclude it"));
        }
    };
    note(|class| class.precision.is_none(), "precision", "never predicted");
    note(|class| class.recall.is_none(), "recall", "the test set has no such image");
    notes
}
