//! The time of a sweep with a budget: when the search ends, and what becomes of the runs that are running then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kiln_store::{FileLock, files};

use crate::SweepError;
use crate::plan::RunCost;
use crate::worker::SweepWorker;
use crate::worker::outcome::RunOutcome;
use crate::worker::protocol::EpochReport;

/// The time between two looks whether another worker has ended the search.
const LOOK: Duration = Duration::from_millis(500);

/// What this worker knows about the time.
#[derive(Debug, Default)]
pub(super) struct TimeUse {
    /// The seconds and the number of the epochs of each run.
    epochs: HashMap<usize, (f64, usize)>,
    /// When the process of each running run was started, and the seconds of its epochs then.
    started: HashMap<usize, (Instant, f64)>,
    /// The sum of the seconds that processes spent apart from their epochs, and their number.
    overhead: (f64, usize),
    looked: Option<Instant>,
    /// Whether the stage has ended because of the time.
    pub(super) is_over: bool,
    /// What the cheapest run takes, if the budget is too short for it.
    pub(super) too_short: Option<f64>,
}

impl TimeUse {
    /// The mean seconds that a process spends apart from its epochs; 0 before one has ended.
    pub(super) fn overhead(&self) -> f64 {
        let (sum, count) = self.overhead;
        sum / count.max(1) as f64
    }
}

impl SweepWorker<'_> {
    /// The number of runs that all workers train at a time.
    fn all_jobs(&self) -> usize {
        let workers = self.options.share.as_ref().map_or(1, |share| share.count.get());
        self.options.jobs.get().saturating_mul(workers)
    }

    /// Reads what the runs of earlier sweeps have cost.
    pub(super) fn start_time(&mut self) {
        let Some(budget) = &self.plan.budget else { return };
        budget.start();
        for (run, planned) in self.plan.runs.iter().enumerate() {
            let record = self.plan.run_record(planned);
            if let Some(record) = record.filter(|record| record.epochs > 0)
                && let Some(seconds) = record.training_seconds
            {
                self.time.epochs.insert(run, (seconds, record.epochs));
            }
        }
    }

    pub(super) fn record_epoch_time(&mut self, run: usize, report: &EpochReport) {
        if self.plan.budget.is_some() {
            let (seconds, epochs) = self.time.epochs.entry(run).or_default();
            *seconds += report.seconds;
            *epochs += 1;
        }
    }

    pub(super) fn record_start(&mut self, run: usize) {
        let seconds = self.time.epochs.get(&run).map_or(0.0, |(seconds, _)| *seconds);
        self.time.started.insert(run, (Instant::now(), seconds));
    }

    pub(super) fn record_exit(&mut self, run: usize) {
        let Some((started, before)) = self.time.started.remove(&run) else { return };
        let seconds = self.time.epochs.get(&run).map_or(0.0, |(seconds, _)| *seconds);
        let (sum, count) = &mut self.time.overhead;
        *sum += (started.elapsed().as_secs_f64() - (seconds - before)).max(0.0);
        *count += 1;
    }

    /// What a complete run costs, from the epochs so far; `None` before the first one.
    fn run_cost(&self) -> Option<RunCost> {
        let overhead = self.time.overhead();
        let seconds = |(run, (seconds, epochs)): (&usize, &(f64, usize))| {
            overhead + seconds / *epochs as f64 * self.plan.runs[*run].epochs as f64
        };
        let costs: Vec<f64> = self.time.epochs.iter().map(seconds).collect();
        let least = costs.iter().copied().reduce(f64::min)?;
        Some(RunCost { mean: costs.iter().sum::<f64>() / costs.len() as f64, least })
    }

    /// Whether runs are pruned, if the sweep has a budget.
    pub(super) fn has_time_for_all_epochs(&self) -> bool {
        let Some(budget) = &self.plan.budget else { return false };
        !budget.prunes(self.run_cost(), self.all_jobs())
    }

    /// Ends the stage if its time is over.
    pub(super) fn check_time(&mut self) {
        let Some(budget) = &self.plan.budget else { return };
        budget.tick();
        if self.stopping {
            return;
        }
        let used = budget.used();
        let mut is_over = used >= budget.seconds;
        if !budget.is_race && !is_over {
            let cost = self.run_cost();
            is_over = used >= budget.search_seconds(cost, self.all_jobs());
            if self.time.looked.is_none_or(|looked| looked.elapsed() > LOOK) {
                self.time.looked = Some(Instant::now());
                is_over |= self.plan.has_ended_search();
            }
            if let Some(RunCost { least, .. }) = cost
                && least > budget.seconds
            {
                self.time.too_short = Some(least);
                is_over = true;
            }
        }
        if is_over {
            self.time.is_over = true;
            self.stop_all();
        }
    }

    /// Ends a run that was stopped because the time is over: in the search, it becomes a pruned run. In a race, and without a
    /// complete epoch, it is removed, because a race compares complete runs.
    pub(super) fn end_by_time(
        &self,
        run: usize,
        lock: &FileLock,
    ) -> Result<RunOutcome, SweepError> {
        let is_race = self.plan.budget.as_ref().is_some_and(|budget| budget.is_race);
        if !is_race && let Some(epochs) = self.prune_paused(run, 1, lock)? {
            return Ok(RunOutcome::Pruned(epochs));
        }
        lock.token().check()?;
        files::remove_directory(&self.plan.path_of(&self.plan.runs[run]))?;
        Ok(RunOutcome::OutOfTime)
    }
}
