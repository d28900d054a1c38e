use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_report::Shown;

use crate::failure::doctor_advice;
use crate::named_run::{self, RUN_HELP};
use crate::options::GlobalOptions;
use crate::output::{error, help, print_styled, terminal};

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[arg(value_name = "RUN", help = RUN_HELP)]
    run: PathBuf,
}

pub(crate) fn show(options: &GlobalOptions, arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let run = named_run::open(options, &arguments.run)?;
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
