use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use kiln_store::{RunRecord, printable};
use kiln_train::{EpochEnd, Observer, Progress, Stop};

use crate::complain;
use crate::signals::{self, Asked, Signalled};

/// Steps between two redrawings of the bar's numbers: drawing must not slow the training.
const REDRAW: usize = 16;

/// Shows the training on standard error: a bar for each epoch on a terminal, else a line.
pub(crate) struct Reporter {
    quiet: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    signalled: Arc<Signalled>,
    /// Whether a checkpoint is wanted.
    checkpoint: Arc<AtomicBool>,
}

impl Reporter {
    /// For a run that leaves checkpoints.
    pub(crate) fn of_run(quiet: bool) -> io::Result<Self> {
        Self::new(quiet, move || {
            if !quiet {
                complain("stopped at once; kiln resume goes on from the last checkpoint");
            }
        })
    }

    /// Begins to listen for Ctrl-C and its like, too: the first ends the run after its step, a
    /// second at once, but for what `at_once` does.
    pub(crate) fn new(quiet: bool, at_once: impl Fn() + Send + 'static) -> io::Result<Self> {
        let checkpoint = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&checkpoint);
        let signalled = signals::listen(move |asked| match asked {
            Asked::Checkpoint => wanted.store(true, Ordering::Relaxed),
            Asked::End(1, _) if quiet => {}
            Asked::End(1, _) => complain("\nstopping; once more to stop at once"),
            Asked::End(_, status) => {
                at_once();
                status.exit()
            }
        })?;
        let terminal = io::stderr().is_terminal();
        Ok(Self { quiet, terminal, bar: None, signalled, checkpoint })
    }

    /// The exit status of a run that was interrupted.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.signalled.exit_code()
    }

    pub(crate) fn begin(&self, record: &RunRecord) {
        let data = &record.dataset;
        self.message(&format!(
            "{} {}: {} parameters, {} training, {} validation and {} test images of {}, seed {}",
            record.name,
            record.id,
            record.parameters,
            data.training_rows,
            data.validation_rows,
            data.test_rows,
            printable(&data.name),
            record.seed
        ));
    }

    /// Takes the bar off the terminal.
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn message(&self, text: &str) {
        if !self.quiet {
            complain(text);
        }
    }
}

impl Observer for Reporter {
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        if self.terminal && !self.quiet {
            let bar = self.bar.get_or_insert_with(|| new_bar(progress.steps));
            if progress.step.is_multiple_of(REDRAW) || progress.step == progress.steps {
                bar.set_prefix(format!("Epoch {}/{}", progress.epoch, progress.epochs));
                let value = |name| progress.metrics.value(name).map_or_else(String::new, short);
                bar.set_message(format!("loss {}, accuracy {}", value("loss"), value("accuracy")));
                bar.set_position(progress.step as u64);
            }
        }
        if self.signalled.ends() {
            self.clear();
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }

    fn wants_checkpoint(&mut self) -> bool {
        let wanted = self.checkpoint.swap(false, Ordering::Relaxed);
        if wanted {
            self.message("writing a checkpoint");
        }
        wanted
    }

    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        self.clear();
        self.message(&line(&end));
        if self.signalled.ends() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

/// `Epoch  1/10  1719 steps in 1.3 s  loss 0.7214  accuracy 0.7631  val_loss …`
fn line(end: &EpochEnd<'_>) -> String {
    let row = end.row;
    let mut line = format!(
        "Epoch {:>width$}/{}  {} steps in {:.1} s",
        row.epoch,
        end.epochs,
        end.steps,
        row.seconds,
        width = end.epochs.to_string().len()
    );
    for (name, value) in &row.metrics {
        line.push_str(&format!("  {name} {}", short(*value)));
    }
    if end.best {
        line.push_str("  best");
    }
    line
}

/// Four decimals, with an exponent where a loss has grown beyond reading.
fn short(value: f64) -> String {
    if value.abs() < 1e6 { format!("{value:.4}") } else { format!("{value:.4e}") }
}

/// A terminal narrower than this has no room for a bar beside its numbers.
const BAR_WIDTH: u16 = 90;

fn new_bar(steps: usize) -> ProgressBar {
    let width = terminal_size_of_stderr();
    let template = if width < BAR_WIDTH {
        "{prefix}  {pos}/{len}  eta {eta}  {wide_msg}"
    } else {
        "{prefix}  {wide_bar:.cyan/blue} {pos}/{len}  {elapsed} (eta {eta})  {msg}"
    };
    let bar = ProgressBar::new(steps as u64);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn terminal_size_of_stderr() -> u16 {
    terminal_size::terminal_size_of(io::stderr()).map_or(BAR_WIDTH, |(width, _)| width.0)
}
