//! A worker that is one of several: it tries free runs, and looks for more when its own are used up.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use kiln_store::{FileLock, LockState};

use crate::launchers::{Event, Share};
use crate::plan::RunState;
use crate::prune::Decision;
use crate::worker::free_runs::{self, FreeRuns, Listing};
use crate::worker::outcome::{CompletedBy, RunOutcome};
use crate::worker::{SweepWorker, TICK};

/// The pauses between two looks at the directories of the sweep, while no run is free. They double from the first to the
/// second.
const LOOKS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// A heartbeat is written every ten seconds. If an owner on another machine misses three, its run is tried again until
/// the lock says that it is dead.
const SUSPICIOUS: Duration = Duration::from_secs(30);

/// How long a worker has found nothing to do.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Whether no process had a run at the last look: those that are left wait for one that failed.
    is_stuck: bool,
    /// Whether runs have become free or were tried since the last look, so that it says nothing about them.
    is_outdated: bool,
    /// The time of the next look, and the pause after it.
    next: Option<(Instant, Duration)>,
    /// The heartbeats of the owners on other machines: the first one seen, when that was, and whether there was another.
    beats: HashMap<usize, (SystemTime, Instant, bool)>,
}

impl SweepWorker<'_> {
    /// Starts free runs as long as there is room. Returns whether it stopped before that, to let the worker handle events.
    pub(super) fn start_free_runs(&mut self) -> bool {
        self.put_back_queue();
        let until = Instant::now() + TICK;
        while !self.stopping
            && self.requests.stops.load(Ordering::Relaxed) == 0
            && self.processes.len() < self.options.jobs.get()
        {
            if Instant::now() > until {
                return true;
            }
            match self.free.as_mut().and_then(FreeRuns::next_own) {
                Some(run) => self.try_run(run),
                None if self.is_time_to_look() => {
                    let found = self.look_for_free_runs();
                    self.idle.looked(found, self.jitter());
                }
                None if self.add_samples() => {}
                None => break,
            }
            self.put_back_queue();
        }
        false
    }

    fn try_run(&mut self, run: usize) {
        if self.outcomes[run].is_some() {
            return;
        }
        if self.waits_for_training(run) {
            self.idle.is_outdated = true;
            if let Some(free) = &mut self.free {
                free.is_busy(run);
            }
            return;
        }
        match self.start(run) {
            Ok(true) => {}
            Ok(false) => {
                // Another worker holds the lock, but may release it without training the run.
                self.idle.is_outdated = true;
                self.idle.pause(self.jitter());
                if let Some(free) = &mut self.free {
                    free.is_busy(run);
                }
            }
            Err(error) => {
                let outcome = RunOutcome::failed(error.to_string());
                self.end(run, outcome, CompletedBy::ThisSweep);
            }
        }
    }

    /// Gives the runs of the queue, which a decision or a lost lock has put there, back to those that may be tried.
    fn put_back_queue(&mut self) {
        if let Some(free) = &mut self.free {
            self.idle.is_outdated |= !self.queue.is_empty();
            free.add(&std::mem::take(&mut self.queue));
        }
    }

    fn is_time_to_look(&self) -> bool {
        let has_others = self.free.as_ref().is_some_and(|free| !free.others().is_empty());
        (has_others || !self.waiting.is_empty())
            && self.idle.next.is_none_or(|(next, _)| Instant::now() >= next)
    }

    /// A part of a second that differs between workers, so that they do not look at the same moment.
    fn jitter(&self) -> Duration {
        let index = self.options.share.as_ref().map_or(0, |share| share.index);
        Duration::from_millis((index * 37 % 500) as u64)
    }

    /// Lists the directories of the sweep. Ends the runs that have ended elsewhere, and prepares to try some of those that
    /// are free. Returns whether there are any.
    fn look_for_free_runs(&mut self) -> bool {
        let Some(Share { group, .. }) = self.options.share.clone() else { return false };
        let listing = Listing::read(&self.plan.directory);
        // The results of other workers may decide whether runs continue.
        self.read_rungs();
        let others = self.free.as_ref().map_or(Vec::new(), |free| free.others().to_vec());
        let candidates: Vec<usize> = others.iter().chain(&self.waiting).copied().collect();
        self.end_listed_runs(&candidates, &listing, &group, CompletedBy::AnotherSweep);
        let outcomes = &self.outcomes;
        self.waiting.retain(|run| outcomes[*run].is_none());
        self.wake_waiting_runs();
        self.put_back_queue();
        let others = self.free.as_ref().map_or(Vec::new(), |free| free.others().to_vec());
        let undecided: HashSet<usize> = others
            .iter()
            .copied()
            .filter(|run| matches!(self.decision(*run), Some(Decision::Wait(_))))
            .collect();
        let held_back = self.held_back(&others, &listing);
        let (plan, outcomes) = (self.plan, &self.outcomes);
        let Some(free) = &mut self.free else { return false };
        let has_ended = |run: usize| outcomes[run].is_some();
        let is_claimed = |run: usize| listing.is_claimed(&plan.runs[run].id);
        let is_free =
            |run: usize| !is_claimed(run) && !undecided.contains(&run) && !held_back.contains(&run);
        if free.refill(has_ended, is_free) > 0 || !free.has_no_own() {
            return true;
        }
        self.idle.is_stuck =
            held_back.is_empty() && !free.others().iter().any(|run| is_claimed(*run));
        // Only locked runs are left. Their owners may be dead.
        let now = Instant::now();
        let abandoned: Vec<usize> = free
            .others()
            .iter()
            .copied()
            .filter(|run| is_claimed(*run))
            .filter(|run| match FileLock::state(&plan.directory, &plan.runs[*run].id) {
                LockState::Free => true,
                LockState::Held => {
                    self.idle.beats.remove(run);
                    false
                }
                LockState::Heartbeat(beat) => self.idle.misses_beats(*run, beat, now),
            })
            .collect();
        free.refill(|_| false, |run| abandoned.contains(&run)) > 0
    }

    /// The runs that wait for the training of others.
    fn held_back(&self, runs: &[usize], listing: &Listing) -> HashSet<usize> {
        // A claim may be that of a run that has ended, or of a process that was killed.
        let mut trained: HashMap<usize, bool> = HashMap::new();
        let mut is_trained = |other: usize| {
            let id = &self.plan.runs[other].id;
            self.outcomes[other].is_none()
                && listing.is_claimed(id)
                && *trained
                    .entry(other)
                    .or_insert_with(|| FileLock::is_taken(&self.plan.directory, id))
        };
        let waits = |run: &usize| self.plan.shared.others(*run).any(&mut is_trained);
        runs.iter().copied().filter(waits).collect()
    }

    /// Ends the runs that have ended according to a listing.
    pub(super) fn end_listed_runs(
        &mut self,
        runs: &[usize],
        listing: &Listing,
        group: &str,
        by: CompletedBy,
    ) {
        for run in runs.iter().copied() {
            if self.outcomes[run].is_some() {
                continue;
            }
            let id = &self.plan.runs[run].id;
            if let Some(state) = listing.ended(id, group, self.options.retry_failed) {
                if self.is_done(run, &state) {
                    let outcome = free_runs::outcome_elsewhere(self.plan, run, &state);
                    self.end(run, outcome, by);
                }
            } else if listing.has_failed(id, group) && !listing.is_claimed(id) {
                let record = self.plan.run_record(&self.plan.runs[run]);
                let reason = record.and_then(|record| record.stop_reason).unwrap_or_default();
                self.end(run, RunOutcome::failed(reason), by);
            }
        }
    }

    /// Whether the worker has nothing to wait for: all runs are done, or live workers train them.
    /// Workers of a sweep that races or prunes wait for its decisions, which may free runs.
    pub(super) fn has_nothing_left(&self) -> bool {
        let Some(free) = &self.free else {
            return self.queue.is_empty() && !self.has_samples_left();
        };
        if !self.queue.is_empty() || self.has_samples_left() {
            return false;
        }
        if free.is_empty() {
            return self.waiting.is_empty() || self.idle.is_stuck();
        }
        if !free.has_no_own() || !self.idle.has_looked() {
            return false;
        }
        let decides = self.plan.race.is_some() || self.pruning.is_some();
        self.idle.is_stuck() || !decides && self.idle.all_alive()
    }

    /// The number of runs that other workers have.
    pub(super) fn elsewhere(&self) -> usize {
        match &self.free {
            Some(free) => free.others().len(),
            None => self.locked_elsewhere.len(),
        }
    }

    /// Reads what the directories of the sweep show about runs that the worker needs from now on.
    pub(super) fn need_shared(&mut self, runs: &[usize]) {
        let Some(Share { group, .. }) = self.options.share.clone() else { return };
        let listing = Listing::read(&self.plan.directory);
        for run in runs {
            self.needed[*run] = true;
            // In a fixed order, whether a run continues depends on the results of all runs of its bracket.
            if self.pruning.is_some() && listing.has_begun(&self.plan.runs[*run].id) {
                let state = RunState::read(self.plan, &self.plan.runs[*run]);
                self.record_state(*run, &state);
            }
        }
        self.read_rungs();
        self.end_listed_runs(runs, &listing, &group, CompletedBy::EarlierSweep);
        self.record_marked(runs, &listing);
        self.queue.extend(runs.iter().copied().filter(|run| self.outcomes[*run].is_none()));
        self.sort_queue();
        self.put_back_queue();
    }

    /// Notes which runs that are to be trained have marks of an earlier end.
    pub(super) fn record_marked(&mut self, runs: &[usize], listing: &Listing) {
        let outcomes = &self.outcomes;
        let is_marked =
            |run: &usize| outcomes[*run].is_none() && listing.is_marked(&self.plan.runs[*run].id);
        self.marked.extend(runs.iter().copied().filter(is_marked));
    }

    pub(super) fn report_idle(&mut self) {
        let elsewhere = self.elsewhere();
        self.watcher.event(Event::Idle(elsewhere));
    }
}

impl Idle {
    fn looked(&mut self, found: bool, jitter: Duration) {
        let pause = self.next.map_or(LOOKS.0, |(_, pause)| (pause * 2).min(LOOKS.1));
        self.next = (!found).then(|| (Instant::now() + pause + jitter, pause));
        self.is_outdated = false;
        if found {
            self.beats.clear();
        }
    }

    /// Makes the worker look at once, and not end before.
    pub(super) fn forget(&mut self) {
        self.next = None;
    }

    /// Delays the next look: the owner of a run that seemed to be free may need a moment.
    fn pause(&mut self, jitter: Duration) {
        self.next = Some((Instant::now() + LOOKS.0 + jitter, LOOKS.0));
    }

    /// Whether the last look has found nothing, and nothing has happened since.
    fn has_looked(&self) -> bool {
        self.next.is_some() && !self.is_outdated
    }

    fn is_stuck(&self) -> bool {
        self.is_stuck && self.has_looked()
    }

    /// Notes the heartbeat of an owner on another machine. Returns whether it has missed several.
    fn misses_beats(&mut self, run: usize, beat: SystemTime, now: Instant) -> bool {
        let (first, seen, beats) = self.beats.entry(run).or_insert((beat, now, false));
        if *first != beat {
            (*first, *seen, *beats) = (beat, now, true);
        }
        // The clocks of machines differ, so this measures by the time between two looks.
        now.duration_since(*seen) > SUSPICIOUS
    }

    fn all_alive(&self) -> bool {
        self.beats.values().all(|(.., beats)| *beats)
    }
}
