//! A worker: takes the next free run of a plan, trains it in a process of its own, and ends when none is left. Every launcher
//! starts workers, which know of each other only by the files of the sweep.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | the loop that handles the events of the processes, and the outcomes of the runs |
//! | [`dispatch`] | which runs are queued, and when each starts |
//! | [`free_runs`] | which run is next if other workers train the same plan |
//! | [`shared`] | what a worker does if it is one of several |
//! | [`decisions`] | the files by which workers tell each other results and decisions |
//! | [`pruning`] | which runs stop early, and which wait for that decision |
//! | [`racing`] | which runs a race needs |
//! | [`sampling`] | when the next sample is drawn, if results decide which are |
//! | [`time_budget`] | when the stage of a sweep with a budget ends |
//! | [`shared_training`] | which runs wait for another one with the same training |
//! | [`run_process`], [`protocol`], [`train_run`] | the process of a run, and what it exchanges with its worker |
//! | [`outcome`] | how a run ended |

mod decisions;
mod dispatch;
pub(crate) mod free_runs;
mod log_tail;
mod outcome;
mod protocol;
mod pruning;
mod racing;
mod run_process;
mod sampling;
mod shared;
mod shared_training;
#[cfg(test)]
mod simulation;
mod time_budget;
mod train_run;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use kiln_store::RunRecord;

use crate::launchers::{Event, LaunchOptions, Requests, SweepResult, Watcher};
use crate::plan::Plan;
use crate::race::{RaceResult, RaceState};
use crate::worker::free_runs::FreeRuns;
use crate::worker::protocol::{RunCommand, RunMessage};
use crate::worker::run_process::{RunEvent, RunProcess};

use decisions::Decisions;
use pruning::Pruning;
use shared::Idle;
use time_budget::TimeUse;

pub use outcome::{CompletedBy, Failure, RunOutcome};
pub use protocol::{EpochReport, StepReport};
pub use run_process::visible_devices;
pub use train_run::work;

/// The longest time between two events of a watcher.
const TICK: Duration = Duration::from_millis(100);
/// The time between two checks of runs that another sweep has locked.
const POLL: Duration = Duration::from_millis(300);

/// When a job or a node is killed, its processes end one after the other. A worker that sees a killed run waits this long: if it
/// is about to be killed, too, the run has not failed, and another worker takes it over.
const KILLING: Duration = Duration::from_secs(2);

/// Trains every run of a plan that is not done yet, each in a separate process, `options.jobs` at a time. Runs with
/// the highest cost start first, so that none of them is left for the end. Unfinished runs resume from their
/// checkpoints. `requests` holds the requests that come from outside.
///
/// Several sweeps may train the same plan, or plans with common runs, at the same time. Each run is locked by one of
/// the sweeps, and every sweep waits until all its runs are done. A worker that has a [share](LaunchOptions::share) ends
/// when other live workers train all remaining runs.
///
/// An error that concerns one run, such as a lock file that cannot be written, is the outcome of that run and does not
/// affect the others.
pub fn train_runs(
    plan: &Plan,
    options: &LaunchOptions,
    watcher: &mut dyn Watcher,
    requests: &Requests,
) -> SweepResult {
    let started = Instant::now();
    let mut worker = SweepWorker::new(plan, options, watcher, requests);
    let interrupted = worker.run();
    if let Some(budget) = &plan.budget {
        budget.stop();
    }
    let seconds = started.elapsed().as_secs_f64();
    let to_draw = plan.runs_to_draw();
    let SweepWorker { outcomes, reused, needed, race, time, cannot_draw, .. } = worker;
    SweepResult {
        outcomes,
        reused,
        needed: needed.iter().filter(|it| **it).count(),
        to_draw,
        stage_is_over: plan.budget.is_some()
            && (time.is_over || cannot_draw || plan.samples_left() == 0),
        too_short: time.too_short,
        overhead: time.overhead(),
        race,
        interrupted,
        seconds,
    }
}

/// Runs are indices into the plan.
struct SweepWorker<'a> {
    plan: &'a Plan,
    options: &'a LaunchOptions,
    watcher: &'a mut dyn Watcher,
    /// The record of each run before this sweep started.
    records_before: Vec<Option<RunRecord>>,
    /// The runs that are not started yet, in the order in which they will be.
    queue: Vec<usize>,
    /// The runs of the queue that other sweeps have locked.
    locked_elsewhere: Vec<usize>,
    /// The runs that this worker may try, if it is one of several.
    free: Option<FreeRuns>,
    /// Finished runs elsewhere whose results can be reused, by run.
    reusable: BTreeMap<usize, Vec<PathBuf>>,
    /// The directories of those that were reused.
    reused: Vec<PathBuf>,
    processes: BTreeMap<usize, RunProcess>,
    outcomes: Vec<Option<(RunOutcome, CompletedBy)>>,
    /// Whether the sweep needs each run. A race needs more of them after each look.
    needed: Vec<bool>,
    /// The results of runs that are done, by which combinations race.
    race_results: Vec<RaceResult>,
    /// The state of the race at the last look.
    race: Option<RaceState>,
    pruning: Option<Pruning>,
    decisions: Decisions,
    /// The runs to be trained that ended once, and have marks of that.
    marked: HashSet<usize>,
    /// The runs by their ids, if they are pruned.
    runs_by_id: HashMap<String, usize>,
    /// The runs that are paused because their next rung is not decided.
    waiting: Vec<usize>,
    events: (Sender<RunEvent>, Receiver<RunEvent>),
    requests: &'a Requests,
    /// Whether a run has ended since the last look.
    race_has_news: bool,
    /// Whether the sweep starts no more runs.
    stopping: bool,
    /// How long a worker that is one of several has found nothing to do.
    idle: Idle,
    /// Whether drawing a sample failed, so that this worker draws no more.
    cannot_draw: bool,
    /// The time, if the sweep has a budget.
    time: TimeUse,
}

impl<'a> SweepWorker<'a> {
    fn new(
        plan: &'a Plan,
        options: &'a LaunchOptions,
        watcher: &'a mut dyn Watcher,
        requests: &'a Requests,
    ) -> Self {
        Self {
            plan,
            options,
            watcher,
            // Workers that were started together have marks instead.
            records_before: match options.share {
                Some(_) => vec![None; plan.runs.len()],
                None => plan.runs.iter().map(|run| plan.run_record(run)).collect(),
            },
            queue: Vec::new(),
            locked_elsewhere: Vec::new(),
            free: options.share.clone().map(FreeRuns::new),
            reusable: BTreeMap::new(),
            reused: Vec::new(),
            processes: BTreeMap::new(),
            outcomes: vec![None; plan.runs.len()],
            needed: vec![false; plan.runs.len()],
            race_results: vec![RaceResult::Pending; plan.runs.len()],
            race: None,
            pruning: plan.prune.map(Pruning::new),
            decisions: Decisions::of(plan),
            marked: HashSet::new(),
            runs_by_id: match plan.prune {
                Some(_) => (0..).zip(&plan.runs).map(|(run, it)| (it.id.clone(), run)).collect(),
                None => HashMap::new(),
            },
            waiting: Vec::new(),
            events: channel(),
            requests,
            race_has_news: false,
            stopping: false,
            idle: Idle::default(),
            cannot_draw: false,
            time: TimeUse::default(),
        }
    }

    /// Trains runs until all are done or the sweep is stopped. Returns whether it was stopped from outside.
    fn run(&mut self) -> bool {
        let requests = self.requests;
        self.start_time();
        match self.plan.race {
            Some(_) => self.race(),
            None => self.need((0..self.plan.runs.len()).collect()),
        }
        let mut last_poll = None::<Instant>;
        let mut handled_stops = 0;
        loop {
            let stops = requests.stops.load(Ordering::Relaxed);
            if stops > handled_stops {
                handled_stops = stops;
                self.stop_all();
                // With the second request, the user does not want to wait for the current steps.
                if stops > 1 {
                    self.processes.values_mut().for_each(RunProcess::kill);
                }
            }
            self.check_time();
            let has_room = !self.stopping && self.processes.len() < self.options.jobs.get();
            // Runs that other sweeps have locked are checked only now and then, since each check opens files.
            let has_unlocked = self.locked_elsewhere.len() < self.queue.len();
            let polls_again = last_poll.is_none_or(|last| last.elapsed() > POLL);
            let mut wait = TICK;
            if self.free.is_some() {
                if has_room && self.start_free_runs() {
                    wait = Duration::ZERO;
                }
            } else if has_room && (has_unlocked || polls_again) {
                if self.start_runs() {
                    wait = Duration::ZERO;
                }
                last_poll = Some(Instant::now());
            }
            let is_at_a_loss = self.free.is_none()
                && !self.stopping
                && self.processes.len() < self.options.jobs.get()
                && self.locked_elsewhere.len() == self.queue.len();
            if is_at_a_loss && self.add_samples() {
                wait = Duration::ZERO;
            }
            if self.race_has_news {
                self.race();
            }
            if self.processes.is_empty() && (self.stopping || self.has_nothing_left()) {
                self.end_waiting_runs();
                return handled_stops > 0;
            }
            match self.events.1.recv_timeout(wait) {
                Ok(event) => self.handle(event),
                Err(_) if wait.is_zero() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.report_idle();
                }
            }
            if requests.checkpoint.swap(false, Ordering::Relaxed) {
                for process in self.processes.values_mut() {
                    process.send(RunCommand::Checkpoint);
                }
            }
        }
    }

    fn handle(&mut self, event: RunEvent) {
        let RunEvent { run, message } = event;
        match message {
            Some(RunMessage::Failed(reason)) => {
                if let Some(process) = self.processes.get_mut(&run) {
                    process.failure = Some(reason);
                }
            }
            Some(RunMessage::Warning(text)) => self.watcher.event(Event::Warning(run, &text)),
            Some(RunMessage::DataWarning(text)) => {
                self.watcher.event(Event::DataWarning(run, &text));
            }
            Some(RunMessage::Step(report)) => self.watcher.event(Event::Step(run, report)),
            Some(RunMessage::Epoch(report)) => {
                self.watcher.event(Event::Epoch(run, &report));
                self.record_epoch_time(run, &report);
                // Without pruning, the process does not wait for a command.
                if self.pruning.is_some() {
                    let command = self.command_after(run, &report);
                    if let Some(process) = self.processes.get_mut(&run) {
                        process.send(command);
                    }
                    self.wake_waiting_runs();
                }
            }
            None => self.handle_exit(run),
        }
    }

    /// Determines the outcome of a run whose process has ended.
    fn handle_exit(&mut self, run: usize) {
        let Some(mut process) = self.processes.remove(&run) else { return };
        let exited = process.wait();
        self.record_exit(run);
        // The end of this run may free others.
        self.idle.forget();
        if let Err(error) = process.lock.token().check() {
            // The files now belong to the process that took the lock over.
            self.watcher.event(Event::Lost(run, &error));
            self.queue.push(run);
            return;
        }
        let planned = &self.plan.runs[run];
        // A queue signals all processes of its job at once, so the run may end before the request to stop was handled.
        let is_stopping = self.stopping || self.requests.stops.load(Ordering::Relaxed) > 0;
        let is_expected = is_stopping || process.is_paused;
        if self.options.share.is_some()
            && !is_expected
            && exited.as_ref().is_ok_and(outcome::is_killed)
        {
            std::thread::sleep(KILLING);
        }
        let outcome = match exited {
            Ok(status) => {
                RunOutcome::settle_exited(self.plan, planned, status, &process, is_expected)
            }
            Err(error) => RunOutcome::failed(error.to_string()),
        };
        let is_asked_to_stop = self.requests.stops.load(Ordering::Relaxed) > 0;
        let outcome = match outcome {
            RunOutcome::Interrupted if self.time.is_over && !is_asked_to_stop => self
                .end_by_time(run, &process.lock)
                .unwrap_or_else(|error| RunOutcome::failed(error.to_string())),
            outcome => outcome,
        };
        if outcome == RunOutcome::Interrupted && !is_stopping {
            self.watcher.event(Event::Paused(run));
            self.waiting.push(run);
            self.wake_waiting_runs();
        } else {
            self.end(run, outcome, CompletedBy::ThisSweep);
        }
    }

    fn end(&mut self, run: usize, outcome: RunOutcome, by: CompletedBy) {
        if let Some(share) = &self.options.share
            && matches!(by, CompletedBy::ThisSweep | CompletedBy::OtherRun)
        {
            free_runs::mark(&self.plan.directory, &self.plan.runs[run].id, &outcome, &share.group);
        }
        self.watcher.event(Event::Ended(run, &outcome, by));
        if self.options.fail_fast && (outcome.is_failure() || outcome.is_diverged()) {
            self.stop_all();
        }
        self.end_in_bracket(run, &outcome);
        self.end_in_race(run, &outcome);
        self.outcomes[run] = Some((outcome, by));
        self.remove_shared_training(run);
        self.wake_waiting_runs();
    }

    /// Starts no more runs and stops the running ones after their current step.
    fn stop_all(&mut self) {
        self.stopping = true;
        self.processes.values_mut().for_each(RunProcess::stop);
    }
}
