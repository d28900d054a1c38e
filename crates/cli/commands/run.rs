use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kiln_store::{Annotations, RunDirectory, Status, StoreError, quoted};
use kiln_train::{ALL_EPOCHS_DONE, Continued, Declaration, Run, TrainError};

use crate::commands::note;
use crate::experiment;
use crate::initial_weights;
use crate::named_run;
use crate::next_step::kiln_command;
use crate::options::{ExperimentArguments, GlobalOptions};
use crate::output::{columns, help, print, status, warning};
use crate::progress::ProgressReporter;
use crate::wrapping::wrapped;
use crate::{failure, logging};

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// Continue this finished run as a new one: its directory, its id or the beginning of it, NAME/last or NAME/best
    ///
    /// The experiment counts the epochs of both runs, and may change training.epochs, schedule, optimizer.learning_rate,
    /// early_stopping, training.weights, training.monitor and test.
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Give the run a tag, by which `kiln ls` and `kiln compare` can select it; can be repeated
    #[arg(long, value_name = "TAG", value_parser = note::tag)]
    tag: Vec<String>,
    /// Write a note about the run
    #[arg(long, value_name = "TEXT", value_parser = note::note_text)]
    note: Option<String>,
}

pub(crate) fn run(options: &GlobalOptions, arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let mut declaration = experiment::open(options, &arguments.experiment)?;
    initial_weights::find_for(options, &mut declaration)?;
    if !options.quiet {
        declaration.notes.iter().for_each(|note| status(format_args!("note: {note}")));
    }
    let reporter = ProgressReporter::for_run(options.quiet)?;
    let source = quoted(&declaration.experiment.data.source);
    let run = match &arguments.from {
        None => Run::prepare(declaration, options.data(), &options.runs, None)?,
        Some(from) => continue_from(options, declaration, from)?,
    };
    if !options.quiet {
        run.notes().iter().for_each(|note| status(format_args!("note: {note}")));
    }
    let mut annotations = Annotations { note: arguments.note.clone(), tags: Vec::new() };
    for tag in &arguments.tag {
        annotations.add_tag(tag);
    }
    // Results do not depend on them, so an error does not stop the run.
    if !annotations.is_empty()
        && let Err(error) = run.directory().write_annotations(&annotations)
    {
        warning(error);
    }
    run.record().warnings.iter().for_each(warning);
    for problem in &run.record().data_warnings {
        warning(format_args!("data: {problem}"));
    }
    if !run.record().data_warnings.is_empty() {
        help(format_args!("for examples and what to do: kiln data check {source}"));
    }
    train(options, run, reporter)
}

/// Prepares a run that continues a finished one.
fn continue_from(
    options: &GlobalOptions,
    declaration: Declaration,
    from: &Path,
) -> anyhow::Result<Run> {
    let source = named_run::open(options, from)?;
    let Continued { run, from, epochs, effect } =
        Run::continue_from(declaration, options.data(), &options.runs, &source)?;
    if !options.quiet {
        let text = format!("continuing {}/{} after epoch {epochs}: {effect}", from.name, from.id);
        status(wrapped(&text, columns(io::stderr()), 2));
    }
    Ok(run)
}

/// Trains a prepared run and prints its result.
pub(crate) fn train(
    options: &GlobalOptions,
    mut run: Run,
    mut reporter: ProgressReporter,
) -> anyhow::Result<ExitCode> {
    let directory = run.directory().clone();
    if let Err(error) = logging::start_for(options.verbose, &mut run) {
        run.fail(&format!("{error:#}"));
        return Err(error);
    }
    let resume = resume_command(options, &directory);
    reporter.set_resume_command(&resume);
    reporter.start(run.record());
    let outcome = match run.train(&mut reporter) {
        Ok(outcome) => outcome,
        Err(error) => {
            let is_taken_over = matches!(error, TrainError::Store(StoreError::TakenOver { .. }));
            let code = failure::report(options, &error.into());
            if is_taken_over {
                help(format_args!(
                    "if the other process does not finish the run, resume it with: {resume}"
                ));
            } else {
                help(format_args!("after fixing this, resume the run with: {resume}"));
            }
            return Ok(code);
        }
    };
    if let Some(report) = &outcome.report {
        let loss = report.loss.map_or_else(String::new, |loss| format!("loss {loss:.4}, "));
        // A run that trained all its epochs ended as expected, so only other reasons are worth mentioning.
        let reason = match outcome.reason.as_str() {
            ALL_EPOCHS_DONE => String::new(),
            reason => format!(" ({reason})"),
        };
        let text = format!(
            "test: {loss}accuracy {:.4} on {} images{reason}",
            report.accuracy, report.examples
        );
        print(wrapped(&text, columns(io::stdout()), 2))?;
    } else {
        status(wrapped(&outcome.ending, columns(io::stderr()), 2));
        match outcome.status {
            Status::Diverged => {
                help("lower optimizer.learning_rate, or set optimizer.global_clipnorm");
            }
            Status::Interrupted => status(format_args!("to resume: {resume}")),
            _ => {}
        }
    }
    print(directory.path().display())?;
    Ok(match outcome.status {
        Status::Finished => ExitCode::SUCCESS,
        Status::Interrupted => reporter.exit_code(),
        _ => ExitCode::FAILURE,
    })
}

/// The command that resumes a run from the same working directory.
fn resume_command(options: &GlobalOptions, run: &RunDirectory) -> String {
    let arguments = ["resume".to_owned(), run.path().display().to_string()];
    // The path of the run contains the directory of the runs.
    kiln_command(arguments, options.data(), Path::new(""))
}
