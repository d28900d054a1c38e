//! Images with exactly the same pixels.

use serde::Serialize;

use super::{Examined, Finding, MAX_EXAMPLES, Severity, count, is_above, percent};
use crate::image_info::pixel_hash;
use crate::{Dataset, Part, Split};

/// Above this share of copies within a part, they are a warning: they get more weight than intended.
const WITHIN_SHARE: f64 = 0.01;

/// Above this share of copies in another part or with another label, they are a warning. Results are rarely compared to
/// less than a thousandth.
const ACROSS_SHARE: f64 = 0.001;

/// The number of exact copies, in images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// Images that repeat another image of their part and class. The first of several is not counted.
    pub within_splits: usize,
    /// Images that are also there with another label.
    pub other_labels: usize,
    /// Validation and test images that are also training images.
    pub in_training: usize,
    /// Test images that are also validation images, but not training images.
    pub in_validation: usize,
}

/// Groups of at least two rows with the same pixels. Rows that are in no part are not in them.
pub(super) struct Groups {
    groups: Vec<Vec<u32>>,
    /// The index of the group of each row.
    group_of: Vec<Option<u32>>,
    /// The part of each row.
    parts: Vec<Option<Part>>,
}

impl Groups {
    pub(super) fn of(dataset: &Dataset, split: &Split) -> Self {
        let images = &dataset.images;
        let mut parts = vec![None; images.len()];
        for part in [Part::Training, Part::Validation, Part::Test] {
            for &row in split.of(part) {
                parts[row as usize] = Some(part);
            }
        }
        let hash = |row: usize| match &dataset.info {
            Some(info) => info[row].pixel_hash,
            None => pixel_hash(0, 0, [images.image(row)]),
        };
        let used = (0..images.len()).filter(|&row| parts[row].is_some());
        let mut hashes: Vec<(u128, u32)> = used.map(|row| (hash(row), row as u32)).collect();
        hashes.sort_unstable();
        let same = hashes.chunk_by(|one, other| one.0 == other.0).filter(|rows| rows.len() > 1);
        let mut groups: Vec<Vec<u32>> =
            same.map(|rows| rows.iter().map(|&(_, row)| row).collect()).collect();
        groups.sort_unstable();
        let mut group_of = vec![None; images.len()];
        for (index, group) in groups.iter().enumerate() {
            group.iter().for_each(|&row| group_of[row as usize] = Some(index as u32));
        }
        Self { groups, group_of, parts }
    }

    fn part(&self, row: u32) -> Part {
        self.parts[row as usize].unwrap_or(Part::Training)
    }

    fn has(&self, group: &[u32], part: Part) -> bool {
        group.iter().any(|&row| self.part(row) == part)
    }

    /// Whether two rows have the same pixels.
    pub(super) fn are_copies(&self, one: u32, other: u32) -> bool {
        let group = self.group_of[one as usize];
        group.is_some() && group == self.group_of[other as usize]
    }

    pub(super) fn summary(&self, examined: &Examined<'_>) -> Copies {
        let leaked =
            |part, into| self.leaked(part, into).map(|(rows, _)| rows.len()).sum::<usize>();
        Copies {
            within_splits: self.repeated(examined).map(|rows| rows.len() - 1).sum(),
            other_labels: self.contradicting(examined).map(|group| group.len()).sum(),
            in_training: leaked(Part::Validation, Part::Training)
                + leaked(Part::Test, Part::Training),
            in_validation: leaked(Part::Test, Part::Validation),
        }
    }

    /// The groups whose images have different labels.
    fn contradicting<'a>(
        &'a self,
        examined: &'a Examined<'_>,
    ) -> impl Iterator<Item = &'a Vec<u32>> {
        let labels = &examined.dataset.images.labels;
        let label = |row: u32| labels[row as usize];
        self.groups.iter().filter(move |rows| rows.iter().any(|&row| label(row) != label(rows[0])))
    }

    /// The images of each group that have the same part and label, if there are several.
    fn repeated<'a>(&'a self, examined: &'a Examined<'_>) -> impl Iterator<Item = Vec<u32>> + 'a {
        let key = |row: u32| (self.part(row), examined.dataset.images.labels[row as usize]);
        self.groups.iter().flat_map(move |group| {
            let mut rows = group.clone();
            rows.sort_by_key(|&row| key(row));
            let same = rows.chunk_by(|&one, &other| key(one) == key(other));
            same.filter(|rows| rows.len() > 1).map(<[u32]>::to_vec).collect::<Vec<_>>()
        })
    }

    /// The rows of `part` with a copy in `into`, and that copy, group by group. For copies of test images in validation,
    /// only groups that are not in training.
    fn leaked(&self, part: Part, into: Part) -> impl Iterator<Item = (Vec<u32>, u32)> {
        self.groups.iter().filter_map(move |group| {
            if into == Part::Validation && self.has(group, Part::Training) {
                return None;
            }
            let rows: Vec<u32> =
                group.iter().copied().filter(|&row| self.part(row) == part).collect();
            let copy = group.iter().copied().find(|&row| self.part(row) == into)?;
            (!rows.is_empty()).then_some((rows, copy))
        })
    }
}

/// The same image with different labels.
pub(super) fn other_labels(examined: &Examined<'_>) -> Vec<Finding> {
    let groups: Vec<&Vec<u32>> = examined.groups.contradicting(examined).collect();
    if groups.is_empty() {
        return Vec::new();
    }
    let (images, total) = (groups.iter().map(|group| group.len()).sum(), examined.images());
    vec![Finding {
        kind: "copies_with_other_labels",
        severity: above(images, total, ACROSS_SHARE),
        message: format!(
            "{} ({}) are exact copies with different labels",
            count(images, "image"),
            percent(images, total)
        ),
        help: "correct the labels, or remove the images that belong to several classes".into(),
        count: images,
        examples: groups
            .into_iter()
            .take(MAX_EXAMPLES)
            .map(|group| examined.names(&different(examined, group)))
            .collect(),
    }]
}

/// One row of each label.
fn different(examined: &Examined<'_>, group: &[u32]) -> Vec<u32> {
    let mut rows = group.to_vec();
    let label = |row: &u32| examined.dataset.images.labels[*row as usize];
    rows.sort_by_key(label);
    rows.dedup_by_key(|row| label(row));
    rows
}

/// Validation and test images that the network has been trained on.
pub(super) fn across_parts(examined: &Examined<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, into) in [
        (Part::Validation, Part::Training),
        (Part::Test, Part::Training),
        (Part::Test, Part::Validation),
    ] {
        let leaked: Vec<(Vec<u32>, u32)> = examined.groups.leaked(part, into).collect();
        let (images, total) =
            (leaked.iter().map(|(rows, _)| rows.len()).sum::<usize>(), examined.rows(part).len());
        if images == 0 {
            continue;
        }
        let effect = match (part, into) {
            (Part::Validation, _) => "the validation metrics are too high",
            (_, Part::Training) => "the test metrics are too high",
            _ => "the choice of weights and settings has seen them",
        };
        // The parts of the source are separate files; others can be split in another way.
        let is_drawn = examined.dataset.parts.of(part).is_empty();
        let help = if is_drawn {
            "remove the copies, or keep images that belong together on one side: data.group"
        } else {
            "remove the copies from one of the two"
        };
        findings.push(Finding {
            kind: "copies_across_splits",
            severity: above(images, total, ACROSS_SHARE),
            message: format!(
                "{} ({}) are exact copies of {into} images: {effect}",
                count(images, &format!("{part} image")),
                percent(images, total)
            ),
            help: help.into(),
            count: images,
            examples: leaked
                .into_iter()
                .take(MAX_EXAMPLES)
                .map(|(rows, copy)| examined.names(&[rows[0], copy]))
                .collect(),
        });
    }
    findings
}

/// The same image several times in one part, with the same label.
pub(super) fn within_parts(examined: &Examined<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let repeated: Vec<Vec<u32>> = examined.groups.repeated(examined).collect();
    for part in [Part::Training, Part::Validation, Part::Test] {
        let of_part = || repeated.iter().filter(|rows| examined.groups.part(rows[0]) == part);
        let (images, total) =
            (of_part().map(|rows| rows.len() - 1).sum::<usize>(), examined.rows(part).len());
        if images == 0 {
            continue;
        }
        findings.push(Finding {
            kind: "copies_within_split",
            severity: above(images, total, WITHIN_SHARE),
            message: format!(
                "{} ({}) repeat another image of their class exactly",
                count(images, &format!("{part} image")),
                percent(images, total)
            ),
            help: "remove the copies unless they are intended".into(),
            count: images,
            examples: of_part().take(MAX_EXAMPLES).map(|rows| examined.names(&rows[..2])).collect(),
        });
    }
    findings
}

fn above(images: usize, total: usize, share: f64) -> Severity {
    if is_above(images, total, share) { Severity::Warning } else { Severity::Hint }
}

impl Examined<'_> {
    /// The number of images in all parts.
    pub(super) fn images(&self) -> usize {
        [Part::Training, Part::Validation, Part::Test].iter().map(|&it| self.rows(it).len()).sum()
    }

    /// The images as one example: `a = b`.
    pub(super) fn names(&self, rows: &[u32]) -> String {
        let shown = rows.iter().take(3).map(|&row| self.image_name(row));
        shown.collect::<Vec<_>>().join(" = ")
    }
}
