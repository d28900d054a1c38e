//! Labels that are not the numbers from 0 to the number of classes.

use super::{Examined, Finding, MAX_EXAMPLES, Severity, count};
use crate::Part;

/// A class beyond a gap is a stray if it has at most this share of the images of an average class.
const STRAY_SHARE: f64 = 0.05;

/// Class 0 has no images, and class 1 does.
pub(super) fn labels_from_one(examined: &Examined<'_>) -> Vec<Finding> {
    if !begins_at_one(examined) {
        return Vec::new();
    }
    vec![Finding {
        kind: "labels_from_one",
        severity: Severity::Warning,
        message: format!(
            "the labels begin at 1: class 0, {}, has no images, and the network gets an output for it",
            examined.class_name(0)
        ),
        help: "subtract 1 from all labels, and from the class names if they are shifted, too"
            .into(),
        count: 1,
        examples: examined.class_examples(&[0]),
    }]
}

/// The highest class has very few images and there are empty classes before it.
pub(super) fn stray_label(examined: &Examined<'_>) -> Vec<Finding> {
    let Some((stray, before)) = stray(examined) else { return Vec::new() };
    let labels = &examined.dataset.images.labels;
    let parts = [Part::Training, Part::Validation, Part::Test];
    let rows = parts.into_iter().flat_map(|part| examined.rows(part).iter().copied());
    let rows: Vec<u32> =
        rows.filter(|&row| usize::from(labels[row as usize]) == stray).take(MAX_EXAMPLES).collect();
    let images = examined.counts.0[stray].total();
    vec![Finding {
        kind: "stray_label",
        severity: Severity::Warning,
        message: format!(
            "the highest label, {stray}, has {}, and no image has a label from {} to {}",
            count(images, "image"),
            before + 1,
            stray - 1
        ),
        help: "correct the label of these images if it is a mistake".into(),
        count: images,
        examples: rows.into_iter().map(|row| examined.image_name(row)).collect(),
    }]
}

/// Other classes without any image.
pub(super) fn empty_classes(examined: &Examined<'_>) -> Vec<Finding> {
    let mut empty = examined.counts.classes(|class| class.total() == 0);
    if begins_at_one(examined) {
        empty.retain(|&class| class != 0);
    }
    if let Some((stray, before)) = stray(examined) {
        empty.retain(|class| !(before..stray).contains(class));
    }
    if empty.is_empty() {
        return Vec::new();
    }
    vec![Finding {
        kind: "empty_class",
        severity: Severity::Warning,
        message: format!(
            "{} without images: {}; the network gets an output for each",
            count(empty.len(), "class"),
            examined.class_list(&empty)
        ),
        help: "remove the class, or add images of it".into(),
        count: empty.len(),
        examples: examined.class_examples(&empty),
    }]
}

fn begins_at_one(examined: &Examined<'_>) -> bool {
    let counts = &examined.counts.0;
    counts.len() > 2 && counts[0].total() == 0 && counts[1].total() > 0
}

/// The stray highest label and the label before the gap.
fn stray(examined: &Examined<'_>) -> Option<(usize, usize)> {
    let used = examined.counts.classes(|class| class.total() > 0);
    let [others @ .., before, highest] = &used[..] else { return None };
    let total: usize = used.iter().map(|&class| examined.counts.0[class].total()).sum();
    let images = examined.counts.0[*highest].total();
    let average = (total - images) as f64 / (others.len() + 1) as f64;
    let is_stray = highest - before > 1 && images as f64 <= (STRAY_SHARE * average).max(1.0);
    is_stray.then_some((*highest, *before))
}
