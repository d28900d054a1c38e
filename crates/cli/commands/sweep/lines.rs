//! The lines of a sweep in a narrow terminal.

use std::fmt::Display;
use std::io;

use crate::output::{columns, print, status};
use crate::wrapping::{wrapped, wrapped_command};

/// How far the lines after the first one are indented.
pub(super) const INDENT: usize = 4;

/// Prints a line of results, in several lines if the terminal is narrow.
pub(super) fn print_line(line: impl Display) -> anyhow::Result<()> {
    print(wrapped(&line.to_string(), columns(io::stdout()), INDENT))
}

/// Prints a line of results with a command, which can be copied in any case.
pub(super) fn print_command(line: &str) -> anyhow::Result<()> {
    print(wrapped_command(line, columns(io::stdout()), INDENT))
}

/// Prints a message with a command.
pub(super) fn status_command(line: &str) {
    status(wrapped_command(line, columns(io::stderr()), INDENT));
}
