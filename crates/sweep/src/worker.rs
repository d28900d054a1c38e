use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use kiln_store::{RunDirectory, files};
use kiln_train::{
    Declaration, EpochEnd, Observer, Progress, ResumeErrorKind, Run, RunLock, Stop, TrainError,
    TrainingOutcome,
};
use serde::Serialize;
use tracing::warn;

use crate::SweepError;
use crate::launch::Requests;
use crate::protocol::{Answer, EpochReport, Message, Order};

/// The time between two messages about steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);

/// The process of one run of a sweep: reads its order from `input`, trains, and reports to `output`.
/// It ends early where `requests` has a stop, or where the input ends: then the sweep is gone.
///
/// `claimed` is told of the run when its directory is there, before it trains.
///
/// # Errors
///
/// There is no order; or those of [`Run::prepare`] and [`Run::train`].
pub fn work<E: std::fmt::Display>(
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
    requests: Arc<Requests>,
    claimed: impl FnOnce(&Run) -> Result<(), E>,
) -> Result<TrainingOutcome, SweepError> {
    let result = carry_out(input, &mut output, requests, claimed);
    if let Err(error) = &result
        && let Ok(line) = serde_json::to_string(&Message::Failed(in_words(error)))
    {
        // A sweep that is gone does not ask.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
    result
}

/// In one line: it becomes the run's stop reason.
fn in_words(error: &SweepError) -> String {
    match error {
        SweepError::Train(TrainError::Config(error)) => error.to_line(),
        error => error.to_string(),
    }
}

fn carry_out<E: std::fmt::Display>(
    mut input: impl BufRead + Send + 'static,
    output: impl Write,
    requests: Arc<Requests>,
    claimed: impl FnOnce(&Run) -> Result<(), E>,
) -> Result<TrainingOutcome, SweepError> {
    let mut line = String::new();
    let order = input.read_line(&mut line).map_err(|error| error.to_string());
    let order: Order = order
        .and_then(|_| serde_json::from_str(&line).map_err(|error| error.to_string()))
        .map_err(SweepError::Order)?;
    let answers = listen(input, Arc::clone(&requests));
    let (mut run, remarks) = ready(&order)?;
    if let Err(error) = claimed(&run) {
        let reason = error.to_string();
        run.fail(&reason);
        return Err(SweepError::Order(reason));
    }
    let mut reporter = Reporter {
        output,
        requests,
        answers: order.asks.then_some(answers),
        last_step: Instant::now(),
    };
    for remark in remarks {
        warn!("{remark}");
        // Without a sweep the run ends after its first step.
        let _ = reporter.tell(&Message::Remark(remark));
    }
    Ok(run.train(&mut reporter)?)
}

/// The run of an order, where it was interrupted or before its beginning, and what there is to say of that.
fn ready(order: &Order) -> Result<(Run, Vec<String>), SweepError> {
    let mut remarks = Vec::new();
    let lock = || RunLock::Caller(Some(order.held.clone()));
    let declaration = Declaration::parse("the sweep's order", &order.config, &[])?;
    if order.resumes {
        let path = order.runs.join(&declaration.experiment.name).join(&order.id);
        match Run::resume(RunDirectory::open(&path)?, &order.data, lock()) {
            // Another program cannot be expected to return. Restarted from scratch, the run finishes with this one.
            Err(TrainError::Resume { error, .. }) if error.kind == ResumeErrorKind::Program => {
                remarks.push(format!("starting from scratch: {error}"));
                files::remove_directory(&path)?;
            }
            Err(error) => return Err(error.into()),
            Ok(resumed) => return Ok((resumed.run, resumed.damage)),
        }
    }
    Ok((Run::prepare(declaration, &order.data, &order.runs, Some((&order.id, lock())))?, remarks))
}

/// Reads the sweep's words from now on. That the input ends is an interruption.
fn listen(input: impl BufRead + Send + 'static, requests: Arc<Requests>) -> Receiver<Answer> {
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Answer::Checkpoint) => requests.checkpoint.store(true, Ordering::Relaxed),
                // Where nobody asks, nobody reads.
                Ok(answer) => drop(sender.send(answer)),
                Err(_) => break,
            }
        }
        requests.stops.fetch_add(1, Ordering::Relaxed);
    });
    answers
}

struct Reporter<W> {
    output: W,
    requests: Arc<Requests>,
    answers: Option<Receiver<Answer>>,
    last_step: Instant,
}

impl<W: Write> Reporter<W> {
    fn is_interrupted(&self) -> bool {
        self.requests.stops.load(Ordering::Relaxed) > 0
    }

    /// Says something to the sweep; to break where there is none any more.
    fn tell(&mut self, message: &impl Serialize) -> ControlFlow<Stop> {
        let line = serde_json::to_string(message).map(|line| line + "\n");
        let told = line
            .map_err(std::io::Error::from)
            .and_then(|line| self.output.write_all(line.as_bytes()))
            .and_then(|()| self.output.flush());
        if told.is_err() || self.is_interrupted() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

impl<W: Write> Observer for Reporter<W> {
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        if self.is_interrupted() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        if self.last_step.elapsed() < BETWEEN_STEPS {
            return ControlFlow::Continue(());
        }
        self.last_step = Instant::now();
        self.tell(&Message::Step(progress.into()))
    }

    fn on_resume(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        self.on_epoch_end(end)
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.requests.checkpoint.swap(false, Ordering::Relaxed)
    }

    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        self.tell(&Message::Epoch(EpochReport::new(end.row, end.epochs)))?;
        match self.answers.as_ref().map(Receiver::recv) {
            None | Some(Ok(Answer::Continue | Answer::Checkpoint)) => ControlFlow::Continue(()),
            Some(Ok(Answer::Prune)) => ControlFlow::Break(Stop::Pruned),
            Some(Err(_)) => ControlFlow::Break(Stop::Interrupted),
        }
    }
}
