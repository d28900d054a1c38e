use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_store::doctor;
use kiln_sweep::SweepRules;

use crate::named_run;
use crate::options::GlobalOptions;
use crate::output::{print, status, warning};

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Runs, sweeps, the directory of all runs, or patterns such as 'runs/*/*'
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print JSON that lists every run, including intact ones
    #[arg(long)]
    json: bool,
    /// Remove partially written files of killed processes
    #[arg(long)]
    clean: bool,
}

pub(crate) fn doctor(
    options: &GlobalOptions,
    arguments: &DoctorArguments,
) -> anyhow::Result<ExitCode> {
    let paths = arguments.paths.iter().map(|path| named_run::path_of(options, path));
    let found = doctor::find(&paths.collect::<anyhow::Result<Vec<_>>>()?)?;
    if arguments.clean {
        let cleaned = doctor::clean(&found);
        for path in cleaned.removed.iter().filter(|_| !options.quiet) {
            status(format_args!("removed {}", path.display()));
        }
        for problem in cleaned.kept {
            warning(problem);
        }
    }
    let examination = doctor::examine(&found, &SweepRules::new(options.given_data()));
    let text =
        if arguments.json { doctor::json(&examination)? } else { doctor::text(&examination) };
    print(text.trim_end())?;
    Ok(if examination.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
