//! How errors are shown, and the exit status that belongs to them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use kiln_compare::CompareError;
use kiln_config::{ConfigError, Document, KeyError, KeyIndex};
use kiln_data::{DataError, FetchError, SourceError};
use kiln_report::ReportError;
use kiln_store::{RunDirectory, StoreError, quoted};
use kiln_sweep::SweepError;
use kiln_train::{REFERENCE, ResumeErrorKind, TrainError, known_paths};

use crate::commands::data_fetch;
use crate::next_step::kiln_command;
use crate::options::GlobalOptions;
use crate::output;

/// An error with advice about what to type.
#[derive(Debug)]
pub(crate) struct Advised {
    message: String,
    help: String,
}

impl Advised {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Advised {}

/// Prints an error with advice. Returns exit status 2 if the command line or the configuration is wrong, otherwise 1.
pub(crate) fn report(options: &GlobalOptions, error: &anyhow::Error) -> ExitCode {
    let train = error.downcast_ref::<TrainError>().or_else(|| {
        match error.downcast_ref::<SweepError>()? {
            SweepError::Train(train) => Some(train),
            _ => None,
        }
    });
    if let Some(SweepError::Invalid(invalid)) = error.downcast_ref::<SweepError>() {
        // One line for each reason. The texts in it are escaped already.
        output::status(format_args!("error: {invalid}"));
        if let Some(command) = &invalid.command {
            output::help(format_args!(
                "change these values, or train only the other runs: {command}"
            ));
        }
        return ExitCode::from(2);
    }
    let config = error.downcast_ref::<ConfigError>().or(match train {
        Some(TrainError::Config(config)) => Some(config),
        _ => None,
    });
    let data = error.downcast_ref::<DataError>().or(match train {
        Some(TrainError::Data(data)) => Some(data),
        _ => None,
    });
    match (config, data) {
        (Some(config), _) => {
            output::status_styled(config.render(output::use_color(&io::stderr())));
        }
        // One line for each file. Line breaks in the names are escaped already.
        (None, Some(DataError::BrokenImages { .. })) => {
            output::status(format_args!("error: {error:#}"));
        }
        (None, _) => output::error(format_args!("{error:#}")),
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
    if let Some(Advised { help, .. }) = error.downcast_ref() {
        output::help(help);
    } else if let Some(SweepError::Launcher { help: Some(help), .. }) = error.downcast_ref() {
        output::help(help);
    } else if let Some(advice) = store.and_then(advice) {
        output::help(advice);
    } else if let Some(CompareError::Mismatch { path, .. }) = compare {
        output::help(doctor_advice(path));
    }
    if let Some(advice) = data.and_then(data_fetch::advice) {
        output::help(advice);
    }
    match (data, train) {
        (Some(DataError::MissingFile { advice, .. }), _) => output::help(advice),
        (_, Some(TrainError::MeaninglessData { help, .. })) => output::help(help),
        (_, Some(TrainError::Continue { help: Some(help), .. })) => output::help(help),
        (_, Some(TrainError::Resume { run, error })) if error.kind == ResumeErrorKind::Program => {
            let command = kiln_run(options, run);
            output::help(format_args!(
                "resume the run with the program that started it, or train it as a new one: {command}"
            ));
        }
        (_, Some(TrainError::Resume { run, error })) if error.problem.contains(" changed") => {
            let command = kiln_run(options, run);
            output::help(format_args!(
                "undo the change to resume the run, or train it as a new one: {command}"
            ));
        }
        _ => {}
    }
    let is_unknown_dataset = matches!(
        error.downcast_ref::<DataError>(),
        Some(
            DataError::Source(SourceError::UnknownDataset { .. })
                | DataError::Source(SourceError::NoSuchSource { .. })
                | DataError::Fetch(FetchError::NotListed { .. })
        )
    );
    let is_wrong_request = matches!(store, Some(StoreError::NoRuns { .. }))
        || matches!(compare, Some(CompareError::Request(_)));
    // Status 2: the user must change the command or the configuration. Status 1: something else failed.
    let is_usage_error = config.is_some() || is_unknown_dataset || is_wrong_request;
    ExitCode::from(if is_usage_error { 2 } else { 1 })
}

/// The command that trains the experiment of a run as a new run.
fn kiln_run(options: &GlobalOptions, run: &str) -> String {
    let arguments = ["run".to_owned(), format!("{run}/config.toml")];
    kiln_command(arguments, options.data(), &options.runs)
}

/// The advice for an error of a run directory.
fn advice(error: &StoreError) -> Option<String> {
    match error {
        StoreError::NotARun { path, .. } => Some(match run_within(path) {
            Some(run) => {
                format!("this directory contains runs; name one, such as {}", run.display())
            }
            None => {
                "a run directory is runs/NAME/ID; `kiln run` prints it as its last line".to_owned()
            }
        }),
        StoreError::Damaged { path, .. } | StoreError::Malformed { path, .. } => {
            Some(doctor_advice(path))
        }
        // The given path contains a run, but none that can be read.
        StoreError::NoRuns { path, .. } if path.join("run.json").exists() => {
            Some(doctor_advice(path))
        }
        _ => None,
    }
}

/// The advice for a damaged file of a run.
pub(crate) fn doctor_advice(path: &Path) -> String {
    let run = path.ancestors().find(|path| path.join("run.json").exists());
    let run = run.map_or_else(|| "RUN".to_owned(), |run| quoted(&run.display().to_string()));
    format!("to see what is damaged and what to do about it: kiln doctor {run}")
}

/// Finds a run below a directory, as an example for the advice.
fn run_within(path: &Path) -> Option<PathBuf> {
    let found = kiln_store::doctor::find(&[path.to_owned()]).ok()?;
    found.runs.into_iter().find(|run| run != path && RunDirectory::open(run).is_ok())
}

/// Prints the requested help, or the error in the arguments, and exits with clap's status.
pub(crate) fn exit_with_usage(error: &clap::Error) -> ! {
    if let Some(change) = override_for_option(error) {
        let option = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        output::error(format_args!("unexpected argument {}", option.unwrap_or_default()));
        output::help(format_args!("to change a key of the experiment: {change}"));
        std::process::exit(error.exit_code());
    }
    let text = error.render().to_string();
    if output::escape_lines(&text) == text {
        error.exit();
    }
    // An argument contains control characters, which clap would print as they are.
    output::status(text.trim_end());
    std::process::exit(error.exit_code());
}

/// The override `KEY=VALUE` that was probably meant by an unknown option such as `--epochs 5`.
fn override_for_option(error: &clap::Error) -> Option<String> {
    let is_suggested = error.get(ContextKind::SuggestedArg).is_some();
    if error.kind() != ErrorKind::UnknownArgument || is_suggested {
        return None;
    }
    let mut arguments = std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned());
    // Only these commands have overrides.
    let is_command = |argument: &String| matches!(argument.as_str(), "run" | "summary" | "sweep");
    arguments.by_ref().find(is_command)?;
    let option = error.get(ContextKind::InvalidArg)?.to_string();
    let is_option = |argument: &String| argument.split('=').next() == Some(option.as_str());
    let given = arguments.by_ref().find(is_option)?;
    let joined = given.split_once('=').map(|(_, value)| value.to_owned());
    let value = joined.or_else(|| arguments.next()).unwrap_or_else(|| "VALUE".to_owned());
    let name = option.strip_prefix("--")?.replace('-', "_");
    let known = known_paths(&Document::parse("reference.toml", REFERENCE).ok()?).ok()?;
    let index = KeyIndex::new(known.iter().map(String::as_str));
    let key = match index.complete(&name) {
        Err(KeyError::Unknown { nearest }) => nearest?.to_owned(),
        Ok(_) | Err(KeyError::Ambiguous(_)) => name,
    };
    Some(kiln_store::quoted(&format!("{key}={value}")))
}
