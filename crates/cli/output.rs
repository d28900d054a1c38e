//! The output of the program: results to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anyhow::Context;
use kiln_report::Terminal;
use kiln_store::printable;

/// Prints text to standard output. Control characters except line breaks are escaped.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    print_styled(escape_lines(&text.to_string()))
}

/// Prints text that may contain escape codes for colors. Names from files must have been escaped in it.
pub(crate) fn print_styled(text: impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        // The reader, such as `head`, has read enough. The command still has to exit with its own status.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints a message to standard error. Control characters except line breaks are escaped.
pub(crate) fn status(text: impl Display) {
    status_styled(escape_lines(&text.to_string()));
}

/// Like [`print_styled`], to standard error.
pub(crate) fn status_styled(text: impl Display) {
    // If standard error is closed, there is no place left to report the failure.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error, which must be a single line.
pub(crate) fn error(message: impl Display) {
    status(format_args!("error: {}", printable(&message.to_string())));
}

/// Prints a warning, which must be a single line.
pub(crate) fn warning(message: impl Display) {
    status(format_args!("warning: {}", printable(&message.to_string())));
}

/// Prints what the user can do about the error above it.
pub(crate) fn help(message: impl Display) {
    status(format_args!("help: {message}"));
}

/// Escapes the control characters in each line. Names and paths may contain any character.
pub(crate) fn escape_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// An error and its causes on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    printable(&text).into_owned()
}

/// Whether output to this stream is colored.
pub(crate) fn use_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The width and color of tables on standard output. Without a terminal, tables are not wrapped.
pub(crate) fn terminal() -> Terminal {
    let width = terminal_size::terminal_size().map_or(1000, |(width, _)| width.0);
    Terminal { width, color: use_color(&io::stdout()) }
}

/// The columns of the terminal that a stream writes to; `None` if it is not a terminal.
pub(crate) fn columns(stream: impl AsFd) -> Option<usize> {
    terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0))
}

/// `1 run`, `2 runs`
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
