//! Groups of `data.group` that a source has in several parts.

use std::collections::HashMap;

use super::{Examined, Finding, Severity, count};
use crate::Part;

/// Validation and test images of groups that are also in another part. Kiln draws whole groups, so one of the two parts is
/// that of the source.
pub(super) fn across_parts(examined: &Examined<'_>) -> Vec<Finding> {
    let (Some(group), Some(names)) = (&examined.config.group, &examined.dataset.file_names) else {
        return Vec::new();
    };
    let groups_of = |part: Part| {
        let mut groups: HashMap<&str, Vec<u32>> = HashMap::new();
        for &row in examined.rows(part) {
            if let Some(name) = group.of(&names[row as usize]) {
                groups.entry(name).or_default().push(row);
            }
        }
        groups
    };
    let parts = [Part::Training, Part::Validation, Part::Test].map(|part| (part, groups_of(part)));
    let mut findings = Vec::new();
    for (of, into, effect) in [
        (1, 0, "the validation metrics may be too high"),
        (2, 0, "the test metrics may be too high"),
        (2, 1, "the choice of weights and settings has seen their groups"),
    ] {
        let ((part, groups), (other, of_other)) = (&parts[of], &parts[into]);
        let mut shared: Vec<(&[u32], u32)> = groups
            .iter()
            .filter_map(|(name, rows)| Some((&**rows, *of_other.get(name)?.first()?)))
            .collect();
        if shared.is_empty() {
            continue;
        }
        // A map has no order.
        shared.sort_unstable();
        let images = shared.iter().map(|(rows, _)| rows.len()).sum();
        findings.push(Finding {
            kind: "groups_across_splits",
            severity: Severity::Warning,
            message: format!(
                "{} of {} of data.group = \"{group}\" that {other} images belong to as well: {effect}",
                count(images, &format!("{part} image")),
                count(shared.len(), "group"),
            ),
            help: "move the images of each group to one side".into(),
            count: images,
            examples: shared
                .iter()
                .take(super::MAX_EXAMPLES)
                .map(|(rows, other)| {
                    format!("{}, {}", examined.image_name(rows[0]), examined.image_name(*other))
                })
                .collect(),
        });
    }
    findings
}
