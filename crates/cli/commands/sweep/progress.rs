use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kiln_store::{duration, printable};
use kiln_sweep::{
    CompletedBy, DifferingKey, EpochReport, Event, Plan, PlannedRun, RunOutcome, StepReport,
    Watcher,
};
use kiln_train::MetricName;

use crate::commands::sweep::control::HasRuns;
use crate::output::{count, status};

/// Shows the progress of a sweep on standard error: a line for each run that has ended, and on a terminal also a bar
/// for each running one and a line for the sweep. Runs are indices into the plan.
pub(crate) struct SweepProgress<'a> {
    plan: &'a Plan,
    /// The keys whose values identify a run.
    keys: Vec<DifferingKey>,
    quiet: bool,
    /// Set before the first run is started.
    has_runs: HasRuns,
    /// The lines that change in place, on a terminal.
    live: Option<LiveLines>,
    running: BTreeMap<usize, RunningRun>,
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
    /// The total weight of the runs that this sweep trains.
    total_weight: u64,
    /// The weight of those that have ended.
    done_weight: u64,
}

struct LiveLines {
    lines: MultiProgress,
    total: ProgressBar,
}

struct RunningRun {
    started: Instant,
    bar: Option<ProgressBar>,
    /// The completed share of the run, from 0 to 1.
    share: f64,
    /// The value of the sweep's metric in the last epoch.
    value: Option<f64>,
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
            live,
            running: BTreeMap::new(),
            ended: 0,
            failed: 0,
            diverged: 0,
            metric: plan.prune.map_or(MetricName::VAL_ACCURACY, |prune| prune.metric),
            best: None,
            started: Instant::now(),
            has_reported_waiting: false,
            total_weight: plan.runs.iter().map(PlannedRun::weight).sum(),
            done_weight: 0,
        }
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

    /// Prints a line that stays, above the changing lines.
    fn print(&self, text: &str) {
        match &self.live {
            Some(live) => live.lines.suspend(|| status(text)),
            None => status(text),
        }
    }

    fn run_starting(&mut self, run: usize) {
        let bar = self.live.as_ref().map(|live| {
            let bar = live.lines.insert_before(&live.total, ProgressBar::new(1000));
            bar.set_style(style("{bar:12.cyan/blue} {wide_msg}"));
            bar.set_message(format!("starting  {}", self.label(run)));
            bar
        });
        let running = RunningRun { started: Instant::now(), bar, share: 0.0, value: None };
        self.running.insert(run, running);
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
        let elapsed = running.started.elapsed().as_secs_f64();
        let left = elapsed * (1.0 - running.share) / running.share.max(1e-6);
        // The label comes last, because a line that is too long is cut at its end.
        bar.set_message(format!(
            "epoch {}/{}{value}  {} left  {label}",
            report.epoch,
            report.epochs,
            duration(left)
        ));
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

    fn run_ended(&mut self, run: usize, outcome: &RunOutcome, by: CompletedBy) {
        self.ended += 1;
        self.failed += usize::from(outcome.is_failure());
        self.diverged += usize::from(outcome.is_diverged());
        let weight = self.plan.runs[run].weight();
        let running = self.running.remove(&run);
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
        let is_hidden = self.quiet && !outcome.is_failure();
        if !is_old_success && !is_hidden {
            self.print(&self.line_of_ended(run, outcome, by, running.as_ref()));
        }
        self.draw_total();
    }

    /// `[ 3/48] learning_rate=0.1 seed=1  finished  val_accuracy 0.8937  in 3.2 s  4f1d2c…`, and the log of a failed
    /// run.
    fn line_of_ended(
        &self,
        run: usize,
        outcome: &RunOutcome,
        by: CompletedBy,
        running: Option<&RunningRun>,
    ) -> String {
        let runs = self.plan.runs.len();
        let width = runs.to_string().len();
        let place = format!("[{:>width$}/{runs}]", self.ended);
        let mut line = format!("{place} {}  {}", self.label(run), outcome_text(outcome));
        if let Some(running) = running {
            line.push_str(&value_text(self.metric, running.value));
            line.push_str(&format!("  in {}", duration(running.started.elapsed().as_secs_f64())));
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
        let runs = self.plan.runs.len();
        let running = self.running.len();
        let mut line = format!("{} of {runs} done", self.ended - self.failed - self.diverged);
        for (number, what) in [(self.diverged, "diverged"), (self.failed, "failed")] {
            if number > 0 {
                line.push_str(&format!(", {number} {what}"));
            }
        }
        let to_do = runs - self.ended - running;
        line.push_str(&format!(", {running} running, {to_do} to do"));
        if let Some(left) = self.seconds_left() {
            line.push_str(&format!("  about {} left", duration(left)));
        }
        if let Some((value, run)) = self.best {
            line.push_str(&format!("  best {} {value:.4} ({})", self.metric, self.label(run)));
        }
        live.total.set_message(line);
    }

    /// The remaining seconds, if the rest is trained at the speed so far. `None` while too little is done for an estimate.
    fn seconds_left(&self) -> Option<f64> {
        let running: f64 = self
            .running
            .iter()
            .map(|(run, running)| running.share * self.plan.runs[*run].weight() as f64)
            .sum();
        let done = self.done_weight as f64 + running;
        let share = done / (self.total_weight as f64).max(1.0);
        let elapsed = self.started.elapsed().as_secs_f64();
        (share > 0.005).then(|| elapsed * (1.0 - share).max(0.0) / share)
    }

    /// The settings in which a run differs from the others, such as `learning_rate=0.1 seed=1`.
    fn label(&self, run: usize) -> String {
        let run = &self.plan.runs[run];
        let settings = self.keys.iter().filter_map(|key| {
            let value = run.setting(&key.path)?.value.value_text();
            Some(format!("{}={}", key.label, short(&value)))
        });
        let settings: Vec<String> = settings.collect();
        if settings.is_empty() { self.plan.name.clone() } else { settings.join(" ") }
    }

    fn waiting(&mut self, locked_elsewhere: usize) {
        if self.running.is_empty() && locked_elsewhere > 0 && !self.has_reported_waiting {
            self.has_reported_waiting = true;
            if !self.quiet {
                let runs = count(locked_elsewhere, "run");
                self.print(&format!("waiting for {runs} that another sweep is training"));
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
            Event::Starting(run) => self.run_starting(run),
            Event::Step(run, report) => self.step_completed(run, report),
            Event::Epoch(run, report) => self.epoch_completed(run, report),
            Event::Ended(run, outcome, by) => self.run_ended(run, outcome, by),
            Event::Idle(locked_elsewhere) => self.waiting(locked_elsewhere),
            Event::Warning(run, text) => {
                if !self.quiet {
                    self.print(&format!("warning: {}: {}", self.label(run), printable(text)));
                }
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

/// `  val_accuracy 0.8937`, or nothing without a value.
fn value_text(metric: MetricName, value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("  {metric} {value:.4}"))
}

/// A value for a label: escaped, and cut if it is long.
fn short(value: &str) -> String {
    const MAX_CHARACTERS: usize = 32;
    let value = printable(value);
    if value.chars().count() <= MAX_CHARACTERS {
        return value.into_owned();
    }
    value.chars().take(MAX_CHARACTERS - 1).collect::<String>() + "…"
}

fn outcome_text(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Finished => "finished".to_owned(),
        RunOutcome::Pruned(epoch) => format!("pruned at epoch {epoch}"),
        RunOutcome::Diverged(reason) => format!("diverged: {}", printable(reason)),
        RunOutcome::Failed(failure) => format!("FAILED: {}", printable(&failure.reason)),
        RunOutcome::Interrupted => "interrupted".to_owned(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
