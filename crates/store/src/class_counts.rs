use serde::{Deserialize, Serialize};

/// How often one class was right and how often it was predicted, over a set of images.
///
/// With TP, FP and FN the true positives, false positives and false negatives of the class, `hits` is TP, `predicted` is
/// TP + FP and `support` is TP + FN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Images of this class that were predicted as this class.
    pub hits: u64,
    /// Images that were predicted as this class.
    pub predicted: u64,
    /// Images of this class.
    pub support: u64,
}

impl ClassCounts {
    /// TP / (TP + FP); `None` for a class that was never predicted.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.hits, self.predicted)
    }

    /// TP / (TP + FN); `None` for a class that no image has.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.hits, self.support)
    }

    /// The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); `None` for a class that no image has and that
    /// was never predicted.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        // 2 TP + FP + FN = (TP + FP) + (TP + FN)
        ratio(2 * self.hits, self.predicted + self.support)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The mean over the classes that have the number, each counting the same; `None` if no class has it.
#[must_use]
pub fn mean_over_classes(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (mut sum, mut classes) = (0.0, 0_u32);
    for value in values.into_iter().flatten() {
        sum += value;
        classes += 1;
    }
    (classes > 0).then(|| sum / f64::from(classes))
}
