//! Trains the runs of a plan on this machine, with one worker in this process.

use kiln_train::MachineMemory;

use crate::error::SweepError;
use crate::launchers::{LaunchOptions, Launched, Launcher, Requests, Watcher};
use crate::plan::Plan;
use crate::worker::train_runs;

pub(super) struct Local;

impl Launcher for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn memory(&self) -> MachineMemory {
        MachineMemory::of_this_machine()
    }

    fn launch(
        &self,
        plan: &Plan,
        options: &LaunchOptions,
        watcher: &mut dyn Watcher,
        requests: &Requests,
    ) -> Result<Launched, SweepError> {
        Ok(Launched::Ended(train_runs(plan, options, watcher, requests)))
    }
}
