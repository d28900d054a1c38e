use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{ReportError, Result, claim, compare};

/// What there is to examine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Runs, and what looks like one.
    pub runs: Vec<PathBuf>,
    /// The directories that hold runs, but for those of which a single run was asked for.
    pub directories: Vec<PathBuf>,
}

/// Finds runs, and the directories that hold them, as [`compare::find`] does.
///
/// # Errors
///
/// [`ReportError::NoRuns`] for a path that leads to nothing that could be a run or a sweep.
pub fn find(paths: &[impl AsRef<Path>]) -> Result<Found> {
    let (mut runs, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let path: PathBuf = path.as_ref().components().collect();
        if claim::hidden(&path).is_dir() {
            directories.insert(path.clone());
        }
        let found = match compare::find(&[&path]) {
            // A sweep that came to no run.
            Err(ReportError::NoRuns { .. }) if directories.contains(&path) => continue,
            found => found?,
        };
        let left_out = found.left_out.into_iter().map(|left_out| left_out.path);
        for run in found.runs.into_iter().chain(left_out) {
            if run != path
                && let Some(above) = run.parent().filter(|above| !above.as_os_str().is_empty())
                && path.is_dir()
            {
                directories.insert(above.to_owned());
            }
            runs.insert(run);
        }
    }
    Ok(Found { runs: runs.into_iter().collect(), directories: directories.into_iter().collect() })
}
