//! Pruning, and the runs that wait for the decision whether they continue.

use std::collections::HashMap;

use kiln_store::{FileLock, RunDirectory};
use kiln_train::TrainError;

use crate::SweepError;
use crate::plan::RunState;
use crate::prune::{Brackets, Decision, PruneConfig, PruneOrder, RungSplit, Rungs};
use crate::worker::SweepWorker;
use crate::worker::decisions::{RungDecision, RungResult};
use crate::worker::outcome::{CompletedBy, RunOutcome, prune_paused};
use crate::worker::protocol::{EpochReport, RunCommand};

/// The metrics by which runs are pruned.
pub(super) enum Pruning {
    Fixed(Brackets),
    Arrival(Rungs),
}

impl Pruning {
    pub(super) fn new(config: PruneConfig) -> Self {
        match config.order {
            PruneOrder::Fixed => Self::Fixed(Brackets::new(config)),
            PruneOrder::Arrival => Self::Arrival(Rungs::new(config)),
        }
    }
}

impl RungDecision {
    /// The runs of the plan that it names.
    fn split(&self, runs_by_id: &HashMap<String, usize>) -> RungSplit {
        let runs =
            |ids: &[String]| ids.iter().filter_map(|id| runs_by_id.get(id).copied()).collect();
        RungSplit { continued: runs(&self.continued), pruned: runs(&self.pruned) }
    }
}

impl SweepWorker<'_> {
    /// Whether a run continues, if the sweep prunes in a fixed order.
    pub(super) fn decision(&mut self, run: usize) -> Option<Decision> {
        self.decide_rungs();
        match &mut self.pruning {
            Some(Pruning::Fixed(brackets)) => Some(brackets.decision(run)),
            _ => None,
        }
    }

    /// Records what the directory of a run says, if the sweep prunes in a fixed order.
    pub(super) fn record_state(&mut self, run: usize, state: &RunState) {
        let Some(Pruning::Fixed(_)) = &self.pruning else { return };
        if *state != RunState::Missing {
            self.record_history(run);
        }
        let has_ended = match state {
            RunState::Finished => true,
            RunState::Diverged => !self.options.retry_failed,
            _ => false,
        };
        if let (Some(Pruning::Fixed(brackets)), true) = (&mut self.pruning, has_ended) {
            brackets.end(run);
        }
    }

    /// Records the metrics of a run at the rungs, from the history in its directory.
    pub(super) fn record_history(&mut self, run: usize) {
        let (Some(prune), Some(pruning)) = (self.plan.prune, &mut self.pruning) else { return };
        let planned = &self.plan.runs[run];
        let directory = RunDirectory::open(self.plan.path_of(planned));
        // A run without a readable history does not take part in the comparison.
        let Ok(history) = directory.and_then(|directory| directory.read_history()) else { return };
        for row in &history.rows {
            let value = prune.metric.of(row);
            match pruning {
                Pruning::Fixed(brackets) => brackets.record(run, row.epoch, value),
                Pruning::Arrival(rungs) => {
                    rungs.record(run, row.epoch, planned.epochs, value);
                }
            }
        }
    }

    /// Decides about the rungs whose results are complete, unless another worker has.
    fn decide_rungs(&mut self) {
        let Some(Pruning::Fixed(brackets)) = &mut self.pruning else { return };
        while let Some((bracket, rung, RungSplit { continued, pruned })) = brackets.next_complete()
        {
            let ids = |runs: Vec<usize>| -> Vec<String> {
                runs.into_iter().map(|run| self.plan.runs[run].id.clone()).collect()
            };
            let own = RungDecision { continued: ids(continued), pruned: ids(pruned) };
            let decision = self.decisions.decide_rung(bracket, rung, own);
            brackets.set_decided(bracket, rung, decision.split(&self.runs_by_id));
        }
    }

    /// Reads the decisions about rungs that any worker has written.
    pub(super) fn read_decisions(&mut self) {
        let Some(Pruning::Fixed(brackets)) = &mut self.pruning else { return };
        let is_known = |bracket, rung| brackets.is_decided(bracket, rung);
        for (bracket, rung, decision) in self.decisions.rungs(is_known) {
            brackets.set_decided(bracket, rung, decision.split(&self.runs_by_id));
        }
    }

    /// Records the results at the rungs that all workers have written, and their decisions.
    pub(super) fn read_rungs(&mut self) {
        self.read_decisions();
        let Some(pruning) = &mut self.pruning else { return };
        for RungResult { id, epoch, value } in RungResult::read_all(&self.plan.directory) {
            let Some(run) = self.runs_by_id.get(&id).copied() else { continue };
            match pruning {
                Pruning::Fixed(brackets) => brackets.record(run, epoch, value),
                Pruning::Arrival(rungs) => {
                    rungs.record(run, epoch, self.plan.runs[run].epochs, value);
                }
            }
        }
    }

    /// Decides whether a run that has completed an epoch continues.
    pub(super) fn command_after(&mut self, run: usize, report: &EpochReport) -> RunCommand {
        let Some(prune) = self.plan.prune else { return RunCommand::Continue };
        let has_time = self.has_time_for_all_epochs();
        let is_rung = prune.is_rung(report.epoch, report.epochs);
        let value = report.metric(prune.metric);
        // Runs that other sweeps are training compete as well.
        if is_rung {
            let id = self.plan.runs[run].id.clone();
            RungResult { id, epoch: report.epoch, value }.write(&self.plan.directory);
            self.read_rungs();
            for other in self.locked_elsewhere.clone() {
                self.record_history(other);
            }
        }
        match &mut self.pruning {
            Some(Pruning::Fixed(brackets)) => {
                brackets.record(run, report.epoch, value);
                match self.decision(run) {
                    // An earlier attempt that was killed may have reached a rung that is still ahead.
                    Some(Decision::Prune(rung) | Decision::Wait(rung)) if report.epoch < rung => {
                        RunCommand::Continue
                    }
                    Some(Decision::Prune(_)) => RunCommand::Prune,
                    Some(Decision::Wait(_)) => RunCommand::Pause,
                    Some(Decision::Continue) | None => RunCommand::Continue,
                }
            }
            Some(Pruning::Arrival(rungs)) if is_rung => {
                let continues = rungs.record(run, report.epoch, report.epochs, value);
                if continues || has_time { RunCommand::Continue } else { RunCommand::Prune }
            }
            _ => RunCommand::Continue,
        }
    }

    /// Records that a run has ended, if the sweep prunes in a fixed order.
    pub(super) fn end_in_bracket(&mut self, run: usize, outcome: &RunOutcome) {
        if let (Some(Pruning::Fixed(brackets)), RunOutcome::Finished | RunOutcome::Diverged(_)) =
            (&mut self.pruning, outcome)
        {
            brackets.end(run);
        }
    }

    /// Queues the waiting runs about which the sweep has decided.
    pub(super) fn wake_waiting_runs(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let count = self.queue.len();
        for run in waiting {
            match self.decision(run) {
                Some(Decision::Wait(_)) => self.waiting.push(run),
                _ => self.queue.push(run),
            }
        }
        if self.queue.len() > count {
            self.sort_queue();
        }
    }

    /// Ends the waiting runs, because nothing that they wait for is going to happen.
    pub(super) fn end_waiting_runs(&mut self) {
        for run in std::mem::take(&mut self.waiting) {
            let outcome = if self.stopping { RunOutcome::Interrupted } else { RunOutcome::Waiting };
            self.end(run, outcome, CompletedBy::ThisSweep);
        }
    }

    /// Marks a paused run as pruned. Returns the number of its epochs, or `None` if it has to be resumed to end, or has fewer
    /// than `min_epochs`.
    pub(super) fn prune_paused(
        &self,
        run: usize,
        min_epochs: usize,
        lock: &FileLock,
    ) -> Result<Option<usize>, SweepError> {
        lock.token().check()?;
        let directory = RunDirectory::open(self.plan.path_of(&self.plan.runs[run]))?;
        Ok(prune_paused(&directory, min_epochs).map_err(TrainError::from)?)
    }
}
