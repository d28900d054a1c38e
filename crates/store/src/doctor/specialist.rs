use std::path::Path;

use super::finding::Finding;
use crate::record::RunRecord;
use crate::run::RunDirectory;

/// Who knows what it takes an experiment's rules to judge.
pub trait Specialist: Sync {
    /// Looks at a run that nobody works on. Its files are as they were written, as far as its record has their sums.
    fn run(&self, run: &RunDirectory, record: &RunRecord) -> Vec<Finding>;

    /// Looks at what a directory says of the sweep that was begun in it.
    fn sweep(&self, directory: &Path) -> Vec<Finding>;
}

/// Nobody.
impl Specialist for () {
    fn run(&self, _: &RunDirectory, _: &RunRecord) -> Vec<Finding> {
        Vec::new()
    }

    fn sweep(&self, _: &Path) -> Vec<Finding> {
        Vec::new()
    }
}
