//! What the program prints: results to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anyhow::Context;
use kiln_report::Terminal;
use kiln_store::printable;
use unicode_width::UnicodeWidthStr;

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

/// Joins parts to lines of at most this many columns. Lines after the first are indented. A part that is longer than a line
/// is not broken. Without a limit there is one line.
pub(crate) fn joined<T: AsRef<str>>(
    parts: impl IntoIterator<Item = T>,
    separator: &str,
    columns: Option<usize>,
    indent: usize,
) -> String {
    let columns = columns.unwrap_or(usize::MAX);
    let (mut text, mut used) = (String::new(), 0);
    for part in parts {
        let part = part.as_ref();
        let width = part.width();
        if text.is_empty() {
            used = width;
        } else if used + separator.width() + width <= columns {
            text.push_str(separator);
            used += separator.width() + width;
        } else {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            used = indent + width;
        }
        text.push_str(part);
    }
    text
}

/// Breaks a text between words, so that a terminal does not break it within one.
pub(crate) fn wrapped(text: &str, columns: Option<usize>) -> String {
    joined(text.split(' '), " ", columns, 2)
}

/// `1 run`, `2 runs`
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_fit() {
        let text = "test: loss 0.3773, accuracy 0.8644 on 10000 images (early stopping)";
        assert_eq!(wrapped(text, None), text);
        assert_eq!(wrapped(text, Some(67)), text);
        assert_eq!(
            wrapped(text, Some(66)),
            "test: loss 0.3773, accuracy 0.8644 on 10000 images (early\n  stopping)"
        );
        for columns in 12..80 {
            let lines = wrapped(text, Some(columns));
            assert!(lines.lines().all(|line| line.width() <= columns), "{columns}: {lines}");
            let words: Vec<&str> = lines.split_whitespace().collect();
            assert_eq!(words.join(" "), text);
        }
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        assert_eq!(wrapped("in runs/a-long-name now", Some(8)), "in\n  runs/a-long-name\n  now");
        // Each of these characters is two columns wide.
        assert_eq!(wrapped("データ セット", Some(8)), "データ\n  セット");
    }
}
