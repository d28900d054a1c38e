use std::path::Path;

use super::finding::Finding;
use crate::record::RunRecord;
use crate::run::RunDirectory;

/// Checks that need to know the rules of experiments and sweeps, which this crate does not know.
pub trait ExperimentRules: Sync {
    /// Checks a run that no process is training. The files with a checksum in `record` are those that the run wrote.
    fn run(&self, run: &RunDirectory, record: &RunRecord) -> Vec<Finding>;

    /// Whether the data of a run has changed since, as a sentence. `None` also if this cannot be determined.
    fn changed_data(&self, run: &RunDirectory, record: &RunRecord) -> Option<String>;

    /// Checks the declarations of the sweeps in a directory of runs.
    fn sweep(&self, directory: &Path) -> Vec<Finding>;
}

/// No rules: nothing is found.
impl ExperimentRules for () {
    fn run(&self, _: &RunDirectory, _: &RunRecord) -> Vec<Finding> {
        Vec::new()
    }

    fn changed_data(&self, _: &RunDirectory, _: &RunRecord) -> Option<String> {
        None
    }

    fn sweep(&self, _: &Path) -> Vec<Finding> {
        Vec::new()
    }
}
