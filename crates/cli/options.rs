//! Options that several commands have in common.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use kiln_store::quoted;

/// The options that every command accepts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// The directory that contains the runs
    ///
    /// `kiln run` and `kiln sweep` create run directories in it: DIR/NAME/ID.
    #[arg(long, global = true, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// The directory that contains the named datasets [default: data]
    ///
    /// `kiln resume` and `kiln verify` use the directory that a sweep was started with, unless this option is given.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print only results, warnings and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print the log of a run to standard error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

impl GlobalOptions {
    /// The directory of the named datasets.
    pub(crate) fn data(&self) -> &Path {
        self.given_data().unwrap_or(Path::new("data"))
    }

    /// The directory of the named datasets, if the command line gives it.
    pub(crate) fn given_data(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

/// An experiment and changes to it.
#[derive(Debug, Args)]
pub(crate) struct ExperimentArguments {
    /// The experiment, a TOML file; configs/ contains examples
    #[arg(value_name = "EXPERIMENT")]
    pub(crate) config: PathBuf,
    /// Changes to the experiment, such as learning_rate=0.03
    ///
    /// KEY is the dotted path of a key, or an unambiguous suffix of it: learning_rate means
    /// optimizer.learning_rate. VALUE is TOML; a single word needs no quotes. A layer is addressed by its `name` in the
    /// file or by its index, which starts at 0: hidden.units=50, layers.0.units=50.
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// The command line of this process, quoted for a shell. A proposed command that begins with it has all arguments of the
/// user.
pub(crate) fn this_command() -> String {
    let arguments = std::env::args_os().skip(1);
    let arguments = arguments.map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("kiln".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Parses the value of `--jobs`.
pub(crate) fn at_least_1(argument: &str) -> Result<NonZeroUsize, String> {
    let number: usize = argument.parse().map_err(|_| "must be a whole number".to_owned())?;
    NonZeroUsize::new(number).ok_or_else(|| "must be at least 1".to_owned())
}
