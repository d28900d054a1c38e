//! Which runs are queued, and when each starts.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;
use std::time::Instant;

use kiln_store::{FileLock, RunRecord, Status, StoreError, files};

use crate::SweepError;
use crate::launchers::Event;
use crate::plan::RunState;
use crate::prune::Decision;
use crate::worker::decisions::RungResult;
use crate::worker::free_runs::{self, Listing};
use crate::worker::log_tail::log_tail;
use crate::worker::outcome::{CompletedBy, Failure, RunOutcome};
use crate::worker::pruning::Pruning;
use crate::worker::run_process::RunProcess;
use crate::worker::{SweepWorker, TICK};

impl SweepWorker<'_> {
    /// Adds runs to the queue, except for those that earlier sweeps have completed.
    pub(super) fn need(&mut self, mut runs: Vec<usize>) {
        self.watcher.event(Event::Needed(&runs));
        if let Some(Pruning::Fixed(brackets)) = &mut self.pruning {
            for bracket in self.plan.brackets(&runs) {
                brackets.add(bracket.into_iter().map(|run| (run, self.plan.runs[run].epochs)));
            }
        }
        let plan = self.plan;
        runs.sort_by_key(|run| (Reverse(plan.runs[*run].weight()), plan.shared.rank(*run)));
        if self.free.is_some() {
            return self.need_shared(&runs);
        }
        self.read_decisions();
        let states: Vec<RunState> =
            runs.iter().map(|run| RunState::read(self.plan, &self.plan.runs[*run])).collect();
        self.record_marked(&runs, &Listing::read(&self.plan.directory));
        // In a fixed order, whether a run continues depends on the results of all runs of its bracket.
        for (run, state) in runs.iter().zip(&states) {
            self.needed[*run] = true;
            self.record_state(*run, state);
        }
        for (run, state) in runs.into_iter().zip(states) {
            let planned = &self.plan.runs[run];
            if self.is_done(run, &state) {
                self.record_history(run);
                let outcome = RunOutcome::of_done(self.plan, planned, &state);
                self.end(run, outcome, CompletedBy::EarlierSweep);
            } else {
                self.queue.push(run);
            }
        }
        if self.options.reuse {
            // The plan has the hashes of the same experiments, so this does not fail. If it did, all runs would be trained.
            self.reusable.extend(self.plan.reusable(&self.queue).unwrap_or_default());
        }
        self.sort_queue();
    }

    /// Runs of the first bracket first, and among those, the runs that others wait for: with the fewest rungs.
    pub(super) fn sort_queue(&mut self) {
        if let Some(Pruning::Fixed(brackets)) = &self.pruning {
            let weight = |run: &usize| Reverse(self.plan.runs[*run].weight());
            let place = |run: &usize| (brackets.bracket_of(*run), brackets.rungs_of(*run));
            self.queue.sort_by_key(|run| (place(run), weight(run)));
        }
    }

    /// Whether the sweep has nothing left to do for the run.
    pub(super) fn is_done(&mut self, run: usize, state: &RunState) -> bool {
        match (state, self.decision(run)) {
            (RunState::Pruned(epoch), Some(decision)) => {
                matches!(decision, Decision::Prune(rung) if rung <= *epoch)
            }
            _ => state.is_done(self.plan, &self.plan.runs[run], self.options.retry_failed),
        }
    }

    /// Starts runs of the queue as long as there is room. Runs that other sweeps have locked stay in the queue. Returns
    /// whether it stopped before that, to let the sweep handle events.
    pub(super) fn start_runs(&mut self) -> bool {
        let mut queue = std::mem::take(&mut self.queue).into_iter();
        self.locked_elsewhere.clear();
        // Reusing many runs takes a while, and the running processes must not wait for it.
        let until = Instant::now() + TICK;
        let mut is_paused = false;
        let mut held_back = Vec::new();
        while !self.stopping
            && self.requests.stops.load(Ordering::Relaxed) == 0
            && self.processes.len() < self.options.jobs.get()
        {
            is_paused = Instant::now() > until;
            if is_paused {
                break;
            }
            let Some(run) = queue.next() else { break };
            if self.waits_for_training(run) {
                held_back.push(run);
                continue;
            }
            match self.start(run) {
                Ok(true) => {}
                Ok(false) => {
                    // Its results may decide whether waiting runs continue.
                    if matches!(self.pruning, Some(Pruning::Fixed(_))) {
                        self.record_history(run);
                    }
                    self.locked_elsewhere.push(run);
                }
                Err(error) => {
                    let outcome = RunOutcome::failed(error.to_string());
                    self.end(run, outcome, CompletedBy::ThisSweep);
                }
            }
        }
        // Ending a run may have queued others that waited for it.
        let woken = std::mem::take(&mut self.queue);
        let locked = self.locked_elsewhere.iter().copied();
        self.queue = locked.chain(held_back).chain(queue).chain(woken).collect();
        self.wake_waiting_runs();
        is_paused
    }

    /// Locks a run and starts its process, unless the run turns out to be done. Returns false if another process has
    /// locked the run, or trains one with the same steps.
    pub(super) fn start(&mut self, run: usize) -> Result<bool, SweepError> {
        match self.lock_and_start(run) {
            // Another machine has locked the run at the same moment.
            Err(SweepError::Store(StoreError::TakenOver { .. })) => Ok(false),
            started => started,
        }
    }

    fn lock_and_start(&mut self, run: usize) -> Result<bool, SweepError> {
        let planned = &self.plan.runs[run];
        // Held until the run has started.
        let shared = match self.lock_shared_training(run) {
            Err(StoreError::Locked { .. }) => return Ok(false),
            lock => lock?,
        };
        // Another process may have started one of them since the last look.
        if shared.is_some() && self.waits_for_training(run) {
            return Ok(false);
        }
        let lock = match FileLock::take(&self.plan.directory, &planned.id) {
            Err(StoreError::Locked { .. }) => return Ok(false),
            lock => lock?,
        };
        if let Some(shared) = &shared {
            shared.token().check()?;
        }
        // Another process may have finished the run before this lock was acquired.
        let state = RunState::read(self.plan, planned);
        self.record_state(run, &state);
        let decision = self.decision(run);
        let can_resume = state.can_resume(self.plan, planned);
        let problem = match (&state, &can_resume) {
            (RunState::Unreadable(problem), _) | (_, Err(problem)) => Some(problem),
            _ => None,
        };
        if let Some(reason) = self.failure_elsewhere(run, &state) {
            let log = log_tail(self.plan, planned, &lock);
            let outcome = RunOutcome::Failed(Failure { reason, log });
            self.end(run, outcome, CompletedBy::AnotherSweep);
        } else if let Some(problem) = problem {
            let reason = format!(
                "{problem} (its directory is not changed; to retrain the run, move the directory away)"
            );
            self.end(run, RunOutcome::failed(reason), CompletedBy::ThisSweep);
        } else if self.is_done_elsewhere(run, &state) {
            self.record_history(run);
            let outcome = RunOutcome::of_done(self.plan, planned, &state);
            if let Some(share) = &self.options.share {
                // The process of the run, or a sweep without such marks, did not leave one.
                free_runs::mark(&self.plan.directory, &planned.id, &outcome, &share.group);
            }
            self.end(run, outcome, CompletedBy::AnotherSweep);
        } else if matches!(decision, Some(Decision::Wait(_))) {
            self.waiting.push(run);
        } else if let (Some(Decision::Prune(rung)), Ok(true)) = (decision, &can_resume)
            && let Some(epochs) = self.prune_paused(run, rung, &lock)?
        {
            self.end(run, RunOutcome::Pruned(epochs), CompletedBy::ThisSweep);
        } else if self.reuse(run, &lock)? {
            self.record_history(run);
            self.end(run, RunOutcome::Finished, CompletedBy::OtherRun);
        } else {
            let resume = can_resume.unwrap_or(false);
            if resume {
                self.record_history(run);
            } else {
                // An attempt without a checkpoint has nothing worth keeping.
                lock.token().check()?;
                if self.marked.remove(&run) {
                    free_runs::remove_marks(&self.plan.directory, &planned.id);
                }
                if self.pruning.is_some() && state != RunState::Missing {
                    RungResult::remove_of(&self.plan.directory, &planned.id);
                }
                files::remove_directory(&self.plan.path_of(planned))?;
            }
            // Before the process exists, so that a signal in between does not exit without stopping it.
            self.watcher.event(Event::Starting(run));
            let events = self.events.0.clone();
            let device = self.free_device();
            let process =
                RunProcess::start(self.options, self.plan, run, resume, device, lock, events)?;
            self.processes.insert(run, process);
            self.record_start(run);
        }
        drop(shared);
        Ok(true)
    }

    /// The device with the fewest runs, as an index; `None` if the runs share what the worker has.
    fn free_device(&self) -> Option<usize> {
        let runs_on = |device: &usize| {
            self.processes.values().filter(|process| process.device == Some(*device)).count()
        };
        (0..self.options.devices.len()).min_by_key(runs_on)
    }

    /// Takes the results of an identical run elsewhere. Returns whether there is one that is intact.
    pub(super) fn reuse(&mut self, run: usize, lock: &FileLock) -> Result<bool, SweepError> {
        for from in self.reusable.remove(&run).unwrap_or_default() {
            lock.token().check()?;
            match self.plan.reuse(&self.plan.runs[run], &from) {
                Ok(true) => {
                    self.reused.push(from);
                    return Ok(true);
                }
                Ok(false) => {}
                // If the disk is full, training fails with its own error.
                Err(error) => {
                    let text = format!("cannot reuse {}: {error}", from.display());
                    self.watcher.event(Event::Warning(run, &text));
                }
            }
        }
        Ok(false)
    }

    /// Whether another sweep has completed the run since this one started.
    pub(super) fn is_done_elsewhere(&mut self, run: usize, state: &RunState) -> bool {
        // With `retry_failed`, a diverged run is not done. If another sweep has just retrained it, once is enough.
        self.is_done(run, state) || *state == RunState::Diverged && self.new_record(run).is_some()
    }

    /// Why a run failed in another sweep since this one started. This sweep does not try it again.
    pub(super) fn failure_elsewhere(&self, run: usize, state: &RunState) -> Option<String> {
        if let Some(share) = &self.options.share {
            let planned = &self.plan.runs[run];
            let can_fail = matches!(state, RunState::Unfinished | RunState::Unreadable(_));
            let has_failed =
                can_fail && free_runs::has_failed(&self.plan.directory, &planned.id, &share.group);
            let record = has_failed.then(|| self.plan.run_record(planned))?;
            return Some(record.and_then(|record| record.stop_reason).unwrap_or_default());
        }
        let record = self.new_record(run)?;
        (record.status == Status::Failed).then(|| record.stop_reason.unwrap_or_default())
    }

    /// The record of a run, if another process has written it since this sweep started. Records are compared instead of
    /// times, because the clocks of machines differ and may be set back.
    pub(super) fn new_record(&self, run: usize) -> Option<RunRecord> {
        let record = self.plan.run_record(&self.plan.runs[run])?;
        (self.records_before[run].as_ref() != Some(&record)).then_some(record)
    }
}
