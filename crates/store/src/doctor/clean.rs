use std::path::PathBuf;

use crate::error::StoreError;
use crate::files;
use crate::lock::FileLock;
use crate::run::RunDirectory;

use super::directory;
use super::find::Found;

/// The result of [`clean`].
#[derive(Debug, Default)]
pub struct Cleaned {
    /// The removed files.
    pub removed: Vec<PathBuf>,
    /// The files that remain, and why.
    pub kept: Vec<StoreError>,
}

/// Removes temporary files in and next to runs that no process works on, and nothing else.
#[must_use]
pub fn clean(found: &Found) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for path in &found.runs {
        let run = RunDirectory::at(path);
        let partial = [files::partial(path), files::partial(&run.checkpoints_path())].concat();
        if partial.is_empty() {
            continue;
        }
        // The locks are held until everything is removed.
        match FileLock::of(&run) {
            Ok(_claim) => cleaned.remove(partial),
            Err(error) => cleaned.kept.push(error),
        }
    }
    for path in &found.directories {
        cleaned.remove(directory::stale(path));
    }
    cleaned
}

impl Cleaned {
    fn remove(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            match files::remove_any(&path) {
                Ok(()) => self.removed.push(path),
                Err(error) => self.kept.push(error),
            }
        }
    }
}
