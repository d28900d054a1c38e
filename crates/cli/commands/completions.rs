use std::process::ExitCode;

use clap::{Args, CommandFactory};

use crate::commands::Cli;
use crate::output::print_styled;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell to print the script for
    shell: clap_complete::Shell,
}

pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "kiln", &mut script);
    // Unchanged: `print` would escape control characters, and a script may contain tabs.
    print_styled(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
