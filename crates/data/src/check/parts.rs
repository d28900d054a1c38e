//! Classes that are missing from a part.

use super::{Examined, Finding, Severity, count, is_above};
use crate::{Part, SplitMethod};

/// With fewer rows than this, rows of one class only may be a coincidence, or a trial.
const MIN_ROWS: usize = 10;

/// If more than this share of the validation and test images cannot be classified correctly, results are meaningless. A rare
/// class of many is not a reason to refuse a run.
const WRONG_SHARE: f64 = 0.01;

/// All training images belong to one class.
pub(super) fn one_class(examined: &Examined<'_>) -> Vec<Finding> {
    let classes = examined.counts.classes(|class| class.training > 0);
    let [class] = classes[..] else { return Vec::new() };
    let all = examined.counts.classes(|class| class.total() > 0).len();
    let help = if all > 1 { stratify(examined) } else { "add images of a second class".into() };
    vec![Finding {
        kind: "one_class",
        severity: Severity::Error,
        message: format!(
            "all training images are of one class, {}: there is nothing to tell apart",
            examined.class_name(class)
        ),
        help,
        count: examined.rows(Part::Training).len(),
        examples: examined.class_examples(&classes),
    }]
}

/// Classes of validation or test images that the network cannot learn.
pub(super) fn classes_without_training_images(examined: &Examined<'_>) -> Vec<Finding> {
    let classes =
        examined.counts.classes(|class| class.training == 0 && class.validation + class.test > 0);
    if classes.is_empty() {
        return Vec::new();
    }
    let images: usize = classes.iter().map(|&class| examined.counts.0[class].total()).sum();
    let all = examined.rows(Part::Validation).len() + examined.rows(Part::Test).len();
    vec![Finding {
        kind: "class_without_training_images",
        severity: if is_above(images, all, WRONG_SHARE) {
            Severity::Error
        } else {
            Severity::Warning
        },
        message: format!(
            "{} without training images: {}; {} of validation and test cannot be classified correctly",
            count(classes.len(), "class"),
            examined.class_list(&classes),
            count(images, "image"),
        ),
        help: match examined.config.split {
            SplitMethod::Stratified => "add training images, or remove the class".into(),
            _ => format!("add training images, remove the class, or {}", stratify(examined)),
        },
        count: classes.len(),
        examples: examined.class_examples(&classes),
    }]
}

/// All validation or test images belong to one class, and the training images do not.
pub(super) fn parts_of_one_class(examined: &Examined<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if examined.counts.classes(|class| class.training > 0).len() < 2 {
        return findings;
    }
    for part in [Part::Validation, Part::Test] {
        let rows = examined.rows(part).len();
        let [class] = examined.counts.classes(|class| class.of(part) > 0)[..] else { continue };
        let is_drawn = examined.dataset.parts.of(part).is_empty();
        let reason = if is_drawn && examined.config.split == SplitMethod::Head {
            ", because the images are sorted by class and `split = \"head\"` takes the first ones"
        } else {
            ""
        };
        findings.push(Finding {
            kind: "split_of_one_class",
            severity: if rows < MIN_ROWS { Severity::Warning } else { Severity::Error },
            message: format!(
                "all {} are of one class, {}{reason}",
                count(rows, &format!("{part} image")),
                examined.class_name(class)
            ),
            help: if is_drawn {
                stratify(examined)
            } else {
                format!("add {part} images of the other classes")
            },
            count: rows,
            examples: examined.class_examples(&[class]),
        });
    }
    findings
}

/// Classes with training images, but none for validation or test.
pub(super) fn absent_classes(examined: &Examined<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in [Part::Validation, Part::Test] {
        let present = examined.counts.classes(|class| class.of(part) > 0).len();
        let absent = examined.counts.classes(|class| class.training > 0 && class.of(part) == 0);
        // A part without images, and one with a single class, are other findings.
        if present < 2 || absent.is_empty() {
            continue;
        }
        let is_drawn = examined.dataset.parts.of(part).is_empty();
        let help = match (is_drawn, examined.config.split) {
            (false, _) => format!("add {part} images of these classes"),
            (true, SplitMethod::Stratified) => {
                format!("use more {part} images: a larger {part} = …")
            }
            (true, _) => stratify(examined),
        };
        findings.push(Finding {
            kind: "class_absent_from_split",
            severity: Severity::Warning,
            message: format!(
                "no {part} images of {}: {}",
                count(absent.len(), "class"),
                examined.class_list(&absent)
            ),
            help,
            count: absent.len(),
            examples: examined.class_examples(&absent),
        });
    }
    findings
}

fn stratify(examined: &Examined<'_>) -> String {
    match examined.config.split {
        SplitMethod::Stratified => "use more images of each class".into(),
        _ => "take rows from each class: data.split=stratified".into(),
    }
}
