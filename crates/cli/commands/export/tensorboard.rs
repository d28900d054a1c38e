use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kiln_export::tensorboard::write;
use kiln_store::quoted;

use crate::named_run;
use crate::options::GlobalOptions;
use crate::output::{count, print, status, warning};

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct TensorBoardArguments {
    /// Write event files for TensorBoard to a directory
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

impl TensorBoardArguments {
    pub(super) fn directory(&self) -> Option<&Path> {
        self.tensorboard.as_deref()
    }
}

pub(super) fn export(
    options: &GlobalOptions,
    paths: &[PathBuf],
    directory: &Path,
) -> anyhow::Result<ExitCode> {
    let paths: Vec<PathBuf> =
        paths.iter().map(|path| named_run::path_of(options, path)).collect::<Result<_, _>>()?;
    let written = write(&paths, directory)?;
    for left_out in &written.left_out {
        warning(format_args!("{} is skipped: {}", left_out.path.display(), left_out.problem));
    }
    if !options.quiet {
        let runs = count(written.runs, "run");
        let path = quoted(&directory.display().to_string());
        status(format_args!("{runs}; to see them: tensorboard --logdir {path}"));
    }
    print(directory.display())?;
    Ok(if written.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
