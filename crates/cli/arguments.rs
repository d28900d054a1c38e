use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::compare::CompareArguments;
use crate::doctor::DoctorArguments;
use crate::resume::ResumeArguments;
use crate::sweep::SweepArguments;

/// Fires image-classification experiments that are declared in TOML files.
#[derive(Debug, Parser)]
#[command(
    name = "kiln",
    version,
    after_help = "Start here:\n  \
        kiln run configs/fashion-mnist.toml     train, test once, leave a report in runs/\n  \
        kiln show runs/fashion-mnist/ID         that report in the terminal\n  \
        kiln sweep configs/fashion-mnist.toml learning_rate=0.01,0.1 seed=1,2,3\n\n\
        Exit status: 0 done, 1 failed, 2 the command or the configuration is wrong, 130 interrupted\n\
        (143 by SIGTERM)."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where runs leave their directories
    #[arg(long, global = true, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Where the named datasets lie [default: data; a sweep remembers its own]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Show the log of a run as well
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

impl Arguments {
    /// Where the named datasets lie.
    pub(crate) fn data(&self) -> &Path {
        self.given_data().unwrap_or(Path::new("data"))
    }

    /// The same, where it was said.
    pub(crate) fn given_data(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train an experiment, then test it once
    #[command(after_help = "Examples:\n  \
        kiln run configs/fashion-mnist.toml\n  \
        kiln run configs/fashion-mnist.toml learning_rate=0.03 hidden.repeat=5 seed=7\n  \
        kiln run configs/fashion-mnist.toml 'optimizer={type=\"adam\"}' name=with-adam\n\n\
        The last line of standard output is the run directory.")]
    Run(ExperimentArguments),
    /// Run an experiment for every combination of values, several at a time
    #[command(after_help = "Examples:\n  \
        kiln sweep configs/fashion-mnist.toml learning_rate=0.003,0.01,0.03 hidden.repeat=0,1,2,3 seed=1,2,3\n  \
        kiln sweep configs/sweeps/learning-rate-depth.toml --dry-run\n  \
        kiln sweep configs/fashion-mnist.toml 'optimizer={type=\"sgd\"},{type=\"adam\"}'\n\n\
        Run the same command again and only what is missing or failed is run. The last line of\n\
        standard output is the sweep's directory.")]
    Sweep(SweepArguments),
    /// Go on with a run or a sweep that was interrupted, killed, or failed for want of disk
    #[command(after_help = "Examples:\n  \
        kiln resume runs/fashion-mnist/20261124-101500\n  \
        kiln resume runs/learning-rate-depth\n\n\
        A run goes on from its last checkpoint, and what comes of it is what would have come without\n\
        the interruption. kill -USR1 has a run or a sweep write a checkpoint at once. The last line of\n\
        standard output is the directory.")]
    Resume(ResumeArguments),
    /// The process of one run of a sweep: takes its order from standard input
    #[command(hide = true)]
    Work,
    /// Show an experiment's layers, shapes, parameters, FLOPs and memory; trains nothing
    Summary(ExperimentArguments),
    /// Set runs and sweeps side by side: which is better, by how much, and is that noise?
    #[command(after_help = "Examples:\n  \
        kiln compare runs/learning-rate-depth\n  \
        kiln compare runs/learning-rate-depth --html report.html\n  \
        kiln compare 'runs/*/*' --baseline learning_rate=0.01,hidden.repeat=3 --csv > table.csv\n  \
        kiln compare runs/fashion-mnist/ID runs/fashion-mnist/OTHER\n\n\
        Two runs alone are compared in depth. Validation ranks, and over several seeds verdicts are\n\
        about what ranks; single runs are compared by what they said of each test image.")]
    Compare(CompareArguments),
    /// Train a run again and say whether the recorded bytes come of it, or from which epoch on they do not
    #[command(after_help = "Example:\n  \
        kiln verify runs/fashion-mnist/20261124-101500\n\n\
        It is trained in a temporary directory, and the run is left as it is. A run that was cut\n\
        short is held to its record as far as its history goes. Exit status: 0 the same, 1 different.")]
    Verify {
        /// The run's directory
        run: PathBuf,
    },
    /// Check every file of runs and sweeps: what is damaged, stale or unfinished, and what to do
    #[command(after_help = "Examples:\n  \
        kiln doctor runs\n  \
        kiln doctor runs/learning-rate-depth --json\n  \
        kiln doctor runs --clean\n\n\
        Nothing is changed without --clean. Exit status: 0 all is whole or to be gone on with,\n\
        1 something is damaged or could not be checked.")]
    Doctor(DoctorArguments),
    /// Show one run's history and test report
    Show {
        /// The run's directory
        run: PathBuf,
    },
    /// Classify PNG or JPEG files with a finished run
    Predict {
        /// The run's directory
        run: PathBuf,
        /// Image files
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },
    /// List, check and look at the datasets
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Print completions for a shell: kiln completions bash > …/kiln
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentArguments {
    /// The experiment's TOML file; configs/ holds some to start from
    pub(crate) config: PathBuf,
    /// Keys to change: a dotted path or an unambiguous end of one. VALUE is TOML; a bare word is
    /// text. A layer is reached by the `name` in the file or by its
    /// index from 0: hidden.units=50, layers.0.units=50
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// The named datasets, and whether their files are here
    List,
    /// Check every file of a dataset against its header and its published sum
    Verify {
        /// A named dataset or a directory of IDX files
        #[arg(default_value = "fashion-mnist")]
        name: String,
    },
    /// Draw the first 25 training images with their classes
    Preview {
        /// A named dataset or a directory of IDX files
        #[arg(default_value = "fashion-mnist")]
        name: String,
        /// The PNG file to write
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        out: PathBuf,
    },
}

/// Another kind of file is more likely to be a slip than a wish.
fn png_path(argument: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(argument);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("the picture is a PNG: the name must end in .png".into()) }
}
