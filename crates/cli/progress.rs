use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use kiln_store::{RunRecord, printable};
use kiln_train::{EpochEnd, Observer, Progress, Stop};
use unicode_width::UnicodeWidthStr;

use crate::output::{columns, status};
use crate::signals::{self, SignalRequest, StopSignal};
use crate::wrapping::wrapped;

/// Steps between two updates of the progress bar. Drawing more often would slow down the training.
const STEPS_PER_UPDATE: usize = 16;

/// Shows the progress of a run on standard error: a bar during each epoch, if standard error is a terminal,
/// and a line after each epoch.
pub(crate) struct ProgressReporter {
    quiet: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    stop_signal: Arc<StopSignal>,
    /// Whether a signal asked for a checkpoint.
    checkpoint: Arc<AtomicBool>,
    /// The command that resumes the run, once it is known.
    resume_command: Arc<OnceLock<String>>,
}

impl ProgressReporter {
    /// A reporter for a run that writes checkpoints.
    pub(crate) fn for_run(quiet: bool) -> io::Result<Self> {
        let resume_command = Arc::new(OnceLock::<String>::new());
        let shared = Arc::clone(&resume_command);
        let reporter = Self::new(quiet, move || match shared.get() {
            _ if quiet => {}
            Some(command) => {
                status(format_args!("stopped; to resume from the last checkpoint: {command}"));
            }
            None => status("stopped before the run started"),
        })?;
        Ok(Self { resume_command, ..reporter })
    }

    /// Starts to handle signals. The first Ctrl-C stops the run after its current step, the second one calls
    /// `before_exit` and exits. Other signals that end a process are treated in the same way.
    pub(crate) fn new(quiet: bool, before_exit: impl Fn() + Send + 'static) -> io::Result<Self> {
        let checkpoint = Arc::new(AtomicBool::new(false));
        let requested = Arc::clone(&checkpoint);
        let stop_signal = signals::listen(move |request| match request {
            SignalRequest::Checkpoint => requested.store(true, Ordering::Relaxed),
            SignalRequest::Stop { count: 1, .. } if quiet => {}
            SignalRequest::Stop { count: 1, .. } => {
                status("\nstopping after this step; press Ctrl-C again to stop immediately");
            }
            SignalRequest::Stop { status, .. } => {
                before_exit();
                status.exit()
            }
        })?;
        let terminal = io::stderr().is_terminal();
        let resume_command = Arc::default();
        Ok(Self { quiet, terminal, bar: None, stop_signal, checkpoint, resume_command })
    }

    /// Sets the command that is shown if the run is stopped by a second Ctrl-C.
    pub(crate) fn set_resume_command(&self, command: &str) {
        // The command is set once for each run, and a reporter has one run.
        let _ = self.resume_command.set(command.to_owned());
    }

    /// The exit status of an interrupted run.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.stop_signal.exit_code()
    }

    /// Shows the size of the network and of the data.
    pub(crate) fn start(&self, record: &RunRecord) {
        let data = &record.dataset;
        let text = format!(
            "{} {}: {} parameters, {} training, {} validation and {} test images of {}, seed {}",
            record.name,
            record.id,
            record.parameters,
            data.training_rows,
            data.validation_rows,
            data.test_rows,
            printable(&data.name),
            record.seed
        );
        self.status(&wrapped(&text, columns(io::stderr()), 2));
    }

    /// Removes the bar from the terminal.
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn status(&self, text: &str) {
        if !self.quiet {
            status(text);
        }
    }
}

impl Observer for ProgressReporter {
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        if self.terminal && !self.quiet {
            let bar = self.bar.get_or_insert_with(|| new_bar(progress.steps));
            if progress.step.is_multiple_of(STEPS_PER_UPDATE) || progress.step == progress.steps {
                // On a GPU, there are none for the first steps.
                let value = |name| Some(format!("{name} {}", short(progress.metrics.value(name)?)));
                let numbers: Vec<String> =
                    ["loss", "accuracy"].into_iter().filter_map(value).collect();
                let numbers = numbers.join(", ");
                let epoch = format!("Epoch {}/{}", progress.epoch, progress.epochs);
                bar.set_position(progress.step as u64);
                match columns(io::stderr()) {
                    Some(columns) if columns < MIN_BAR_WIDTH => {
                        let position = format!("{}/{}", progress.step, progress.steps);
                        let remaining = format!("eta {:#}", HumanDuration(bar.eta()));
                        bar.set_message(fitting([epoch, position, remaining, numbers], columns));
                    }
                    _ => {
                        bar.set_prefix(epoch);
                        bar.set_message(numbers);
                    }
                }
            }
        }
        if self.stop_signal.is_received() {
            self.clear();
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }

    fn wants_checkpoint(&mut self) -> bool {
        let is_requested = self.checkpoint.swap(false, Ordering::Relaxed);
        if is_requested {
            self.status("writing a checkpoint");
        }
        is_requested
    }

    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        self.clear();
        self.status(&epoch_line(&end, columns(io::stderr())));
        if self.stop_signal.is_received() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

/// `Epoch  1/10  1719 steps in 1.3 s  loss 0.7214  accuracy 0.7631  val_loss …`, in lines of at most this many columns.
fn epoch_line(end: &EpochEnd<'_>, columns: Option<usize>) -> String {
    let row = end.row;
    let width = end.epochs.to_string().len();
    let epoch = format!("Epoch {:>width$}/{}", row.epoch, end.epochs);
    let indent = epoch.len() + 2;
    let mut parts = vec![epoch, format!("{} steps in {:.1} s", end.steps, row.seconds)];
    parts.extend(row.metrics.iter().map(|(name, value)| format!("{name} {}", short(*value))));
    if end.best {
        parts.push("best".to_owned());
    }
    wrapped(&parts.join("  "), columns, indent)
}

/// The epoch, the steps, the remaining time and the numbers of a running epoch, without the remaining time or the steps if
/// they do not fit.
fn fitting([epoch, steps, remaining, numbers]: [String; 4], columns: usize) -> String {
    let all = format!("{epoch}  {steps}  {remaining}  {numbers}");
    let shorter = [format!("{epoch}  {steps}  {numbers}"), format!("{epoch}  {numbers}")];
    let fits = |text: &String| text.width() <= columns;
    std::iter::once(all).chain(shorter).find(fits).unwrap_or(numbers)
}

/// Formats a number with four decimals, and with an exponent if it is very large, as a diverging loss may be.
fn short(value: f64) -> String {
    if value.abs() < 1e6 { format!("{value:.4}") } else { format!("{value:.4e}") }
}

/// A terminal with fewer columns than this shows numbers without a bar.
const MIN_BAR_WIDTH: usize = 90;

fn new_bar(steps: usize) -> ProgressBar {
    let is_narrow = columns(io::stderr()).is_some_and(|columns| columns < MIN_BAR_WIDTH);
    let template = if is_narrow {
        "{wide_msg}"
    } else {
        "{prefix}  {wide_bar:.cyan/blue} {pos}/{len}  {elapsed} (eta {eta})  {msg}"
    };
    let bar = ProgressBar::new(steps as u64);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use kiln_store::EpochRow;

    use super::*;

    fn line(
        epoch: usize,
        epochs: usize,
        metrics: &[(&str, f64)],
        columns: Option<usize>,
    ) -> String {
        let metrics = metrics.iter().map(|(name, value)| ((*name).into(), *value)).collect();
        let row = EpochRow { epoch, learning_rate: 0.1, seconds: 0.31, metrics };
        epoch_line(&EpochEnd { row: &row, epochs, steps: 1719, best: true }, columns)
    }

    const USUAL: [(&str, f64); 4] =
        [("loss", 0.8194), ("accuracy", 0.7203), ("val_loss", 0.5601), ("val_accuracy", 0.8052)];

    #[test]
    fn the_line_of_an_epoch_is_broken_between_numbers() {
        let whole = "Epoch  1/10  1719 steps in 0.3 s  loss 0.8194  accuracy 0.7203  val_loss 0.5601  \
                     val_accuracy 0.8052  best";
        assert_eq!(line(1, 10, &USUAL, None), whole);
        assert_eq!(line(1, 10, &USUAL, Some(120)), whole);
        assert_eq!(
            line(1, 10, &USUAL, Some(80)),
            "Epoch  1/10  1719 steps in 0.3 s  loss 0.8194  accuracy 0.7203  val_loss 0.5601\n             \
             val_accuracy 0.8052  best"
        );
        assert_eq!(
            line(1, 10, &USUAL, Some(60)),
            "Epoch  1/10  1719 steps in 0.3 s  loss 0.8194\n             \
             accuracy 0.7203  val_loss 0.5601\n             val_accuracy 0.8052  best"
        );
        let many = [&USUAL[..], &[("val_top_10_accuracy", 1.0), ("val_balanced_accuracy", 0.5)]];
        for columns in 50..200 {
            let lines = line(99_999, 100_000, &many.concat(), Some(columns));
            assert!(lines.lines().all(|line| line.width() <= columns), "{columns}: {lines}");
        }
    }

    #[test]
    fn a_running_epoch_keeps_its_numbers_in_a_narrow_terminal() {
        let parts = || {
            ["Epoch 10/10", "1024/1719", "eta 3s", "loss 0.8194, accuracy 0.7203"]
                .map(str::to_owned)
        };
        assert_eq!(
            fitting(parts(), 80),
            "Epoch 10/10  1024/1719  eta 3s  loss 0.8194, accuracy 0.7203"
        );
        assert_eq!(fitting(parts(), 59), "Epoch 10/10  1024/1719  loss 0.8194, accuracy 0.7203");
        assert_eq!(fitting(parts(), 45), "Epoch 10/10  loss 0.8194, accuracy 0.7203");
        assert_eq!(fitting(parts(), 30), "loss 0.8194, accuracy 0.7203");
    }
}
