use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use kiln_store::{FileLock, RunDirectory, RunRecord, Status, StoreError, files};
use kiln_train::TrainError;

use crate::SweepError;
use crate::launchers::log_tail::log_tail;
use crate::launchers::outcome::{CompletedBy, Failure, RunOutcome, prune_paused};
use crate::launchers::process::{WorkerEvent, WorkerProcess};
use crate::launchers::protocol::{EpochReport, WorkerCommand, WorkerMessage};
use crate::launchers::{Event, LaunchOptions, Requests, SweepResult, Watcher};
use crate::plan::{Plan, RunState};
use crate::prune::{Brackets, Decision, PruneConfig, PruneOrder, Rungs};
use crate::race::{RaceResult, RaceState};

/// The longest time between two events of a watcher.
const TICK: Duration = Duration::from_millis(100);
/// The time between two checks of runs that another sweep has locked.
const POLL: Duration = Duration::from_millis(300);

/// Trains every run of a plan that is not done yet, each in a separate process, `options.jobs` at a time. Runs with
/// the highest cost start first, so that none of them is left for the end. Unfinished runs resume from their
/// checkpoints. `requests` holds the requests that come from outside.
///
/// Several sweeps may train the same plan, or plans with common runs, at the same time. Each run is locked by one of
/// the sweeps, and every sweep waits until all its runs are done.
///
/// An error that concerns one run, such as a lock file that cannot be written, is the outcome of that run and does not
/// affect the others.
pub fn launch(
    plan: &Plan,
    options: &LaunchOptions,
    watcher: &mut dyn Watcher,
    requests: &Requests,
) -> SweepResult {
    let started = Instant::now();
    let mut launcher = LocalLauncher::new(plan, options, watcher, requests);
    let interrupted = launcher.run();
    let seconds = started.elapsed().as_secs_f64();
    let LocalLauncher { outcomes, reused, needed, race, .. } = launcher;
    SweepResult {
        outcomes,
        reused,
        needed: needed.iter().filter(|it| **it).count(),
        race,
        interrupted,
        seconds,
    }
}

/// The metrics by which runs are pruned.
enum Pruning {
    Fixed(Brackets),
    Arrival(Rungs),
}

impl Pruning {
    fn new(config: PruneConfig) -> Self {
        match config.order {
            PruneOrder::Fixed => Self::Fixed(Brackets::new(config)),
            PruneOrder::Arrival => Self::Arrival(Rungs::new(config)),
        }
    }
}

/// Runs are indices into the plan.
struct LocalLauncher<'a> {
    plan: &'a Plan,
    options: &'a LaunchOptions,
    watcher: &'a mut dyn Watcher,
    /// The record of each run before this sweep started.
    records_before: Vec<Option<RunRecord>>,
    /// The runs that are not started yet, in the order in which they will be.
    queue: Vec<usize>,
    /// The runs of the queue that other sweeps have locked.
    locked_elsewhere: Vec<usize>,
    /// Finished runs elsewhere whose results can be reused, by run.
    reusable: BTreeMap<usize, Vec<PathBuf>>,
    /// The directories of those that were reused.
    reused: Vec<PathBuf>,
    processes: BTreeMap<usize, WorkerProcess>,
    outcomes: Vec<Option<(RunOutcome, CompletedBy)>>,
    /// Whether the sweep needs each run. A race needs more of them after each look.
    needed: Vec<bool>,
    /// The results of runs that are done, by which combinations race.
    race_results: Vec<RaceResult>,
    /// The state of the race at the last look.
    race: Option<RaceState>,
    pruning: Option<Pruning>,
    /// The runs that are paused because their next rung is not decided.
    waiting: Vec<usize>,
    events: (Sender<WorkerEvent>, Receiver<WorkerEvent>),
    requests: &'a Requests,
    /// Whether a run has ended since the last look.
    race_has_news: bool,
    /// Whether the sweep starts no more runs.
    stopping: bool,
}

impl<'a> LocalLauncher<'a> {
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
            records_before: plan.runs.iter().map(|run| plan.run_record(run)).collect(),
            queue: Vec::new(),
            locked_elsewhere: Vec::new(),
            reusable: BTreeMap::new(),
            reused: Vec::new(),
            processes: BTreeMap::new(),
            outcomes: vec![None; plan.runs.len()],
            needed: vec![false; plan.runs.len()],
            race_results: vec![RaceResult::Pending; plan.runs.len()],
            race: None,
            pruning: plan.prune.map(Pruning::new),
            waiting: Vec::new(),
            events: channel(),
            requests,
            race_has_news: false,
            stopping: false,
        }
    }

    /// Trains runs until all are done or the sweep is stopped. Returns whether it was stopped from outside.
    fn run(&mut self) -> bool {
        let requests = self.requests;
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
                    self.processes.values_mut().for_each(WorkerProcess::kill);
                }
            }
            let has_room = !self.stopping && self.processes.len() < self.options.jobs.get();
            // Runs that other sweeps have locked are checked only now and then, since each check opens files.
            let has_unlocked = self.locked_elsewhere.len() < self.queue.len();
            let polls_again = last_poll.is_none_or(|last| last.elapsed() > POLL);
            let mut wait = TICK;
            if has_room && (has_unlocked || polls_again) {
                if self.start_runs() {
                    wait = Duration::ZERO;
                }
                last_poll = Some(Instant::now());
            }
            if self.race_has_news {
                self.race();
            }
            if self.processes.is_empty() && (self.stopping || self.queue.is_empty()) {
                self.end_waiting_runs();
                return handled_stops > 0;
            }
            match self.events.1.recv_timeout(wait) {
                Ok(event) => self.handle(event),
                Err(_) if wait.is_zero() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.watcher.event(Event::Idle(self.locked_elsewhere.len()));
                }
            }
            if requests.checkpoint.swap(false, Ordering::Relaxed) {
                for process in self.processes.values_mut() {
                    process.send(WorkerCommand::Checkpoint);
                }
            }
        }
    }

    /// Adds runs to the queue, except for those that earlier sweeps have completed.
    fn need(&mut self, mut runs: Vec<usize>) {
        self.watcher.event(Event::Needed(&runs));
        if let Some(Pruning::Fixed(brackets)) = &mut self.pruning {
            for bracket in self.plan.brackets(&runs) {
                brackets.add(bracket.into_iter().map(|run| (run, self.plan.runs[run].epochs)));
            }
        }
        runs.sort_by_key(|run| Reverse(self.plan.runs[*run].weight()));
        let states: Vec<RunState> =
            runs.iter().map(|run| RunState::read(self.plan, &self.plan.runs[*run])).collect();
        // In a fixed order, what becomes of a run depends on the results of all runs of its bracket.
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
    fn sort_queue(&mut self) {
        if let Some(Pruning::Fixed(brackets)) = &self.pruning {
            let weight = |run: &usize| Reverse(self.plan.runs[*run].weight());
            let place = |run: &usize| (brackets.bracket_of(*run), brackets.rungs_of(*run));
            self.queue.sort_by_key(|run| (place(run), weight(run)));
        }
    }

    /// Whether the sweep has nothing left to do for the run.
    fn is_done(&mut self, run: usize, state: &RunState) -> bool {
        match (state, self.decision(run)) {
            (RunState::Pruned(_), Some(decision)) => matches!(decision, Decision::Prune(_)),
            _ => state.is_done(self.plan, &self.plan.runs[run], self.options.retry_failed),
        }
    }

    /// What becomes of a run, if the sweep prunes in a fixed order.
    fn decision(&mut self, run: usize) -> Option<Decision> {
        match &mut self.pruning {
            Some(Pruning::Fixed(brackets)) => Some(brackets.decision(run)),
            _ => None,
        }
    }

    /// Records what the directory of a run says, if the sweep prunes in a fixed order.
    fn record_state(&mut self, run: usize, state: &RunState) {
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

    /// Queues the waiting runs for which it has been decided what becomes of them.
    fn wake_waiting_runs(&mut self) {
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
    fn end_waiting_runs(&mut self) {
        for run in std::mem::take(&mut self.waiting) {
            let outcome = if self.stopping { RunOutcome::Interrupted } else { RunOutcome::Waiting };
            self.end(run, outcome, CompletedBy::ThisSweep);
        }
    }

    /// Compares the combinations, if they race, as often as the results suffice for, and adds the runs that the race needs
    /// next to the queue.
    fn race(&mut self) {
        let Some(race) = &self.plan.race else { return };
        loop {
            self.race_has_news = false;
            let state = self.plan.race_state_by(|run| self.race_results[run]);
            let Some(state) = state.filter(|state| self.race.as_ref() != Some(state)) else {
                return;
            };
            // The first state is the start of the race, before any look.
            if self.race.is_some() || state.seeds > race.config.looks[0] || state.end.is_some() {
                self.watcher.event(Event::Look(&state));
            }
            let mut wanted = race.wanted(&state);
            wanted.retain(|run| !self.needed[*run]);
            self.race = Some(state);
            self.need(wanted);
        }
    }

    /// Starts runs of the queue as long as there is room. Runs that other sweeps have locked stay in the queue. Returns
    /// whether it stopped before that, to let the sweep handle events.
    fn start_runs(&mut self) -> bool {
        let mut queue = std::mem::take(&mut self.queue).into_iter();
        self.locked_elsewhere.clear();
        // Reusing many runs takes a while, and the running processes must not wait for it.
        let until = Instant::now() + TICK;
        let mut is_paused = false;
        while !self.stopping
            && self.requests.stops.load(Ordering::Relaxed) == 0
            && self.processes.len() < self.options.jobs.get()
        {
            is_paused = Instant::now() > until;
            if is_paused {
                break;
            }
            let Some(run) = queue.next() else { break };
            match self.start(run) {
                Ok(true) => {}
                Ok(false) => {
                    // Its results may decide what becomes of waiting runs.
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
        self.queue = self.locked_elsewhere.iter().copied().chain(queue).chain(woken).collect();
        self.wake_waiting_runs();
        is_paused
    }

    /// Locks a run and starts its process, unless the run turns out to be done. Returns false if another process has
    /// locked the run.
    fn start(&mut self, run: usize) -> Result<bool, SweepError> {
        let planned = &self.plan.runs[run];
        let lock = match FileLock::take(&self.plan.directory, &planned.id) {
            Err(StoreError::Locked { .. }) => return Ok(false),
            lock => lock?,
        };
        // Another process may have finished the run before this lock was acquired.
        let state = RunState::read(self.plan, planned);
        self.record_state(run, &state);
        let decision = self.decision(run);
        let can_resume = state.can_resume(self.plan, planned);
        let problem = match (&state, &can_resume) {
            (RunState::Unreadable(problem), _) | (_, Err(problem)) => Some(problem),
            _ => None,
        };
        if let Some(problem) = problem {
            let reason = format!(
                "{problem} (its directory is not changed; to retrain the run, move the directory away)"
            );
            self.end(run, RunOutcome::failed(reason), CompletedBy::ThisSweep);
        } else if let Some(reason) = self.failure_elsewhere(run) {
            let log = log_tail(self.plan, planned, &lock);
            let outcome = RunOutcome::Failed(Failure { reason, log });
            self.end(run, outcome, CompletedBy::AnotherSweep);
        } else if self.is_done_elsewhere(run, &state) {
            self.record_history(run);
            let outcome = RunOutcome::of_done(self.plan, planned, &state);
            self.end(run, outcome, CompletedBy::AnotherSweep);
        } else if matches!(decision, Some(Decision::Wait(_))) {
            self.waiting.push(run);
        } else if let (Some(Decision::Prune(_)), Ok(true)) = (decision, &can_resume)
            && let Some(epochs) = self.prune_paused(run, &lock)?
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
                files::remove_directory(&self.plan.path_of(planned))?;
            }
            // Before the process exists, so that a signal in between does not exit without stopping it.
            self.watcher.event(Event::Starting(run));
            let program = &self.options.program;
            let events = self.events.0.clone();
            let process = WorkerProcess::start(program, self.plan, run, resume, lock, events)?;
            self.processes.insert(run, process);
        }
        Ok(true)
    }

    /// Takes the results of an identical run elsewhere. Returns whether there is one that is intact.
    fn reuse(&mut self, run: usize, lock: &FileLock) -> Result<bool, SweepError> {
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

    /// Marks a paused run as pruned. Returns the number of its epochs, or `None` if it has to be resumed to end.
    fn prune_paused(&self, run: usize, lock: &FileLock) -> Result<Option<usize>, SweepError> {
        lock.token().check()?;
        let directory = RunDirectory::open(self.plan.path_of(&self.plan.runs[run]))?;
        Ok(prune_paused(&directory).map_err(TrainError::from)?)
    }

    /// Whether another sweep has completed the run since this one started.
    fn is_done_elsewhere(&mut self, run: usize, state: &RunState) -> bool {
        // With `retry_failed`, a diverged run is not done. If another sweep has just retrained it, once is enough.
        self.is_done(run, state) || *state == RunState::Diverged && self.new_record(run).is_some()
    }

    /// Why a run failed in another sweep since this one started. This sweep does not try it again.
    fn failure_elsewhere(&self, run: usize) -> Option<String> {
        let record = self.new_record(run)?;
        (record.status == Status::Failed).then(|| record.stop_reason.unwrap_or_default())
    }

    /// The record of a run, if another process has written it since this sweep started. Records are compared instead of
    /// times, because the clocks of machines differ and may be set back.
    fn new_record(&self, run: usize) -> Option<RunRecord> {
        let record = self.plan.run_record(&self.plan.runs[run])?;
        (self.records_before[run].as_ref() != Some(&record)).then_some(record)
    }

    fn handle(&mut self, event: WorkerEvent) {
        let WorkerEvent { run, message } = event;
        match message {
            Some(WorkerMessage::Failed(reason)) => {
                if let Some(process) = self.processes.get_mut(&run) {
                    process.failure = Some(reason);
                }
            }
            Some(WorkerMessage::Warning(text)) => self.watcher.event(Event::Warning(run, &text)),
            Some(WorkerMessage::Step(report)) => self.watcher.event(Event::Step(run, report)),
            Some(WorkerMessage::Epoch(report)) => {
                self.watcher.event(Event::Epoch(run, &report));
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
        if let Err(error) = process.lock.token().check() {
            // The files now belong to the process that took the lock over.
            self.watcher.event(Event::Lost(run, &error));
            self.queue.push(run);
            return;
        }
        let planned = &self.plan.runs[run];
        let is_expected = self.stopping || process.is_paused;
        let outcome = match exited {
            Ok(status) => {
                RunOutcome::settle_exited(self.plan, planned, status, &process, is_expected)
            }
            Err(error) => RunOutcome::failed(error.to_string()),
        };
        if outcome == RunOutcome::Interrupted && !self.stopping {
            self.watcher.event(Event::Paused(run));
            self.waiting.push(run);
            self.wake_waiting_runs();
        } else {
            self.end(run, outcome, CompletedBy::ThisSweep);
        }
    }

    /// Decides whether a run that has completed an epoch continues.
    fn command_after(&mut self, run: usize, report: &EpochReport) -> WorkerCommand {
        let Some(prune) = self.plan.prune else { return WorkerCommand::Continue };
        let is_rung = prune.is_rung(report.epoch, report.epochs);
        // Runs that other sweeps are training compete as well. Their histories contain their metrics.
        if is_rung {
            for other in self.locked_elsewhere.clone() {
                self.record_history(other);
            }
        }
        let value = report.metric(prune.metric);
        match &mut self.pruning {
            Some(Pruning::Fixed(brackets)) => {
                brackets.record(run, report.epoch, value);
                match brackets.decision(run) {
                    Decision::Prune(_) => WorkerCommand::Prune,
                    Decision::Wait(_) => WorkerCommand::Pause,
                    Decision::Continue => WorkerCommand::Continue,
                }
            }
            Some(Pruning::Arrival(rungs)) if is_rung => {
                if rungs.record(run, report.epoch, report.epochs, value) {
                    WorkerCommand::Continue
                } else {
                    WorkerCommand::Prune
                }
            }
            _ => WorkerCommand::Continue,
        }
    }

    /// Records the metrics of a run at the rungs, from the history in its directory.
    fn record_history(&mut self, run: usize) {
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

    fn end(&mut self, run: usize, outcome: RunOutcome, by: CompletedBy) {
        self.watcher.event(Event::Ended(run, &outcome, by));
        if self.options.fail_fast && (outcome.is_failure() || outcome.is_diverged()) {
            self.stop_all();
        }
        if let (Some(Pruning::Fixed(brackets)), RunOutcome::Finished | RunOutcome::Diverged(_)) =
            (&mut self.pruning, &outcome)
        {
            brackets.end(run);
        }
        if self.plan.race.is_some() {
            self.race_results[run] = match outcome {
                RunOutcome::Finished => self.plan.race_result(run),
                RunOutcome::Pruned(_) | RunOutcome::Diverged(_) => RaceResult::Out,
                RunOutcome::Failed(_) | RunOutcome::Interrupted | RunOutcome::Waiting => {
                    RaceResult::Pending
                }
            };
            self.race_has_news = true;
        }
        self.outcomes[run] = Some((outcome, by));
        self.wake_waiting_runs();
    }

    /// Starts no more runs and stops the running ones after their current step.
    fn stop_all(&mut self) {
        self.stopping = true;
        self.processes.values_mut().for_each(WorkerProcess::stop);
    }
}
