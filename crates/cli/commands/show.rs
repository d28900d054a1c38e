use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_store::RunDirectory;

use crate::output::{print_styled, terminal};

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The directory of the run
    run: PathBuf,
}

pub(crate) fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let run = RunDirectory::open(&arguments.run)?;
    print_styled(kiln_report::show(&run, terminal())?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
