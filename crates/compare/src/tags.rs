//! Selects runs by the tags that the user gave them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kiln_store::escape::control;
use kiln_store::{RunDirectory, find, in_parallel};

use crate::error::{CompareError, Result};

/// The runs below `paths` that have all of these tags.
///
/// # Errors
///
/// [`StoreError::NoRuns`](kiln_store::StoreError::NoRuns) if a path leads to no run; [`CompareError::Request`] if no run has
/// the tags; the errors of [`RunDirectory::read_annotations`].
pub fn tagged(paths: &[impl AsRef<Path>], tags: &[String]) -> Result<Vec<PathBuf>> {
    let runs = find(paths)?.runs;
    let annotations = in_parallel(&runs, |run| RunDirectory::at(run).read_annotations());
    let mut known = BTreeSet::new();
    let mut selected = Vec::new();
    for (run, annotations) in runs.into_iter().zip(annotations) {
        let annotations = annotations?;
        if annotations.has_tags(tags) {
            selected.push(run);
        }
        known.extend(annotations.tags);
    }
    if !selected.is_empty() {
        return Ok(selected);
    }
    let wanted: Vec<String> = tags.iter().map(|tag| format!("`{}`", control(tag))).collect();
    let wanted = wanted.join(" and ");
    let known: Vec<String> = known.into_iter().collect();
    let problem = match known.as_slice() {
        [] => format!("no run has the tag {wanted}, or any other one"),
        tags => {
            format!("no run has the tag {wanted}; the tags of these runs are {}", tags.join(", "))
        }
    };
    Err(CompareError::Request(problem))
}
