use std::ops::ControlFlow;

use kiln_store::{EpochRow, History, RunRecord};

use crate::metrics::Metrics;

/// The progress of training after a step.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The current epoch, from 1.
    pub epoch: usize,
    /// The number of epochs, unless something stops training earlier.
    pub epochs: usize,
    /// Completed steps of this epoch.
    pub step: usize,
    /// Steps per epoch.
    pub steps: usize,
    /// The metrics over the epoch so far. On a GPU, they may lack the last few steps; after the last step of an epoch they
    /// are complete.
    pub metrics: &'a Metrics,
}

/// A completed epoch.
#[derive(Debug, Clone, Copy)]
pub struct EpochEnd<'a> {
    /// Its row of the history.
    pub row: &'a EpochRow,
    /// The number of epochs, unless something stops training earlier.
    pub epochs: usize,
    /// Steps per epoch.
    pub steps: usize,
    /// Whether this epoch's weights are the best so far. Always false if the run keeps the last weights.
    pub best: bool,
}

/// Why an observer stops a run early. In both cases the run is not tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The user or another program asked the run to stop.
    Interrupted,
    /// Other runs of the sweep are better at the same epoch.
    Pruned,
}

/// Follows the training of a run, and may stop it.
pub trait Observer {
    /// Called when an epoch is completed, evaluated and saved. Break to stop the run here, without testing it.
    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop>;

    /// Called when a run is resumed after this epoch. The interruption may have come before
    /// [`on_epoch_end`](Self::on_epoch_end) returned for that epoch. Break to stop the run here.
    fn on_resume(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        let _ = end;
        ControlFlow::Continue(())
    }

    /// Called after each step. Returns whether to write a checkpoint now; training continues afterwards.
    fn wants_checkpoint(&mut self) -> bool {
        false
    }

    /// Called after each step. Break to stop the run here.
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        let _ = progress;
        ControlFlow::Continue(())
    }
}

/// Follows the history of a run, to keep it in another format. It cannot stop a run, and reports its own problems.
pub trait EpochLog {
    /// Called before training, with the epochs of a run that is resumed. All others will be trained again.
    fn start(&mut self, record: &RunRecord, history: &History);

    /// Called when an epoch is completed, evaluated and saved.
    fn append(&mut self, row: &EpochRow);

    /// Called when training has ended and `run.json` has the result.
    fn end(&mut self, record: &RunRecord);
}

/// Observes nothing and never stops a run.
impl Observer for () {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }
}
