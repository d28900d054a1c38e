use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_compare::{CompareError, Listing};
use kiln_store::StoreError;

use crate::named_run;
use crate::options::GlobalOptions;
use crate::output::{print, print_styled, status, terminal};

#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// Runs, a sweep, the directory of all runs, or a pattern such as 'runs/*/*' [default: the directory of all runs]
    path: Option<PathBuf>,
    /// List only the runs with this tag; if repeated, only those with all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Print JSON with every run
    #[arg(long)]
    json: bool,
}

pub(crate) fn ls(options: &GlobalOptions, arguments: &LsArguments) -> anyhow::Result<ExitCode> {
    let path = match &arguments.path {
        Some(path) => named_run::path_of(options, path)?,
        None => options.runs.clone(),
    };
    let read = if arguments.tag.is_empty() {
        Listing::read(&path)
    } else {
        Listing::read_tagged(&path, &arguments.tag)
    };
    let listing = match read {
        // Before the first run, there is nothing to list, which is not an error.
        Err(CompareError::Store(StoreError::NoRuns { .. })) if arguments.path.is_none() => {
            if !arguments.json {
                status(format_args!("no runs in {} yet", path.display()));
                return Ok(ExitCode::SUCCESS);
            }
            Listing { groups: Vec::new() }
        }
        listing => listing?,
    };
    if arguments.json {
        print(listing.json()?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    print_styled(listing.text(terminal()).trim_end())?;
    if !options.quiet && listing.groups.len() > 1 {
        status("to list the runs of one of them: kiln ls DIRECTORY");
    }
    Ok(ExitCode::SUCCESS)
}
