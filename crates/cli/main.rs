//! Kiln: fires image-classification experiments and compares the reports side by side.

mod arguments;
mod compare;
mod data;
mod doctor;
mod logging;
mod predict;
mod progress;
mod resume;
mod run;
mod signals;
mod sweep;
mod sweep_view;
mod verify;
mod work;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use kiln_compare::CompareError;
use kiln_config::ConfigError;
use kiln_data::DataError;
use kiln_report::{ReportError, Terminal};
use kiln_store::{RunDirectory, StoreError, printable};
use kiln_sweep::SweepError;
use kiln_train::TrainError;

use crate::arguments::{Arguments, Command};

// glibc's allocator gives pages back and faults them in again with every batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| refuse(&error));
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn dispatch(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Run(experiment) => run::run(arguments, experiment),
        Command::Sweep(options) => sweep::sweep(arguments, options),
        Command::Resume(options) => resume::resume(arguments, options),
        Command::Work => work::work(),
        Command::Summary(experiment) => run::summary(arguments, experiment),
        Command::Compare(options) => compare::compare(arguments, options),
        Command::Verify { run } => verify::verify(arguments, run),
        Command::Doctor(options) => doctor::doctor(arguments, options),
        Command::Show { run } => predict::show(run),
        Command::Predict { run, images } => predict::predict(arguments, run, images),
        Command::Data { command } => data::data(arguments, command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "kiln", &mut script);
            say_styled(String::from_utf8(script)?.trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints lines to standard output, control characters in them escaped.
fn say(text: impl std::fmt::Display) -> anyhow::Result<()> {
    say_styled(printable_lines(&text.to_string()))
}

/// Prints text to standard output whose colours are its own, and in which names are escaped already. A reader that went
/// away, such as `head`, is no error, and the command goes on to its own exit status.
fn say_styled(text: impl std::fmt::Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to standard output"),
    }
}

/// Prints lines to standard error, control characters in them escaped.
fn complain(text: impl std::fmt::Display) {
    complain_styled(printable_lines(&text.to_string()));
}

/// As [`say_styled`], to standard error. Where that is gone there is nobody left to tell.
fn complain_styled(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Names and paths may hold anything; the line breaks are ours.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let words = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    printable(&words).into_owned()
}

/// Whether to colour what goes to this stream.
fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How tables for standard output are laid out: to fit the terminal, or where there is none as wide as
/// they come.
fn terminal() -> Terminal {
    let width = terminal_size::terminal_size().map_or(1000, |(width, _)| width.0);
    Terminal { width, color: colour(&io::stdout()) }
}

/// Shows what is wrong with the arguments, or the help that was asked for, and ends the program as clap does.
fn refuse(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    if printable_lines(&text) == text {
        error.exit();
    }
    complain(text.trim_end());
    std::process::exit(error.exit_code());
}

/// What to do about what is wrong with a run.
fn help(error: &StoreError) -> Option<String> {
    match error {
        StoreError::NotARun { path, .. } => {
            let found = kiln_store::doctor::find(std::slice::from_ref(path)).ok()?;
            let run =
                found.runs.iter().find(|run| *run != path && RunDirectory::open(*run).is_ok())?;
            Some(format!("runs lie in it, such as {}", run.display()))
        }
        StoreError::Damaged { .. } | StoreError::Malformed { .. } => {
            Some("kiln doctor RUN says what is damaged, and what to do".to_owned())
        }
        _ => None,
    }
}

/// Shows the error, once, and gives the exit status: 2 where the command or the configuration is
/// wrong, else 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    let train = error.downcast_ref::<TrainError>().or_else(|| {
        match error.downcast_ref::<SweepError>()? {
            SweepError::Train(train) => Some(train),
            _ => None,
        }
    });
    let config = error.downcast_ref::<ConfigError>().or(match train {
        Some(TrainError::Config(config)) => Some(config),
        _ => None,
    });
    match config {
        Some(config) => complain_styled(config.render(colour(&io::stderr()))),
        None => complain(format_args!("error: {}", printable(&format!("{error:#}")))),
    }
    let compare = error.downcast_ref::<CompareError>();
    let report = error.downcast_ref::<ReportError>();
    let store = match (error.downcast_ref::<StoreError>(), train, compare, report) {
        (Some(store), ..)
        | (_, Some(TrainError::Store(store)), ..)
        | (_, _, Some(CompareError::Store(store)), _)
        | (.., Some(ReportError::Store(store))) => Some(store),
        _ => None,
    };
    if let Some(help) = store.and_then(help) {
        complain(format_args!("help: {help}"));
    }
    let no_such_data = matches!(
        error.downcast_ref::<DataError>(),
        Some(DataError::UnknownDataset { .. } | DataError::NotADirectory { .. })
    );
    let no_such_runs = matches!(store, Some(StoreError::NoRuns { .. }))
        || matches!(compare, Some(CompareError::Request(_)));
    let is_wrong_command = config.is_some() || no_such_data || no_such_runs;
    ExitCode::from(if is_wrong_command { 2 } else { 1 })
}
