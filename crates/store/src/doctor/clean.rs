use std::path::PathBuf;

use crate::claim::Claim;
use crate::error::StoreError;
use crate::files;
use crate::run::RunDirectory;

use super::directory;
use super::find::Found;

/// What [`clean`] did.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What is gone.
    pub removed: Vec<PathBuf>,
    /// What stays, and why.
    pub kept: Vec<StoreError>,
}

/// Removes what was left half written in and beside runs, where nobody works on them, and nothing else.
#[must_use]
pub fn clean(found: &Found) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for path in &found.runs {
        let run = RunDirectory::at(path);
        let partial = [files::partial(path), files::partial(&run.checkpoints_path())].concat();
        if partial.is_empty() {
            continue;
        }
        // Held until all is removed.
        match Claim::of(&run) {
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
