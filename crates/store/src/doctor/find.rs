use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::find::{find as find_runs, is_readme};
use crate::hidden::hidden;

/// The directories to examine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Runs, and directories that look like runs.
    pub runs: Vec<PathBuf>,
    /// The directories that contain runs, except those of runs that were given individually.
    pub directories: Vec<PathBuf>,
}

/// Finds runs and the directories that contain them, as [`kiln_store::find()`](find_runs) does.
///
/// # Errors
///
/// [`StoreError::NoRuns`] for a path that leads to no run or sweep.
pub fn find(paths: &[impl AsRef<Path>]) -> Result<Found> {
    let (mut runs, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let path: PathBuf = path.as_ref().components().collect();
        // A shell expands `runs/*` to the README, too.
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
            // Sweeps without a run.
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

/// The subdirectories in which a sweep was started, with or without runs.
fn sweeps_below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Links are not followed.
    let directories = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path());
    directories.filter(|path| hidden(path).join("sweep.json").exists()).collect()
}
