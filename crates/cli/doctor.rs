use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_store::{doctor, printable};
use kiln_sweep::Checker;

use crate::arguments::Arguments;
use crate::{complain, say};

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Runs, sweeps, the directory of all runs, or patterns such as 'runs/*/*'
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print JSON, a run that is whole as well
    #[arg(long)]
    json: bool,
    /// Remove what killed processes left half written, and nothing else
    #[arg(long)]
    clean: bool,
}

pub(crate) fn doctor(arguments: &Arguments, options: &DoctorArguments) -> anyhow::Result<ExitCode> {
    let found = doctor::find(&options.paths)?;
    if options.clean {
        let cleaned = doctor::clean(&found);
        for path in cleaned.removed.iter().filter(|_| !arguments.quiet) {
            complain(format_args!("removed {}", printable(&path.display().to_string())));
        }
        for problem in cleaned.kept {
            complain(format_args!("warning: {}", printable(&problem.to_string())));
        }
    }
    let examination = doctor::examine(&found, &Checker);
    let text = if options.json { doctor::json(&examination)? } else { doctor::text(&examination) };
    say(text.trim_end())?;
    Ok(if examination.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
