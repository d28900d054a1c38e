use std::path::Path;
use std::process::ExitCode;

use kiln_store::{RunDirectory, Status, StoreError, quoted};
use kiln_train::{Declaration, Run, TrainError};

use crate::arguments::{Arguments, ExperimentArguments};
use crate::progress::Reporter;
use crate::{complain, logging, say};

pub(crate) fn run(
    arguments: &Arguments,
    experiment: &ExperimentArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = Declaration::open(&experiment.config, &experiment.overrides)?;
    let reporter = Reporter::of_run(arguments.quiet)?;
    let run = Run::prepare(declaration, arguments.data(), &arguments.runs, None)?;
    train(arguments, run, reporter)
}

/// Trains a run that is ready, and says what came of it.
pub(crate) fn train(
    arguments: &Arguments,
    mut run: Run,
    mut reporter: Reporter,
) -> anyhow::Result<ExitCode> {
    let directory = run.directory().clone();
    if let Err(error) = logging::start(arguments.verbose, &directory) {
        run.fail(&format!("{error:#}"));
        return Err(error);
    }
    reporter.begin(run.record());
    let resume = resume_command(arguments, &directory);
    let outcome = match run.train(&mut reporter) {
        Ok(outcome) => outcome,
        Err(error @ TrainError::Store(StoreError::TakenOver { .. })) => {
            let code = crate::fail(&error.into());
            complain(format_args!("if nobody brings it to its end, go on: {resume}"));
            return Ok(code);
        }
        Err(error) => {
            let code = crate::fail(&error.into());
            complain(format_args!("when that is mended, go on: {resume}"));
            return Ok(code);
        }
    };
    if let Some(report) = &outcome.report {
        let loss = report.loss.map_or_else(String::new, |loss| format!("loss {loss:.4}, "));
        say(format!(
            "test: {loss}accuracy {:.4} on {} images ({})",
            report.accuracy, report.examples, outcome.reason
        ))?;
    } else {
        complain(format_args!("{}: {}", outcome.status, outcome.reason));
        match outcome.status {
            Status::Diverged => {
                complain("help: lower optimizer.learning_rate, or set optimizer.global_clipnorm");
            }
            Status::Interrupted => complain(format_args!("go on: {resume}")),
            _ => {}
        }
    }
    say(directory.path().display())?;
    Ok(match outcome.status {
        Status::Finished => ExitCode::SUCCESS,
        Status::Interrupted => reporter.exit_code(),
        _ => ExitCode::FAILURE,
    })
}

/// The command that goes on with a run, from the same working directory.
fn resume_command(arguments: &Arguments, run: &RunDirectory) -> String {
    let mut command = format!("kiln resume {}", quoted(&run.path().display().to_string()));
    if arguments.data() != Path::new("data") {
        command.push_str(&format!(" --data {}", quoted(&arguments.data().display().to_string())));
    }
    command
}

pub(crate) fn summary(
    arguments: &Arguments,
    experiment: &ExperimentArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = Declaration::open(&experiment.config, &experiment.overrides)?;
    let architecture = declaration.architecture_without_data(arguments.data())?;
    let experiment = &declaration.experiment;
    let slots = experiment.optimizer.kind.slots();
    say(architecture.summary(experiment.training.batch_size.get(), slots))?;
    Ok(ExitCode::SUCCESS)
}
