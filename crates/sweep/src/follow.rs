//! Follows a sweep that other processes train, from its files alone, and reports the same events as a sweep of this process.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use kiln_store::{FileLock, files, hidden};

use crate::launchers::{Event, Requests, SweepResult, Watcher};
use crate::plan::{Budget, Plan, RunState};
use crate::race::{RaceResult, RaceState};
use crate::status::last_epoch;
use crate::worker::free_runs::Listing;
use crate::worker::{CompletedBy, Failure, RunOutcome};

/// The time between two looks at the directories of the sweep.
const POLL: Duration = Duration::from_secs(1);
/// The time between two questions about the workers.
const ASK: Duration = Duration::from_secs(10);

/// Why following a sweep has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowEnd {
    /// All runs have ended.
    Done,
    /// The search of a sweep with a budget has ended, see [`Plan::next_stage`].
    SearchEnded,
    /// Runs are left, but no worker.
    NoWorkers,
    /// A request from outside. The workers continue.
    Stopped,
}

/// Follows the runs of a plan until they have ended, no worker is left, or `requests` asks to stop. `group` is that of the
/// workers, `retry_failed` whether they retrain runs that diverged before, and `has_workers` whether there are any, as far as
/// that is known.
pub fn follow(
    plan: &Plan,
    group: &str,
    retry_failed: bool,
    watcher: &mut dyn Watcher,
    requests: &Requests,
    mut has_workers: impl FnMut() -> bool,
) -> (SweepResult, FollowEnd) {
    let started = Instant::now();
    let mut follower = Follower::new(plan, group, retry_failed, watcher);
    let mut last_question = Instant::now();
    let mut last_answer = true;
    let end = loop {
        follower.look();
        if follower.is_done() {
            break FollowEnd::Done;
        }
        let is_search = plan.budget.as_ref().is_some_and(|budget| !budget.is_race);
        if is_search && follower.running.is_empty() && plan.has_ended_search() {
            break FollowEnd::SearchEnded;
        }
        let until = Instant::now() + POLL;
        while Instant::now() < until && requests.stops.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        if requests.stops.load(Ordering::Relaxed) > 0 {
            break FollowEnd::Stopped;
        }
        if follower.running.is_empty() && last_question.elapsed() > ASK {
            let answer = has_workers();
            // A worker that has just ended may have left results that were not seen yet.
            if !answer && !last_answer {
                break FollowEnd::NoWorkers;
            }
            (last_answer, last_question) = (answer, Instant::now());
        }
    };
    if let Some(budget) = &plan.budget {
        budget.read_used();
    }
    let is_over = plan.budget.as_ref().is_some_and(Budget::is_over);
    let end = if is_over && end == FollowEnd::NoWorkers { FollowEnd::Done } else { end };
    let Follower { outcomes, needed, race, .. } = follower;
    let result = SweepResult {
        outcomes,
        reused: Vec::new(),
        needed: needed.len(),
        to_draw: plan.runs_to_draw(),
        stage_is_over: false,
        too_short: None,
        overhead: 0.0,
        race,
        interrupted: end == FollowEnd::Stopped,
        seconds: started.elapsed().as_secs_f64(),
    };
    (result, end)
}

struct Follower<'a> {
    plan: &'a Plan,
    group: &'a str,
    retry_failed: bool,
    watcher: &'a mut dyn Watcher,
    outcomes: Vec<Option<(RunOutcome, CompletedBy)>>,
    needed: BTreeSet<usize>,
    running: BTreeSet<usize>,
    /// The epochs of each run that were reported.
    epochs: Vec<usize>,
    /// The results of the runs that have ended, by which combinations race.
    race_results: Vec<RaceResult>,
    race: Option<RaceState>,
    is_first_look: bool,
}

impl<'a> Follower<'a> {
    fn new(
        plan: &'a Plan,
        group: &'a str,
        retry_failed: bool,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        let runs = plan.runs.len();
        let mut follower = Self {
            plan,
            group,
            retry_failed,
            watcher,
            outcomes: vec![None; runs],
            needed: BTreeSet::new(),
            running: BTreeSet::new(),
            epochs: vec![0; runs],
            race_results: vec![RaceResult::Pending; runs],
            race: None,
            is_first_look: true,
        };
        if plan.race.is_none() {
            follower.need((0..runs).collect());
        }
        follower
    }

    fn need(&mut self, runs: Vec<usize>) {
        let new: Vec<usize> = runs.into_iter().filter(|run| self.needed.insert(*run)).collect();
        if !new.is_empty() {
            self.watcher.event(Event::Needed(&new));
        }
    }

    fn is_done(&self) -> bool {
        let all_ended = self.needed.iter().all(|run| self.outcomes[*run].is_some());
        all_ended
            && self.plan.samples_left() == 0
            && self.race.as_ref().is_none_or(|race| race.end.is_some())
    }

    fn look(&mut self) {
        self.look_for_samples();
        self.look_at_race();
        let listing = Listing::read(&self.plan.directory);
        let now = files::clock(&hidden(&self.plan.directory)).unwrap_or_else(SystemTime::now);
        for run in self.needed.clone() {
            if self.outcomes[run].is_none() {
                self.look_at(run, &listing, now);
            }
        }
        self.look_at_race();
        self.is_first_look = false;
        let waiting = self.outcomes.iter().filter(|outcome| outcome.is_none()).count();
        self.watcher.event(Event::Idle(waiting.saturating_sub(self.running.len())));
    }

    /// Adds the samples that workers have drawn.
    fn look_for_samples(&mut self) {
        // What cannot be read now is read at the next look.
        let Ok(new) = self.plan.read_samples() else { return };
        let runs = self.plan.runs.len();
        self.outcomes.resize(runs, None);
        self.epochs.resize(runs, 0);
        self.race_results.resize(runs, RaceResult::Pending);
        self.need(new);
    }

    fn look_at(&mut self, run: usize, listing: &Listing, now: SystemTime) {
        let planned = &self.plan.runs[run];
        let is_running = listing.is_claimed(&planned.id)
            && FileLock::owner_at(&self.plan.directory, &planned.id, now).is_some();
        if is_running && self.running.insert(run) {
            self.watcher.event(Event::Starting(run));
        }
        if is_running {
            if let Some(report) = last_epoch(self.plan, run)
                && report.epoch > self.epochs[run]
            {
                self.epochs[run] = report.epoch;
                self.watcher.event(Event::Epoch(run, &report));
            }
            return;
        }
        if listing.has_begun(&planned.id) {
            let state = RunState::read(self.plan, planned);
            // A run that diverged is retrained once.
            let is_retried =
                listing.ended(&planned.id, self.group, true) == Some(RunState::Diverged);
            let outcome = if state.is_done(self.plan, planned, self.retry_failed && !is_retried) {
                Some(RunOutcome::of_done(self.plan, planned, &state))
            } else if let RunState::Unreadable(reason) = state {
                Some(RunOutcome::Failed(Failure { reason, log: Vec::new() }))
            } else if listing.has_failed(&planned.id, self.group) {
                let record = self.plan.run_record(planned);
                let reason = record.and_then(|record| record.stop_reason).unwrap_or_default();
                Some(RunOutcome::Failed(Failure { reason, log: Vec::new() }))
            } else {
                None
            };
            if let Some(outcome) = outcome {
                if let Some(report) = last_epoch(self.plan, run) {
                    self.watcher.event(Event::Epoch(run, &report));
                }
                self.running.remove(&run);
                let by = match self.is_first_look {
                    true => CompletedBy::EarlierSweep,
                    false => CompletedBy::ThisSweep,
                };
                self.watcher.event(Event::Ended(run, &outcome, by));
                if self.plan.race.is_some() {
                    self.race_results[run] = match &outcome {
                        RunOutcome::Finished => self.plan.race_result(run),
                        RunOutcome::Pruned(_) | RunOutcome::Diverged(_) => RaceResult::Out,
                        _ => RaceResult::Pending,
                    };
                }
                self.outcomes[run] = Some((outcome, by));
                return;
            }
        }
        if self.running.remove(&run) {
            self.watcher.event(Event::Paused(run));
        }
    }

    fn look_at_race(&mut self) {
        let Some(race) = &self.plan.race else { return };
        loop {
            let result = |run: usize| self.race_results[run];
            let Some(state) = self.plan.race_state_by(result) else { return };
            if self.race.as_ref() == Some(&state) {
                return;
            }
            if self.race.is_some() || state.seeds > race.config.looks[0] || state.end.is_some() {
                self.watcher.event(Event::Look(&state));
            }
            let wanted = race.wanted(&state);
            self.race = Some(state);
            self.need(wanted);
        }
    }
}
