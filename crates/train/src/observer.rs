use std::ops::ControlFlow;

use kiln_store::EpochRow;

/// Where a step stands.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    /// Epochs at the most.
    pub epochs: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps in an epoch.
    pub steps: usize,
    /// The running loss.
    pub loss: f64,
    /// The running accuracy.
    pub accuracy: f64,
}

/// What an epoch came to.
#[derive(Debug, Clone, Copy)]
pub struct EpochEnd<'a> {
    /// Its row of the history.
    pub row: &'a EpochRow,
    /// Epochs at the most.
    pub epochs: usize,
    /// Steps in an epoch.
    pub steps: usize,
    /// Whether the monitor that keeps weights, if there is one, found it the best so far.
    pub best: bool,
}

/// Why an observer ends a run before its time. Neither is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody wants it to end.
    Interrupted,
    /// Other runs of its sweep are better at the same epoch.
    Pruned,
}

/// Who is told how training goes, and may stop it.
pub trait Observer {
    /// An epoch is done, evaluated and safe on disk. To break is to end the run here, before its test too.
    fn epoch_ended(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop>;

    /// A run goes on after this epoch, which was completed before it was interrupted. Whoever observed it then may not
    /// have heard of the epoch, or had no time to say what follows from it. To break is to end the run here.
    fn goes_on_after(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        let _ = end;
        ControlFlow::Continue(())
    }

    /// Whether a checkpoint shall be written now, after this step; training then goes on. Asked after
    /// each step.
    fn wants_checkpoint(&mut self) -> bool {
        false
    }

    /// A step is done. To break is to end the run after this step.
    fn step_ended(&mut self, progress: Progress) -> ControlFlow<Stop> {
        let _ = progress;
        ControlFlow::Continue(())
    }
}

/// Nobody is told.
impl Observer for () {
    fn epoch_ended(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }
}
