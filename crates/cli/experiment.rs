//! Opens the experiment that a command line names, and explains what was named instead of one.

use std::path::{Path, PathBuf};

use kiln_config::{ConfigError, Override};
use kiln_store::{RunDirectory, quoted};
use kiln_sweep::SweepRecord;
use kiln_train::Declaration;

use crate::next_step::kiln_command;
use crate::options::{ExperimentArguments, GlobalOptions};

/// Reads the experiment and applies its overrides.
pub(crate) fn open(
    options: &GlobalOptions,
    arguments: &ExperimentArguments,
) -> Result<Declaration, ConfigError> {
    let ExperimentArguments { config, overrides } = arguments;
    Declaration::open(config, overrides).map_err(|error| {
        let as_sweep = || {
            let file = config.display().to_string();
            let arguments = ["sweep".to_owned(), file].into_iter().chain(overrides.clone());
            kiln_command(arguments, options.data(), &options.runs)
        };
        if let Some(error) = instead_of_directory(config) {
            error
        } else if config.is_file() && kiln_sweep::is_sweep_file(config) {
            ConfigError::new(format!("{} is a sweep, not an experiment", config.display()))
                .help(format!("to train its runs: {}", as_sweep()))
        } else if let Some(argument) = error.argument_with_wrong_value()
            && has_several_values(argument)
        {
            error.help(format!("to try several values: {}", as_sweep()))
        } else {
            error
        }
    })
}

/// The error for a directory that was given instead of an experiment or a sweep file.
pub(crate) fn instead_of_directory(path: &Path) -> Option<ConfigError> {
    if !path.is_dir() {
        return None;
    }
    let (given, file) = (path.display(), shown(path));
    Some(if RunDirectory::open(path).is_ok() {
        let config = shown(&RunDirectory::at(path).config_path());
        ConfigError::new(format!("{given} is a run, not a file"))
            .help(format!("to resume it: kiln resume {file}; to train it again: kiln run {config}"))
    } else if SweepRecord::path(path).exists() {
        ConfigError::new(format!("{given} is the directory of a sweep, not a file"))
            .help(format!("to train its remaining runs: kiln resume {file}"))
    } else {
        let error = ConfigError::new(format!("{given} is a directory, not a file"));
        match toml_file_in(path) {
            Some(example) => {
                error.help(format!("name one of its files, such as {}", shown(&example)))
            }
            None => error.help("give the path of a .toml file"),
        }
    })
}

/// The first TOML file in a directory, as an example.
fn toml_file_in(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).min()
}

/// Whether an argument has several values, as an axis of a sweep.
fn has_several_values(argument: &str) -> bool {
    let is_range = argument.split_once('=').is_some_and(|(_, value)| {
        let ends = value.split_once("..").map(|(low, high)| [low, high]);
        ends.is_some_and(|ends| ends.iter().all(|end| end.parse::<i64>().is_ok()))
    });
    is_range || Override::parse_list(argument).is_ok_and(|values| values.len() > 1)
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}
