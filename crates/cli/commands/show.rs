use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_report::Shown;
use kiln_store::RunDirectory;

use crate::failure::doctor_advice;
use crate::output::{error, help, print_styled, terminal};

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The directory of the run
    run: PathBuf,
}

pub(crate) fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let run = RunDirectory::open(&arguments.run)?;
    let Shown { text, damaged } = kiln_report::show(&run, terminal())?;
    print_styled(text.trim_end())?;
    for problem in &damaged {
        error(problem);
    }
    if damaged.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    help(doctor_advice(run.path()));
    Ok(ExitCode::FAILURE)
}
