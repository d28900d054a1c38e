use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kiln_store::{duration, printable, quoted};
use kiln_sweep::{
    CompletedBy, DifferingKey, EpochReport, Event, Plan, RunOutcome, StepReport, Watcher,
};
use kiln_train::MetricName;

use crate::commands::sweep::control::HasRuns;
use crate::commands::sweep::lines::INDENT;
use crate::commands::sweep::race;
use crate::output::{columns, count, status};
use crate::wrapping::{cut, wrapped};

/// Shows the progress of a sweep on standard error: a line for each run that has ended, and on a terminal also a bar
/// for each running one and a line for the sweep. Runs are indices into the plan.
pub(crate) struct SweepProgress<'a> {
    plan: &'a Plan,
    /// The keys whose values identify a run.
    keys: Vec<DifferingKey>,
    quiet: bool,
    trainer: Trainer,
    /// Set before the first run is started.
    has_runs: HasRuns,
    /// The lines that change in place, on a terminal.
    live: Option<LiveLines>,
    running: BTreeMap<usize, RunningRun>,
    paused: BTreeMap<usize, RunningRun>,
    /// The number of runs that the sweep needs so far.
    needed: usize,
    ended: usize,
    failed: usize,
    diverged: usize,
    /// The metric to show: the one that `[prune]` compares, or the validation accuracy.
    metric: MetricName,
    /// The best value of the metric so far and its run.
    best: Option<(f64, usize)>,
    started: Instant,
    /// Whether the user was informed that other sweeps train the remaining runs.
    has_reported_waiting: bool,
    /// The problems of the data that were printed, without their numbers: splits of other seeds have other numbers.
    data_warnings: BTreeSet<String>,
    /// The total weight of the runs that this sweep trains.
    total_weight: u64,
    /// The weight of those that have ended.
    done_weight: u64,
}

/// How long a queue may take to start workers although it has room for them.
const SCHEDULING: Duration = Duration::from_secs(5);

/// Which process trains the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trainer {
    /// This one.
    This,
    /// This one, as one of several workers. The runs of the others are left to their own reports.
    OneOfSeveral,
    /// Workers that were submitted to a queue.
    Submitted,
}

struct LiveLines {
    lines: MultiProgress,
    total: ProgressBar,
}

struct RunningRun {
    /// `None` while the run is paused.
    started: Option<Instant>,
    /// The time until it was paused the last time.
    before: Duration,
    bar: Option<ProgressBar>,
    /// The completed share of the run, from 0 to 1.
    share: f64,
    /// The value of the sweep's metric in the last epoch.
    value: Option<f64>,
}

impl RunningRun {
    fn elapsed(&self) -> Duration {
        self.before + self.started.map_or(Duration::ZERO, |started| started.elapsed())
    }
}

impl<'a> SweepProgress<'a> {
    pub(crate) fn new(quiet: bool, plan: &'a Plan, has_runs: HasRuns) -> Self {
        let live = (io::stderr().is_terminal() && !quiet).then(|| {
            let lines = MultiProgress::new();
            let total = lines.add(ProgressBar::new_spinner());
            total.set_style(style("{wide_msg}"));
            total.enable_steady_tick(Duration::from_secs(1));
            LiveLines { lines, total }
        });
        Self {
            plan,
            has_runs,
            keys: plan.differing_keys(),
            quiet,
            trainer: Trainer::This,
            live,
            running: BTreeMap::new(),
            paused: BTreeMap::new(),
            needed: 0,
            ended: 0,
            failed: 0,
            diverged: 0,
            metric: plan.prune.map_or(MetricName::VAL_ACCURACY, |prune| prune.metric),
            best: None,
            started: Instant::now(),
            has_reported_waiting: false,
            data_warnings: BTreeSet::new(),
            total_weight: 0,
            done_weight: 0,
        }
    }

    /// The progress of one of several workers.
    pub(crate) fn of_worker(quiet: bool, plan: &'a Plan) -> Self {
        Self { trainer: Trainer::OneOfSeveral, ..Self::new(quiet, plan, HasRuns::default()) }
    }

    /// The progress of workers that were submitted to a queue.
    pub(crate) fn of_submitted(quiet: bool, plan: &'a Plan, has_runs: HasRuns) -> Self {
        Self { trainer: Trainer::Submitted, ..Self::new(quiet, plan, has_runs) }
    }

    /// Removes the changing lines from the terminal.
    pub(crate) fn close(&mut self) {
        for running in std::mem::take(&mut self.running).into_values() {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(live) = self.live.take() {
            live.total.finish_and_clear();
            // Clearing fails if the terminal is gone, and then there is nothing to clear.
            let _ = live.lines.clear();
        }
    }

    /// Prints a problem of the data, unless another run has reported it.
    fn data_warning(&mut self, run: usize, text: &str) {
        let without_numbers = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        let is_first = self.data_warnings.is_empty();
        if !self.data_warnings.insert(without_numbers) || self.quiet {
            return;
        }
        self.print(&format!("warning: data: {}", printable(text)));
        if is_first {
            let source = quoted(&self.plan.runs[run].experiment.data.source);
            self.print(&format!("help: for examples and what to do: kiln data check {source}"));
        }
    }

    /// Prints a line that stays, above the changing lines.
    fn print(&self, text: &str) {
        let width = columns(io::stderr());
        let lines: Vec<String> = text.lines().map(|line| wrapped(line, width, INDENT)).collect();
        let text = &lines.join("\n");
        match &self.live {
            Some(live) => live.lines.suspend(|| status(text)),
            None => status(text),
        }
    }

    fn run_starting(&mut self, run: usize) {
        let bar = self.live.as_ref().map(|live| {
            let bar = live.lines.insert_before(&live.total, ProgressBar::new(1000));
            bar.set_style(style(&format!("{{bar:{BAR_WIDTH}.cyan/blue}} {{wide_msg}}")));
            bar.set_message(with_label("starting", &self.label(run), BAR_WIDTH + 1));
            bar
        });
        let (before, share, value) = match self.paused.remove(&run) {
            Some(RunningRun { before, share, value, .. }) => (before, share, value),
            None => (Duration::ZERO, 0.0, None),
        };
        self.running
            .insert(run, RunningRun { started: Some(Instant::now()), before, bar, share, value });
        self.draw_total();
    }

    fn step_completed(&mut self, run: usize, report: StepReport) {
        let label = self.label(run);
        let Some(running) = self.running.get_mut(&run) else { return };
        let epochs = (report.epoch - 1) as f64 + report.step as f64 / report.steps.max(1) as f64;
        running.share = epochs / report.epochs.max(1) as f64;
        let Some(bar) = &running.bar else { return };
        bar.set_position((running.share * 1000.0) as u64);
        let value = value_text(self.metric, running.value);
        let elapsed = running.elapsed().as_secs_f64();
        let left = elapsed * (1.0 - running.share) / running.share.max(1e-6);
        let numbers =
            format!("epoch {}/{}{value}  {} left", report.epoch, report.epochs, duration(left));
        bar.set_message(with_label(&numbers, &label, BAR_WIDTH + 1));
        self.draw_total();
    }

    fn epoch_completed(&mut self, run: usize, report: &EpochReport) {
        if let Some(running) = self.running.get_mut(&run) {
            running.share = report.epoch as f64 / report.epochs.max(1) as f64;
            running.value = report.metric(self.metric);
        }
        if let Some(value) = report.metric(self.metric)
            && self.best.is_none_or(|(best, _)| self.metric.better().improves(value, best, 0.0))
        {
            self.best = Some((value, run));
        }
    }

    fn run_paused(&mut self, run: usize) {
        if let Some(mut running) = self.running.remove(&run) {
            if let Some(bar) = running.bar.take() {
                bar.finish_and_clear();
            }
            (running.before, running.started) = (running.elapsed(), None);
            self.paused.insert(run, running);
        }
        self.draw_total();
    }

    fn run_ended(&mut self, run: usize, outcome: &RunOutcome, by: CompletedBy) {
        self.ended += 1;
        self.failed += usize::from(outcome.is_failure());
        self.diverged += usize::from(outcome.is_diverged());
        let weight = self.plan.runs[run].weight();
        let running = self.running.remove(&run).or_else(|| self.paused.remove(&run));
        if by == CompletedBy::ThisSweep {
            self.done_weight += weight;
        } else {
            self.total_weight = self.total_weight.saturating_sub(weight);
        }
        if let Some(bar) = running.as_ref().and_then(|running| running.bar.as_ref()) {
            bar.finish_and_clear();
        }
        // Runs that were complete before would fill the screen. The summary at the end counts them.
        let is_old = matches!(by, CompletedBy::EarlierSweep | CompletedBy::OtherRun);
        let is_old_success = is_old && !outcome.is_failure();
        // Each of the workers that share a sweep reports what it has done itself.
        let is_of_others = self.trainer == Trainer::OneOfSeveral && by == CompletedBy::AnotherSweep;
        // The summary also counts the runs that wait.
        let is_hidden = self.quiet && !outcome.is_failure() || *outcome == RunOutcome::Waiting;
        if !is_old_success && !is_hidden && !is_of_others {
            self.print(&self.line_of_ended(run, outcome, by, running.as_ref()));
        }
        self.draw_total();
    }

    /// `[ 3/48] learning_rate=0.1 seed=1  finished  last val_accuracy 0.8937  in 3.2 s  4f1d2c…`, and the log of a
    /// failed run.
    fn line_of_ended(
        &self,
        run: usize,
        outcome: &RunOutcome,
        by: CompletedBy,
        running: Option<&RunningRun>,
    ) -> String {
        let runs = self.needed + self.plan.runs_to_draw();
        let width = runs.to_string().len();
        let place = format!("[{:>width$}/{runs}]", self.ended);
        let mut line = format!("{place} {}  {}", self.label(run), outcome_text(outcome));
        if let Some(running) = running {
            // The kept weights may be those of an earlier epoch.
            if let Some(value) = running.value {
                line.push_str(&format!("  last {} {value:.4}", self.metric));
            }
            line.push_str(&format!("  in {}", duration(running.elapsed().as_secs_f64())));
        }
        match by {
            // A reused run is a success, which has no line.
            CompletedBy::ThisSweep | CompletedBy::OtherRun => {}
            CompletedBy::AnotherSweep => line.push_str("  (in another sweep)"),
            CompletedBy::EarlierSweep => line.push_str("  (in an earlier sweep)"),
        }
        line.push_str(&format!("  {}", self.plan.runs[run].id));
        if let RunOutcome::Failed(failure) = outcome {
            for log_line in &failure.log {
                line.push_str(&format!("\n    | {}", printable(log_line)));
            }
        }
        line
    }

    /// Updates the line of the sweep.
    fn draw_total(&self) {
        let Some(live) = &self.live else { return };
        let runs = self.needed + self.plan.runs_to_draw();
        let running = self.running.len();
        let mut line = format!("{} of {runs} done", self.ended - self.failed - self.diverged);
        for (number, what) in [(self.diverged, "diverged"), (self.failed, "failed")] {
            if number > 0 {
                line.push_str(&format!(", {number} {what}"));
            }
        }
        line.push_str(&format!(", {running} running"));
        if let Some(left) = self.seconds_left() {
            line.push_str(&format!("  about {} left", duration(left)));
        }
        if let Some((value, run)) = self.best {
            line.push_str(&format!("  best {value:.4}"));
            line = with_label(&line, &self.label(run), 0);
        }
        live.total.set_message(line);
    }

    /// The remaining seconds, if the rest is trained at the speed so far. `None` while too little is done for an estimate.
    fn seconds_left(&self) -> Option<f64> {
        if let Some(budget) = &self.plan.budget {
            return Some((budget.seconds - budget.used()).max(0.0));
        }
        // The runs of samples that are not drawn yet are about as long as the others.
        let all = (self.needed + self.plan.runs_to_draw()) as f64 / self.needed.max(1) as f64;
        let running: f64 = self
            .running
            .iter()
            .chain(&self.paused)
            .map(|(run, running)| running.share * self.plan.runs[*run].weight() as f64)
            .sum();
        let done = self.done_weight as f64 + running;
        let share = done / (self.total_weight as f64 * all).max(1.0);
        let elapsed = self.started.elapsed().as_secs_f64();
        (share > 0.005).then(|| elapsed * (1.0 - share).max(0.0) / share)
    }

    /// The settings in which a run differs from the others.
    fn label(&self, run: usize) -> String {
        super::label(self.plan, &self.keys, &self.plan.runs[run])
    }

    fn waiting(&mut self, locked_elsewhere: usize) {
        let is_starting = self.trainer == Trainer::Submitted && self.started.elapsed() < SCHEDULING;
        if self.running.is_empty()
            && locked_elsewhere > 0
            && !is_starting
            && !self.has_reported_waiting
        {
            self.has_reported_waiting = true;
            if !self.quiet {
                let runs = count(locked_elsewhere, "run");
                self.print(&match self.trainer {
                    Trainer::Submitted => {
                        let path = quoted(&self.plan.directory.display().to_string());
                        format!("{runs} waiting for workers; why they wait: kiln status {path}")
                    }
                    Trainer::OneOfSeveral => format!("waiting for {runs} of other workers"),
                    Trainer::This => format!("waiting for {runs} that another sweep is training"),
                });
            }
        }
        self.draw_total();
    }
}

impl Watcher for SweepProgress<'_> {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Starting(_) | Event::Idle(_)) {
            self.has_runs.set(true);
        }
        match event {
            Event::Needed(runs) => {
                // The first samples may have had values in common that the new ones do not have.
                self.keys = self.plan.differing_keys();
                self.needed += runs.len();
                let weights = runs.iter().map(|run| self.plan.runs[*run].weight());
                self.total_weight += weights.sum::<u64>();
            }
            Event::Look(state) => {
                if let Some(race) = self.plan.race.as_ref().filter(|_| !self.quiet) {
                    self.print(&race::look(race, state));
                }
            }
            Event::Submitting => self.has_runs.set_submitting(),
            Event::Starting(run) => self.run_starting(run),
            Event::Step(run, report) => self.step_completed(run, report),
            Event::Epoch(run, report) => self.epoch_completed(run, report),
            Event::Paused(run) => self.run_paused(run),
            Event::Ended(run, outcome, by) => self.run_ended(run, outcome, by),
            Event::Idle(locked_elsewhere) => self.waiting(locked_elsewhere),
            Event::Warning(run, text) => {
                if !self.quiet {
                    self.print(&format!("warning: {}: {}", self.label(run), printable(text)));
                }
            }
            Event::DataWarning(run, text) => self.data_warning(run, text),
            Event::NoSample(error) => {
                self.print(&format!("warning: cannot draw another sample: {error}"));
            }
            Event::Lost(run, error) => {
                if let Some(bar) = self.running.remove(&run).and_then(|running| running.bar) {
                    bar.finish_and_clear();
                }
                self.print(&format!("warning: {}: {error}", self.label(run)));
            }
        }
    }
}

/// The width of the bar of a run.
const BAR_WIDTH: usize = 12;

/// Numbers and as much of a label as fits next to them, after `used` columns.
fn with_label(numbers: &str, label: &str, used: usize) -> String {
    let width = columns(io::stderr()).unwrap_or(usize::MAX);
    let label = cut(label, width.saturating_sub(used + numbers.chars().count() + 2));
    format!("{numbers}  {label}").trim_end().to_owned()
}

/// `  val_accuracy 0.8937`, or nothing without a value.
fn value_text(metric: MetricName, value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("  {metric} {value:.4}"))
}

fn outcome_text(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Finished => "finished".to_owned(),
        RunOutcome::Pruned(epoch) => format!("pruned at epoch {epoch}"),
        RunOutcome::Diverged(reason) => format!("diverged: {}", printable(reason)),
        RunOutcome::Failed(failure) => format!("FAILED: {}", printable(&failure.reason)),
        RunOutcome::Interrupted => "interrupted".to_owned(),
        RunOutcome::Waiting => "waiting".to_owned(),
        RunOutcome::OutOfTime => "stopped by the budget".to_owned(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
