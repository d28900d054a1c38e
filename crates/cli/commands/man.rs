use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use kiln_store::files;

use crate::commands::Cli;
use crate::options::GlobalOptions;
use crate::output::{count, print, status};
use crate::version::VERSION;

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The directory for the pages, such as ~/.local/share/man/man1
    directory: PathBuf,
}

pub(crate) fn man(options: &GlobalOptions, arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let directory = &arguments.directory;
    files::create_directories(directory)?;
    // `help` repeats the other pages.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = write(&command, directory)?;
    if !options.quiet {
        status(format_args!("wrote {}", count(pages, "page")));
    }
    print(directory.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands. Returns how many.
fn write(command: &Command, directory: &Path) -> anyhow::Result<usize> {
    let version = format!("kiln {}", *VERSION);
    let page = Man::new(command.clone()).source(version).manual("Kiln");
    let mut text = Vec::new();
    page.render(&mut text).context("cannot make a page")?;
    files::write(&directory.join(page.get_filename()), text)?;
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    commands.map(|command| write(command, directory)).try_fold(1, |sum, pages| Ok(sum + pages?))
}
