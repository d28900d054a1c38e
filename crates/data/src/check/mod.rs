//! Examines a dataset and its split for what makes results meaningless or doubtful.
//!
//! Each kind of finding is one file with a function, and one line in [`CHECKS`].

mod balance;
mod constant;
mod copies;
mod counts;
mod groups;
mod labels;
mod near_copies;
mod parts;
mod pictures;

use std::fmt;

use serde::Serialize;

use crate::{DataConfig, Dataset, Part, Split};

pub use copies::Copies;
pub use counts::{ClassCounts, PartCounts};

/// All kinds of findings, in the order in which they are reported if their severity is the same.
const CHECKS: &[fn(&Examined<'_>) -> Vec<Finding>] = &[
    pictures::unreadable,
    parts::one_class,
    parts::classes_without_training_images,
    parts::parts_of_one_class,
    parts::absent_classes,
    labels::labels_from_one,
    labels::stray_label,
    labels::empty_classes,
    copies::other_labels,
    copies::across_parts,
    copies::within_parts,
    groups::across_parts,
    pictures::telling_properties,
    constant::constant_images,
    balance::imbalance,
    near_copies::near_copies,
];

/// The largest number of examples in a finding.
const MAX_EXAMPLES: usize = 5;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A result on this data would be meaningless.
    Error,
    /// A result on this data may be wrong.
    Warning,
    /// Worth knowing, but often intended.
    Hint,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        })
    }
}

/// Something that was found in a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of finding, such as `copies_across_splits`. Never changes its meaning.
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The finding, as a sentence without a final full stop.
    pub message: String,
    /// The advice.
    pub help: String,
    /// The number of images or classes that it is about.
    pub count: usize,
    /// The first of these images or classes; copies of one image are one example.
    pub examples: Vec<String>,
}

/// How much time to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// The checks of a run: everything except hints that need a comparison of images with each other.
    Quick,
    /// Everything.
    Complete,
}

/// The result of examining a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataCheck {
    /// The number of images by class and part.
    pub classes: ClassCounts,
    /// The exact copies.
    pub copies: Copies,
    /// The findings, the most severe ones first.
    pub findings: Vec<Finding>,
}

impl DataCheck {
    /// The findings of one severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    /// Adds a finding, before those that are less severe.
    pub fn add(&mut self, finding: Finding) {
        let place = self.findings.partition_point(|other| other.severity <= finding.severity);
        self.findings.insert(place, finding);
    }
}

/// A dataset, its split, and what several checks need to know about them.
pub(crate) struct Examined<'a> {
    dataset: &'a Dataset,
    config: &'a DataConfig,
    split: &'a Split,
    counts: ClassCounts,
    groups: copies::Groups,
    thoroughness: Thoroughness,
}

impl Dataset {
    /// Examines the images, the labels and how they are split.
    #[must_use]
    pub fn check(
        &self,
        config: &DataConfig,
        split: &Split,
        thoroughness: Thoroughness,
    ) -> DataCheck {
        let examined = Examined {
            dataset: self,
            config,
            split,
            counts: ClassCounts::new(self, split),
            groups: copies::Groups::of(self, split),
            thoroughness,
        };
        let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&examined)).collect();
        // The sort is stable.
        findings.sort_by_key(|finding| finding.severity);
        DataCheck { copies: examined.groups.summary(&examined), classes: examined.counts, findings }
    }
}

impl Examined<'_> {
    /// The rows of a part.
    fn rows(&self, part: Part) -> &[u32] {
        self.split.of(part)
    }

    fn class_name(&self, class: usize) -> String {
        format!("`{}`", self.dataset.class_names[class])
    }

    /// The name of an image in examples: its file, or its part and its row in the source, with its class.
    fn image_name(&self, row: u32) -> String {
        let class =
            &self.dataset.class_names[usize::from(self.dataset.images.labels[row as usize])];
        match &self.dataset.file_names {
            Some(names) => names[row as usize].clone(),
            None => {
                let part = self.dataset.parts.part_of(row);
                let index = row - self.dataset.parts.of(part).start;
                format!("{part} image {index} ({class})")
            }
        }
    }

    /// The classes as a phrase: `` `a`, `b` and 7 more ``.
    fn class_list(&self, classes: &[usize]) -> String {
        let shown = if classes.len() <= MAX_EXAMPLES + 1 { classes.len() } else { MAX_EXAMPLES };
        let names: Vec<String> =
            classes[..shown].iter().map(|&class| self.class_name(class)).collect();
        match classes.len() - shown {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    fn class_examples(&self, classes: &[usize]) -> Vec<String> {
        classes
            .iter()
            .take(MAX_EXAMPLES)
            .map(|&class| self.dataset.class_names[class].clone())
            .collect()
    }
}

/// `1 image`, `2 images`.
fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}{}", if noun.ends_with("ss") { "es" } else { "s" }),
    }
}

/// A share as a percentage with two significant digits.
fn percent(part: usize, total: usize) -> String {
    let percent = 100.0 * part as f64 / total.max(1) as f64;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else if percent >= 1.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.2} %")
    }
}

/// Whether a part of all images is above a share of them.
fn is_above(part: usize, total: usize, share: f64) -> bool {
    part as f64 > share * total as f64
}
