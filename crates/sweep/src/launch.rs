use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use kiln_store::{Claim, RunDirectory, RunRecord, Status, StoreError, files};

use crate::SweepError;
use crate::child::{Process, Word};
use crate::outcome::{By, Failure, Outcome, end_of_log};
use crate::plan::Plan;
use crate::protocol::{Answer, EpochReport, Message, StepReport};
use crate::prune::Rungs;
use crate::state::State;

/// How to launch a plan.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// Runs at a time.
    pub jobs: NonZeroUsize,
    /// Whether the first failure stops everything.
    pub fail_fast: bool,
    /// Whether runs that diverged before are run again.
    pub retry_failed: bool,
    /// The program whose command `work` is a run: this one.
    pub program: PathBuf,
}

/// What is asked of a sweep from outside while it runs.
#[derive(Debug, Default)]
pub struct Requests {
    /// How often it was told to end. The first lets each run finish its step, write a checkpoint and leave a
    /// record; the second kills them.
    pub stops: AtomicUsize,
    /// Set to have all runs write a checkpoint and go on.
    pub checkpoint: AtomicBool,
}

/// What a sweep came to.
#[derive(Debug)]
pub struct Launched {
    /// For each of the plan's members how it came out; `None` where it was not run.
    pub outcomes: Vec<Option<(Outcome, By)>>,
    /// Whether it was stopped from outside.
    pub interrupted: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What happens in a sweep, member by member of its plan.
#[derive(Debug)]
pub enum Event<'a> {
    /// A run begins.
    Started(usize),
    /// A run trains.
    Step(usize, StepReport),
    /// A run has something to say: what is damaged and was passed over, why it begins anew.
    Remark(usize, &'a str),
    /// Another machine has taken a run over from this one, as the error says. The sweep waits for its end.
    Lost(usize, &'a StoreError),
    /// A run completed an epoch.
    Epoch(usize, &'a EpochReport),
    /// A run is over.
    Ended(usize, &'a Outcome, By),
    /// Nothing for a while; so many runs are left to another sweep that works on them.
    Idle(usize),
}

/// Who is told how a sweep goes.
pub trait Watcher {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);
}

/// Nothing happens for longer than this without the watcher hearing of it.
const TICK: Duration = Duration::from_millis(100);
/// The time between two looks at runs that another sweep has claimed.
const POLL: Duration = Duration::from_millis(300);

/// Runs what is not done yet, each run a process of its own, `options.jobs` at a time, the longest
/// first. What was interrupted goes on. `requests` is what is asked from outside.
///
/// Several sweeps may run the same plan, or plans that share runs: each run is claimed by one of them,
/// and all wait until all runs of theirs are done.
///
/// What goes wrong with one run, be it that it cannot be claimed or started, is that run's failure.
pub fn launch(
    plan: &Plan,
    options: &LaunchOptions,
    watcher: &mut dyn Watcher,
    requests: &Requests,
) -> Launched {
    let begun = Instant::now();
    let mut launch = Launch::new(plan, options, watcher, requests);
    let interrupted = launch.run();
    Launched { outcomes: launch.outcomes, interrupted, seconds: begun.elapsed().as_secs_f64() }
}

struct Launch<'a> {
    plan: &'a Plan,
    options: &'a LaunchOptions,
    watcher: &'a mut dyn Watcher,
    /// The members' records before the sweep began any.
    before: Vec<Option<RunRecord>>,
    /// What is still to be begun, the longest first.
    queue: Vec<usize>,
    /// Those of the queue that others have claimed.
    elsewhere: Vec<usize>,
    running: BTreeMap<usize, Process>,
    outcomes: Vec<Option<(Outcome, By)>>,
    rungs: Option<Rungs>,
    words: (Sender<Word>, Receiver<Word>),
    requests: &'a Requests,
    /// Whether no run is begun any more.
    stopping: bool,
}

impl<'a> Launch<'a> {
    fn new(
        plan: &'a Plan,
        options: &'a LaunchOptions,
        watcher: &'a mut dyn Watcher,
        requests: &'a Requests,
    ) -> Self {
        let mut queue: Vec<usize> = (0..plan.members.len()).collect();
        queue.sort_by_key(|member| Reverse(plan.members[*member].weight()));
        Self {
            plan,
            options,
            watcher,
            before: plan.members.iter().map(|member| plan.run_record(member)).collect(),
            queue,
            elsewhere: Vec::new(),
            running: BTreeMap::new(),
            outcomes: vec![None; plan.members.len()],
            rungs: plan.prune.map(Rungs::new),
            words: channel(),
            requests,
            stopping: false,
        }
    }

    /// Until everything is done or stopped; whether it was stopped from outside.
    fn run(&mut self) -> bool {
        let requests = self.requests;
        self.take_what_is_done();
        let mut looked = None::<Instant>;
        let mut heard = 0;
        loop {
            let stops = requests.stops.load(Ordering::Relaxed);
            if stops > heard {
                heard = stops;
                self.stop_all();
                if stops > 1 {
                    self.running.values_mut().for_each(Process::kill);
                }
            }
            let room = !self.stopping && self.running.len() < self.options.jobs.get();
            let others_may_be_done = looked.is_none_or(|looked| looked.elapsed() > POLL);
            if room && (self.elsewhere.len() < self.queue.len() || others_may_be_done) {
                self.fill();
                looked = Some(Instant::now());
            }
            if self.running.is_empty() && (self.stopping || self.queue.is_empty()) {
                return heard > 0;
            }
            match self.words.1.recv_timeout(TICK) {
                Ok(word) => self.hear(word),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.watcher.event(Event::Idle(self.elsewhere.len()));
                }
            }
            if requests.checkpoint.swap(false, Ordering::Relaxed) {
                for process in self.running.values_mut() {
                    process.answer(Answer::Checkpoint);
                }
            }
        }
    }

    /// Runs that earlier sweeps brought to an end.
    fn take_what_is_done(&mut self) {
        let retry = self.options.retry_failed;
        for index in std::mem::take(&mut self.queue) {
            let member = &self.plan.members[index];
            let state = State::read(self.plan, member);
            if state.is_done(self.plan, member, retry) {
                self.note_history(index);
                self.end(index, Outcome::of_done(self.plan, member, &state), By::Earlier);
            } else {
                self.queue.push(index);
            }
        }
    }

    /// Begins runs as long as there is room and one that nobody else has claimed.
    fn fill(&mut self) {
        let mut queue = std::mem::take(&mut self.queue).into_iter();
        self.elsewhere.clear();
        while !self.stopping
            && self.requests.stops.load(Ordering::Relaxed) == 0
            && self.running.len() < self.options.jobs.get()
            && let Some(index) = queue.next()
        {
            match self.begin(index) {
                Ok(true) => {}
                Ok(false) => self.elsewhere.push(index),
                Err(error) => self.end(index, Outcome::failed(error.to_string()), By::Here),
            }
        }
        self.queue = self.elsewhere.iter().copied().chain(queue).collect();
    }

    /// Begins a run, or finds that it is done; false where somebody else has claimed it.
    fn begin(&mut self, index: usize) -> Result<bool, SweepError> {
        let member = &self.plan.members[index];
        let claim = match Claim::take(&self.plan.directory, &member.id) {
            Err(StoreError::Claimed { .. }) => return Ok(false),
            claimed => claimed?,
        };
        // Whoever had the claim before may have done the work.
        let state = State::read(self.plan, member);
        let goes_on = state.goes_on(self.plan, member);
        let in_the_way = match (&state, &goes_on) {
            (State::Unreadable(problem), _) | (_, Err(problem)) => Some(problem),
            _ => None,
        };
        if let Some(problem) = in_the_way {
            let reason = format!(
                "what is there already is left alone, move it away to run it again: {problem}"
            );
            self.end(index, Outcome::failed(reason), By::Here);
        } else if let Some(reason) = self.failed_elsewhere(index) {
            let log = end_of_log(self.plan, member, &claim);
            self.end(index, Outcome::Failed(Failure { reason, log }), By::Elsewhere);
        } else if self.is_done_elsewhere(index, &state) {
            self.note_history(index);
            self.end(index, Outcome::of_done(self.plan, member, &state), By::Elsewhere);
        } else {
            let resumes = goes_on.unwrap_or(false);
            if resumes {
                self.note_history(index);
            } else {
                claim.held().check()?;
                files::remove_directory(&self.plan.directory.join(&member.id))?;
            }
            let (plan, words) = (self.plan, self.words.0.clone());
            let program = &self.options.program;
            let process = Process::start(program, plan, (index, member), resumes, claim, words)?;
            self.running.insert(index, process);
            self.watcher.event(Event::Started(index));
        }
        Ok(true)
    }

    /// Whether the state is one to be content with, brought about since this sweep began.
    fn is_done_elsewhere(&self, index: usize, state: &State) -> bool {
        let member = &self.plan.members[index];
        // A run to be tried again may be one that another sweep has tried in the meantime.
        state.is_done(self.plan, member, self.options.retry_failed)
            || *state == State::Diverged && self.record_since_start(index).is_some()
    }

    /// Why a run failed in another sweep since this one began: it is not tried twice.
    fn failed_elsewhere(&self, index: usize) -> Option<String> {
        let record = self.record_since_start(index)?;
        (record.status == Status::Failed).then(|| record.stop_reason.unwrap_or_default())
    }

    /// The record of a run that somebody has written since this sweep was begun. Clocks are not asked: they differ
    /// between machines, and are set back.
    fn record_since_start(&self, index: usize) -> Option<RunRecord> {
        let record = self.plan.run_record(&self.plan.members[index])?;
        (self.before[index].as_ref() != Some(&record)).then_some(record)
    }

    fn hear(&mut self, word: Word) {
        let Word { member: index, message } = word;
        match message {
            Some(Message::Failed(reason)) => {
                if let Some(process) = self.running.get_mut(&index) {
                    process.failure = Some(reason);
                }
            }
            Some(Message::Remark(words)) => self.watcher.event(Event::Remark(index, &words)),
            Some(Message::Step(report)) => self.watcher.event(Event::Step(index, report)),
            Some(Message::Epoch(report)) => {
                self.watcher.event(Event::Epoch(index, &report));
                if self.rungs.is_some() {
                    let answer = self.judge(index, &report);
                    if let Some(process) = self.running.get_mut(&index) {
                        process.answer(answer);
                    }
                }
            }
            None => {
                let Some(mut process) = self.running.remove(&index) else { return };
                let member = &self.plan.members[index];
                let ended = process.wait();
                if let Err(error) = process.claim.held().check() {
                    // What is there now is another's.
                    self.watcher.event(Event::Lost(index, &error));
                    self.queue.push(index);
                    return;
                }
                let outcome = match ended {
                    Ok(status) => {
                        Outcome::of_ended(self.plan, member, status, &process, self.stopping)
                    }
                    Err(error) => Outcome::failed(error.to_string()),
                };
                self.end(index, outcome, By::Here);
            }
        }
    }

    /// Whether a run that has completed an epoch goes on.
    fn judge(&mut self, index: usize, report: &EpochReport) -> Answer {
        let prune = self.plan.prune;
        if !prune.is_some_and(|prune| prune.is_rung(report.epoch, report.epochs)) {
            return Answer::Continue;
        }
        for other in self.elsewhere.clone() {
            self.note_history(other);
        }
        let Some(rungs) = &mut self.rungs else { return Answer::Continue };
        let value = report.metric(&rungs.config.metric.to_string());
        if rungs.goes_on(index, report.epoch, report.epochs, value) {
            Answer::Continue
        } else {
            Answer::Prune
        }
    }

    /// Takes in what a run that is not this sweep's came to at the rungs.
    fn note_history(&mut self, index: usize) {
        let Some(rungs) = &mut self.rungs else { return };
        let member = &self.plan.members[index];
        let run = RunDirectory::open(self.plan.directory.join(&member.id));
        // Without a history there is nothing to compare by.
        let Ok(history) = run.and_then(|run| run.read_history()) else { return };
        for row in &history.rows {
            rungs.goes_on(index, row.epoch, member.epochs, rungs.config.metric.of(row));
        }
    }

    fn end(&mut self, index: usize, outcome: Outcome, by: By) {
        self.watcher.event(Event::Ended(index, &outcome, by));
        if outcome.is_failure() && self.options.fail_fast {
            self.stop_all();
        }
        self.outcomes[index] = Some((outcome, by));
    }

    /// Begins no run any more and lets those that go finish their step.
    fn stop_all(&mut self) {
        self.stopping = true;
        self.running.values_mut().for_each(Process::stop);
    }
}
