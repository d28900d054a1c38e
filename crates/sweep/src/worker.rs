use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use kiln_train::{Declaration, EpochEnd, Observer, Outcome, Progress, Run, Stop};
use serde::Serialize;

use crate::SweepError;
use crate::protocol::{Answer, EpochReport, Message, Order};

/// The time between two messages about steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);

/// The process of one run of a sweep: reads its order from `input`, trains, and reports to `output`.
/// It ends early where `interrupted` is set, or where the input ends: then the sweep is gone.
///
/// `claimed` is told of the run when its directory is there, before it trains.
///
/// # Errors
///
/// There is no order; or those of [`Run::prepare`] and [`Run::train`].
pub fn work<E: std::fmt::Display>(
    mut input: impl BufRead + Send + 'static,
    output: impl Write,
    interrupted: Arc<AtomicBool>,
    claimed: impl FnOnce(&Run) -> Result<(), E>,
) -> Result<Outcome, SweepError> {
    let mut line = String::new();
    let order = input.read_line(&mut line).map_err(|error| error.to_string());
    let order: Order = order
        .and_then(|_| serde_json::from_str(&line).map_err(|error| error.to_string()))
        .map_err(SweepError::Order)?;
    let answers = listen(input, Arc::clone(&interrupted));
    let declaration = Declaration::parse("the sweep's order", &order.config, &[])?;
    let mut run = Run::prepare(declaration, &order.data, &order.runs, Some(&order.id))?;
    if let Err(error) = claimed(&run) {
        let reason = error.to_string();
        run.fail(&reason);
        return Err(SweepError::Order(reason));
    }
    let mut reporter = Reporter {
        output,
        interrupted,
        answers: order.asks.then_some(answers),
        last_step: Instant::now(),
    };
    Ok(run.train(&mut reporter)?)
}

/// Reads the sweep's answers from now on. That the input ends is an interruption.
fn listen(input: impl BufRead + Send + 'static, interrupted: Arc<AtomicBool>) -> Receiver<Answer> {
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                // Where nobody asks, nobody reads.
                Ok(answer) => drop(sender.send(answer)),
                Err(_) => break,
            }
        }
        interrupted.store(true, Ordering::Relaxed);
    });
    answers
}

struct Reporter<W> {
    output: W,
    interrupted: Arc<AtomicBool>,
    answers: Option<Receiver<Answer>>,
    last_step: Instant,
}

impl<W: Write> Reporter<W> {
    /// Says something to the sweep; to break where there is none any more.
    fn tell(&mut self, message: &impl Serialize) -> ControlFlow<Stop> {
        let line = serde_json::to_string(message).map(|line| line + "\n");
        let told = line
            .map_err(std::io::Error::from)
            .and_then(|line| self.output.write_all(line.as_bytes()))
            .and_then(|()| self.output.flush());
        if told.is_err() || self.interrupted.load(Ordering::Relaxed) {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

impl<W: Write> Observer for Reporter<W> {
    fn step_ended(&mut self, progress: Progress) -> ControlFlow<Stop> {
        if self.interrupted.load(Ordering::Relaxed) {
            return ControlFlow::Break(Stop::Interrupted);
        }
        if self.last_step.elapsed() < BETWEEN_STEPS {
            return ControlFlow::Continue(());
        }
        self.last_step = Instant::now();
        self.tell(&Message::Step(progress.into()))
    }

    fn epoch_ended(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        self.tell(&Message::Epoch(EpochReport::new(end.row, end.epochs)))?;
        match self.answers.as_ref().map(Receiver::recv) {
            None | Some(Ok(Answer::Continue)) => ControlFlow::Continue(()),
            Some(Ok(Answer::Prune)) => ControlFlow::Break(Stop::Pruned),
            Some(Err(_)) => ControlFlow::Break(Stop::Interrupted),
        }
    }
}
