//! Runs that have their training in common: one at a time trains, so that the others find its epochs.

use kiln_store::{FileLock, StoreError, files};

use crate::plan::RunState;
use crate::worker::SweepWorker;

impl SweepWorker<'_> {
    /// Whether another run is being trained whose epochs this run can use.
    pub(super) fn waits_for_training(&self, run: usize) -> bool {
        self.plan.shared.others(run).any(|other| {
            self.processes.contains_key(&other)
                || self.outcomes[other].is_none()
                    && FileLock::is_taken(&self.plan.directory, &self.plan.runs[other].id)
        })
    }

    /// Locks the training that a run has in common with others, so that no two processes start one of them at the same
    /// moment. `None` if there are no others.
    pub(super) fn lock_shared_training(&self, run: usize) -> Result<Option<FileLock>, StoreError> {
        let name = self.plan.shared_lock(run);
        // The lock of the run, which follows, waits until the owners of both are settled.
        name.map(|name| FileLock::take_unsettled(&self.plan.directory, &name)).transpose()
    }

    /// Removes the epochs that a run had in common with others, if all of them are done.
    pub(super) fn remove_shared_training(&self, run: usize) {
        let Some(directory) = self.plan.shared_directory(run) else { return };
        let is_done = |other: usize| {
            let planned = &self.plan.runs[other];
            RunState::read(self.plan, planned).is_done(self.plan, planned, false)
        };
        if directory.exists() && is_done(run) && self.plan.shared.others(run).all(is_done) {
            // They are never read again.
            let _ = files::remove_directory(&directory);
        }
    }
}
