use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kiln_store::duration;
use kiln_sweep::{By, DifferingKey, EpochReport, Event, Outcome, Plan, StepReport, Watcher};

use crate::complain;

/// Shows a sweep on standard error: on a terminal a line for each run that goes and one for the
/// whole, else a line for each run that ends.
pub(crate) struct View<'a> {
    plan: &'a Plan,
    /// What tells the runs apart.
    keys: Vec<DifferingKey>,
    quiet: bool,
    has_runs: Arc<AtomicBool>,
    /// Where lines that change in place can be drawn.
    live: Option<Live>,
    running: BTreeMap<usize, Running>,
    ended: usize,
    failed: usize,
    /// The highest validation accuracy so far, and whose it is.
    best: Option<(f64, usize)>,
    begun: Instant,
    /// Whether it was said that the rest is another sweep's.
    has_told_of_others: bool,
    /// The members' weights: all that is to be run, and what of it is done.
    to_do: u64,
    done: u64,
}

struct Live {
    lines: MultiProgress,
    total: ProgressBar,
}

struct Running {
    begun: Instant,
    bar: Option<ProgressBar>,
    /// The share of its epochs that is done.
    share: f64,
    last: Option<EpochReport>,
}

impl<'a> View<'a> {
    /// `has_runs` is set when there are runs to wait for.
    pub(crate) fn new(quiet: bool, plan: &'a Plan, has_runs: Arc<AtomicBool>) -> Self {
        let live = (io::stderr().is_terminal() && !quiet).then(|| {
            let lines = MultiProgress::new();
            let total = lines.add(ProgressBar::new_spinner());
            total.set_style(style("{wide_msg}"));
            total.enable_steady_tick(Duration::from_secs(1));
            Live { lines, total }
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
            best: None,
            begun: Instant::now(),
            has_told_of_others: false,
            to_do: plan.members.iter().map(kiln_sweep::Member::weight).sum(),
            done: 0,
        }
    }

    /// Takes the lines that change off the terminal.
    pub(crate) fn close(&mut self) {
        for running in std::mem::take(&mut self.running).into_values() {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(live) = self.live.take() {
            live.total.finish_and_clear();
            // Nothing can be done for a terminal that is gone.
            let _ = live.lines.clear();
        }
    }

    /// Says something that stays.
    fn message(&self, text: &str) {
        match &self.live {
            Some(live) => live.lines.suspend(|| complain(text)),
            None => complain(text),
        }
    }

    fn started(&mut self, member: usize) {
        let bar = self.live.as_ref().map(|live| {
            let bar = live.lines.insert_before(&live.total, ProgressBar::new(1000));
            bar.set_style(style("{bar:12.cyan/blue} {wide_msg}"));
            bar.set_message(format!("starting  {}", self.label(member)));
            bar
        });
        self.running.insert(member, Running { begun: Instant::now(), bar, share: 0.0, last: None });
        self.draw_total();
    }

    fn step(&mut self, member: usize, report: StepReport) {
        let label = self.label(member);
        let Some(running) = self.running.get_mut(&member) else { return };
        let epochs = (report.epoch - 1) as f64 + report.step as f64 / report.steps.max(1) as f64;
        running.share = epochs / report.epochs.max(1) as f64;
        let Some(bar) = &running.bar else { return };
        bar.set_position((running.share * 1000.0) as u64);
        let accuracy = running.last.as_ref().and_then(|last| last.metric("val_accuracy"));
        let accuracy =
            accuracy.map_or_else(String::new, |value| format!("  val_accuracy {value:.4}"));
        let passed = running.begun.elapsed().as_secs_f64();
        let left = passed * (1.0 - running.share) / running.share.max(1e-6);
        // What does not fit the terminal is cut: the label comes last.
        bar.set_message(format!(
            "epoch {}/{}{accuracy}  {} left  {label}",
            report.epoch,
            report.epochs,
            duration(left)
        ));
        self.draw_total();
    }

    fn epoch(&mut self, member: usize, report: &EpochReport) {
        if let Some(value) = report.metric("val_accuracy")
            && self.best.is_none_or(|(best, _)| value > best)
        {
            self.best = Some((value, member));
        }
        if let Some(running) = self.running.get_mut(&member) {
            running.share = report.epoch as f64 / report.epochs.max(1) as f64;
            running.last = Some(report.clone());
        }
    }

    fn ended(&mut self, member: usize, outcome: &Outcome, by: By) {
        self.ended += 1;
        self.failed += usize::from(outcome.is_failure());
        let weight = self.plan.members[member].weight();
        let running = self.running.remove(&member);
        if by == By::Here {
            self.done += weight;
        } else {
            self.to_do = self.to_do.saturating_sub(weight);
        }
        if let Some(bar) = running.as_ref().and_then(|running| running.bar.as_ref()) {
            bar.finish_and_clear();
        }
        if by == By::Earlier && !outcome.is_failure() {
            // Said in sum, at the end.
            return self.draw_total();
        }
        if self.quiet && !outcome.is_failure() {
            return;
        }
        let members = self.plan.members.len();
        let width = members.to_string().len();
        let place = format!("[{:>width$}/{members}]", self.ended);
        let mut line = format!("{place} {}  {}", self.label(member), in_words(outcome));
        if let Some(running) = running {
            let accuracy = running.last.as_ref().and_then(|last| last.metric("val_accuracy"));
            if let Some(accuracy) = accuracy {
                line.push_str(&format!("  val_accuracy {accuracy:.4}"));
            }
            line.push_str(&format!("  in {}", duration(running.begun.elapsed().as_secs_f64())));
        }
        match by {
            By::Here => {}
            By::Elsewhere => line.push_str("  (in another sweep)"),
            By::Earlier => line.push_str("  (in an earlier sweep)"),
        }
        line.push_str(&format!("  {}", self.plan.members[member].id));
        if let Outcome::Failed(failure) | Outcome::Diverged(failure) = outcome {
            for words in &failure.log {
                line.push_str(&format!("\n    | {}", kiln_store::printable(words)));
            }
        }
        self.message(&line);
        self.draw_total();
    }

    /// The line of the whole sweep.
    fn draw_total(&self) {
        let Some(live) = &self.live else { return };
        let members = self.plan.members.len();
        let running = self.running.len();
        let mut line = format!(
            "{} of {members} done, {} failed, {running} running, {} to go",
            self.ended - self.failed,
            self.failed,
            members - self.ended - running
        );
        if let Some(left) = self.time_left() {
            line.push_str(&format!("  about {} left", duration(left)));
        }
        if let Some((value, member)) = self.best {
            line.push_str(&format!("  best val_accuracy {value:.4} ({})", self.label(member)));
        }
        live.total.set_message(line);
    }

    /// Seconds, if the rest goes as what is done has gone.
    fn time_left(&self) -> Option<f64> {
        let going: f64 = self
            .running
            .iter()
            .map(|(member, running)| running.share * self.plan.members[*member].weight() as f64)
            .sum();
        let done = self.done as f64 + going;
        let share = done / (self.to_do as f64).max(1.0);
        (share > 0.005).then(|| self.begun.elapsed().as_secs_f64() * (1.0 - share).max(0.0) / share)
    }

    /// What tells a run from the others, in short.
    fn label(&self, member: usize) -> String {
        let member = &self.plan.members[member];
        let words = self.keys.iter().filter_map(|key| {
            let value = member.change(&key.path)?.value.value_text();
            Some(format!("{}={}", key.label, short(&value)))
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { self.plan.name.clone() } else { words.join(" ") }
    }
}

/// A value, cut where it is long and safe to be shown.
fn short(value: &str) -> String {
    const LONGEST: usize = 32;
    let value = kiln_store::printable(value);
    if value.chars().count() <= LONGEST {
        return value.into_owned();
    }
    value.chars().take(LONGEST - 1).collect::<String>() + "…"
}

fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => "finished".to_owned(),
        Outcome::Pruned(epoch) => format!("pruned at epoch {epoch}"),
        Outcome::Diverged(failure) => {
            format!("DIVERGED: {}", kiln_store::printable(&failure.reason))
        }
        Outcome::Failed(failure) => format!("FAILED: {}", kiln_store::printable(&failure.reason)),
        Outcome::Interrupted => "interrupted".to_owned(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Watcher for View<'_> {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Started(_) | Event::Idle(_)) {
            self.has_runs.store(true, Ordering::Relaxed);
        }
        match event {
            Event::Started(member) => self.started(member),
            Event::Step(member, report) => self.step(member, report),
            Event::Remark(member, words) => {
                if !self.quiet {
                    self.message(&format!(
                        "{}: {}",
                        self.label(member),
                        kiln_store::printable(words)
                    ));
                }
            }
            Event::Lost(member, error) => {
                if let Some(bar) = self.running.remove(&member).and_then(|running| running.bar) {
                    bar.finish_and_clear();
                }
                self.message(&format!("{}: {error}", self.label(member)));
            }
            Event::Epoch(member, report) => self.epoch(member, report),
            Event::Ended(member, outcome, by) => self.ended(member, outcome, by),
            Event::Idle(elsewhere) => {
                if self.running.is_empty() && elsewhere > 0 && !self.has_told_of_others {
                    self.has_told_of_others = true;
                    if !self.quiet {
                        let runs = if elsewhere == 1 { "run" } else { "runs" };
                        self.message(&format!("waiting for {elsewhere} {runs} of another sweep"));
                    }
                }
                self.draw_total();
            }
        }
    }
}
