//! Classes of very different sizes.

use super::{Examined, Finding, Severity};

/// The largest class has at least this many times the training images of the smallest one.
const RATIO: usize = 10;

/// A class has many times the training images of another one.
pub(super) fn imbalance(examined: &Examined<'_>) -> Vec<Finding> {
    let counts = &examined.counts.0;
    let trained = examined.counts.classes(|class| class.training > 0);
    // The first of several smallest or largest classes is named.
    let smallest = trained.iter().copied().min_by_key(|&class| counts[class].training);
    let largest = trained.iter().rev().copied().max_by_key(|&class| counts[class].training);
    let (Some(smallest), Some(largest)) = (smallest, largest) else { return Vec::new() };
    let (few, many) = (counts[smallest].training, counts[largest].training);
    if many < RATIO * few {
        return Vec::new();
    }
    let rare: Vec<usize> =
        trained.into_iter().filter(|&class| many >= RATIO * counts[class].training).collect();
    vec![Finding {
        kind: "imbalance",
        severity: Severity::Hint,
        message: format!(
            "{} has {} times the training images of {} ({many} and {few})",
            examined.class_name(largest),
            many / few,
            examined.class_name(smallest),
        ),
        help: "try loss.class_weights=balanced or training.sampling=balanced, and training.monitor=val_macro_f1"
            .into(),
        count: rare.len(),
        examples: examined.class_examples(&rare),
    }]
}
