use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::find::{find as find_runs, is_readme};
use crate::hidden::hidden;

/// What there is to examine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Runs, and what looks like one.
    pub runs: Vec<PathBuf>,
    /// The directories that hold runs, but for those of which a single run was asked for.
    pub directories: Vec<PathBuf>,
}

/// Finds runs, and the directories that hold them, as [`kiln_store::find()`](find_runs) does.
///
/// # Errors
///
/// [`StoreError::NoRuns`] for a path that leads to nothing that could be a run or a sweep.
pub fn find(paths: &[impl AsRef<Path>]) -> Result<Found> {
    let (mut runs, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let path: PathBuf = path.as_ref().components().collect();
        if paths.len() > 1 && is_readme(&path) {
            continue;
        }
        if hidden(&path).is_dir() {
            directories.insert(path.clone());
        }
        let sweeps = sweeps_below(&path);
        let has_sweeps = !sweeps.is_empty() || directories.contains(&path);
        directories.extend(sweeps);
        let found = match find_runs(&[&path]) {
            // Sweeps that came to no run.
            Err(StoreError::NoRuns { .. }) if has_sweeps => continue,
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

/// The directories in this one in which a sweep was begun, whether it came to a run or not.
fn sweeps_below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Links are not followed.
    let directories = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path());
    directories.filter(|path| hidden(path).join("sweep.json").exists()).collect()
}
