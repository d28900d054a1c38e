use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use kiln_store::{Checkpoints, RunDirectory, files};
use kiln_train::{
    Declaration, EpochEnd, Observer, PlannedId, Progress, ResumeErrorKind, Run, RunLock, Stop,
    TrainError, TrainingOutcome,
};
use serde::Serialize;
use tracing::warn;

use crate::SweepError;
use crate::launchers::Requests;
use crate::worker::protocol::{EpochReport, RunCommand, RunMessage, RunRequest};

/// The shortest time between two messages about steps.
const STEP_INTERVAL: Duration = Duration::from_millis(100);

/// Trains one run of a sweep: reads the request from `input`, trains, and writes messages to `output`. The run stops
/// early if `requests` asks for it, or if the input ends because the sweep is gone.
///
/// `start_log` is called when the run's directory exists, before training.
///
/// # Errors
///
/// The request is missing or invalid, `start_log` fails, or those of [`Run::prepare`], [`Run::resume`] and
/// [`Run::train`].
pub fn work<E: std::fmt::Display>(
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
    requests: Arc<Requests>,
    start_log: impl FnOnce(&mut Run) -> Result<(), E>,
) -> Result<TrainingOutcome, SweepError> {
    let result = carry_out(input, &mut output, requests, start_log);
    if let Err(error) = &result
        && let Ok(line) = serde_json::to_string(&RunMessage::Failed(to_line(error)))
    {
        // Writing fails if the sweep is gone. The error is returned in any case.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
    result
}

/// The error on one line, because it becomes the stop reason of the run.
fn to_line(error: &SweepError) -> String {
    match error {
        SweepError::Train(TrainError::Config(error)) => error.to_line(),
        error => error.to_string(),
    }
}

fn carry_out<E: std::fmt::Display>(
    mut input: impl BufRead + Send + 'static,
    output: impl Write,
    requests: Arc<Requests>,
    start_log: impl FnOnce(&mut Run) -> Result<(), E>,
) -> Result<TrainingOutcome, SweepError> {
    let mut line = String::new();
    input.read_line(&mut line).map_err(|error| SweepError::Request(error.to_string()))?;
    let request: RunRequest =
        serde_json::from_str(&line).map_err(|error| SweepError::Request(error.to_string()))?;
    let commands = listen(input, Arc::clone(&requests));
    // The worker may be gone before the run has stopped.
    let _heartbeat = request.lock.start_heartbeat();
    // The other cores train other runs.
    kiln_train::limit_threads(request.threads);
    let (mut run, warnings) = prepare(&request)?;
    if let Some(directory) = &request.shared {
        run.share_training(directory);
    }
    if let Err(error) = start_log(&mut run) {
        let error = SweepError::Log(error.to_string());
        run.fail(&error.to_string());
        return Err(error);
    }
    let mut observer = SweepObserver {
        output,
        requests,
        commands: request.awaits_commands.then_some(commands),
        last_step: Instant::now(),
    };
    for problem in &run.record().data_warnings {
        let _ = observer.send(&RunMessage::DataWarning(problem.clone()));
    }
    for warning in warnings {
        warn!("{warning}");
        // If the sweep is gone, the observer stops the run after its first step.
        let _ = observer.send(&RunMessage::Warning(warning));
    }
    Ok(run.train(&mut observer)?)
}

/// Prepares the run of a request for training, from scratch or from its checkpoints. Returns it with warnings for the
/// user.
fn prepare(request: &RunRequest) -> Result<(Run, Vec<String>), SweepError> {
    let mut warnings = Vec::new();
    let lock = || RunLock::Caller(Some(request.lock.clone()));
    let declaration =
        Declaration::parse("the request of the sweep", &request.config, &request.unwritten)?;
    let data = &request.data_directory;
    if request.resume {
        let path = request.runs_directory.join(&declaration.experiment.name).join(&request.id);
        let directory = RunDirectory::open(&path)?;
        let device = Some(declaration.experiment.device);
        match Run::resume(directory.clone(), data, lock(), device) {
            // This version of Kiln cannot continue a run that another version started. A sweep may contain many such
            // runs, so they are restarted without asking.
            Err(TrainError::Resume { error, .. }) if error.kind == ResumeErrorKind::Program => {
                warnings.push(format!("restarted from scratch: {error}"));
                if declaration.experiment.model.initial_weights.is_some() {
                    // The run has a copy of the weights that it started from.
                    Checkpoints::of(&directory).remove()?;
                    let resumed = Run::resume(directory, data, lock(), device)?;
                    warnings.extend(resumed.damage);
                    return Ok((resumed.run, warnings));
                }
                files::remove_directory(&path)?;
            }
            Err(error) => return Err(error.into()),
            Ok(resumed) => return Ok((resumed.run, resumed.damage)),
        }
    }
    let planned = PlannedId { id: &request.id, fingerprint: &request.fingerprint, lock: lock() };
    Ok((Run::prepare(declaration, data, &request.runs_directory, Some(planned))?, warnings))
}

/// Receives the commands of the sweep in a thread. A request for a checkpoint and the end of the input are stored in
/// `requests`; other commands are sent to the returned receiver.
fn listen(input: impl BufRead + Send + 'static, requests: Arc<Requests>) -> Receiver<RunCommand> {
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(RunCommand::Checkpoint) => requests.checkpoint.store(true, Ordering::Relaxed),
                // Sending fails if the run does not wait for commands.
                Ok(command) => drop(sender.send(command)),
                // The sweep writes only commands, so its last line was cut off: it was killed.
                Err(_) => break,
            }
        }
        // The input ends when the sweep stops the run, and when the sweep is gone.
        requests.stops.fetch_add(1, Ordering::Relaxed);
    });
    commands
}

/// Reports the progress of a run to its sweep.
struct SweepObserver<W> {
    output: W,
    requests: Arc<Requests>,
    /// The commands after each epoch, if the run waits for them.
    commands: Option<Receiver<RunCommand>>,
    last_step: Instant,
}

impl<W: Write> SweepObserver<W> {
    fn is_interrupted(&self) -> bool {
        self.requests.stops.load(Ordering::Relaxed) > 0
    }

    /// Sends a message to the sweep. Breaks if the sweep is gone or the run was asked to stop.
    fn send(&mut self, message: &impl Serialize) -> ControlFlow<Stop> {
        let line = serde_json::to_string(message).map(|line| line + "\n");
        let sent = line
            .map_err(std::io::Error::from)
            .and_then(|line| self.output.write_all(line.as_bytes()))
            .and_then(|()| self.output.flush());
        if sent.is_err() || self.is_interrupted() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

impl<W: Write> Observer for SweepObserver<W> {
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        if self.is_interrupted() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        if self.last_step.elapsed() < STEP_INTERVAL {
            return ControlFlow::Continue(());
        }
        self.last_step = Instant::now();
        self.send(&RunMessage::Step(progress.into()))
    }

    fn on_resume(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        // The run may have been killed after it reported this epoch and before it received the command to prune. The
        // same report leads to the same command.
        self.on_epoch_end(end)
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.requests.checkpoint.swap(false, Ordering::Relaxed)
    }

    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        self.send(&RunMessage::Epoch(EpochReport::new(end.row, end.epochs)))?;
        match self.commands.as_ref().map(Receiver::recv) {
            // `listen` handles requests for checkpoints, so none arrives here.
            None | Some(Ok(RunCommand::Continue | RunCommand::Checkpoint)) => {
                ControlFlow::Continue(())
            }
            Some(Ok(RunCommand::Prune)) => ControlFlow::Break(Stop::Pruned),
            // The input has ended, or the sweep pauses the run.
            Some(Ok(RunCommand::Pause) | Err(_)) => ControlFlow::Break(Stop::Interrupted),
        }
    }
}
