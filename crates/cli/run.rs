use std::process::ExitCode;

use kiln_report::{Status, quoted};
use kiln_train::{Declaration, Run};

use crate::arguments::{Arguments, ExperimentArguments};
use crate::progress::Reporter;

use crate::{complain, logging, say};

pub(crate) fn run(
    arguments: &Arguments,
    experiment: &ExperimentArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = Declaration::open(&experiment.config, &experiment.overrides)?;
    let reporter = Reporter::new(arguments.quiet)?;
    let run = Run::prepare(declaration, &arguments.data, &arguments.runs, None)?;
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
    let outcome = run.train(&mut reporter)?;
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
            Status::Interrupted => {
                let path = quoted(&directory.path().display().to_string());
                complain(format_args!("go on: kiln resume {path}"));
            }
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

pub(crate) fn summary(
    arguments: &Arguments,
    experiment: &ExperimentArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = Declaration::open(&experiment.config, &experiment.overrides)?;
    let architecture = declaration.architecture_without_data(&arguments.data)?;
    let experiment = &declaration.experiment;
    let slots = experiment.optimizer.kind.slots();
    say(architecture.summary(experiment.training.batch_size.get(), slots))?;
    Ok(ExitCode::SUCCESS)
}
