//! The lines of a sweep in a narrow terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use unicode_width::UnicodeWidthStr;

use crate::output::{print, status};

/// The columns of the terminal that a stream writes to; `None` if it is not a terminal.
fn columns(stream: impl AsFd + IsTerminal) -> Option<usize> {
    let is_terminal = stream.is_terminal();
    let width = terminal_size::terminal_size_of(stream).filter(|_| is_terminal);
    width.map(|(width, _)| usize::from(width.0))
}

/// The columns of standard error; `None` if it is not a terminal.
pub(super) fn status_columns() -> Option<usize> {
    columns(io::stderr())
}

/// Prints a line of results, in several lines if the terminal is narrow.
pub(super) fn print_line(line: impl Display) -> anyhow::Result<()> {
    print(wrapped(&line.to_string(), columns(io::stdout())))
}

/// Prints a line of results with a command, which can be copied in any case.
pub(super) fn print_command(line: &str) -> anyhow::Result<()> {
    print(wrapped_command(line, columns(io::stdout())))
}

/// Prints a message with a command.
pub(super) fn status_command(line: &str) {
    status(wrapped_command(line, status_columns()));
}

/// Breaks a line that is wider than `width` at two spaces, or else at one space, but never inside a word. The
/// lines after the first one are indented by four columns.
pub(super) fn wrapped(line: &str, width: Option<usize>) -> String {
    wrap(line, width, "", |part| part.split(' ').map(str::to_owned).collect())
}

/// Like [`wrapped`], for a line with a command, which can still be copied into a shell.
fn wrapped_command(line: &str, width: Option<usize>) -> String {
    wrap(line, width, " \\", |part| {
        let mut words: Vec<String> = Vec::new();
        for word in part.split(' ') {
            match words.last_mut().filter(|last| !last.matches('\'').count().is_multiple_of(2)) {
                // A space between quotes.
                Some(last) => last.push_str(&format!(" {word}")),
                None => words.push(word.to_owned()),
            }
        }
        words
    })
}

/// Breaks a line between the words that `split` returns for a part of it. `end` follows each line but the last.
fn wrap(
    line: &str,
    width: Option<usize>,
    end: &str,
    split: impl Fn(&str) -> Vec<String>,
) -> String {
    const INDENT: &str = "    ";
    let room = width.unwrap_or(usize::MAX);
    if UnicodeWidthStr::width(line) <= room {
        return line.to_owned();
    }
    let room = room.saturating_sub(end.len());
    let text = line.trim_start();
    let mut lines = vec![line[..line.len() - text.len()].to_owned()];
    let mut is_first = true;
    for part in text.split("  ") {
        let fits = INDENT.len() + UnicodeWidthStr::width(part) <= room;
        let words = if fits { vec![part.to_owned()] } else { split(part) };
        for (index, word) in words.iter().enumerate() {
            let gap = match (is_first, index) {
                (true, _) => "",
                (false, 0) => "  ",
                (false, _) => " ",
            };
            let Some(last) = lines.last_mut() else { continue };
            let needed = [last.as_str(), gap, word].map(UnicodeWidthStr::width);
            if is_first || needed.iter().sum::<usize>() <= room {
                last.push_str(&format!("{gap}{word}"));
            } else {
                last.push_str(end);
                lines.push(format!("{INDENT}{word}"));
            }
            is_first = false;
        }
    }
    lines.join("\n")
}

/// The beginning of a text that fits into `width` columns, cut at a space, with `…` if something was cut. Empty if no word
/// fits.
pub(super) fn cut(text: &str, width: usize) -> String {
    if UnicodeWidthStr::width(text) <= width {
        return text.to_owned();
    }
    let ends = text.match_indices(' ').map(|(end, _)| end);
    let fits = |end: &usize| UnicodeWidthStr::width(&text[..*end]) + 2 <= width;
    ends.rev().find(fits).map_or_else(String::new, |end| format!("{} …", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::{cut, wrapped, wrapped_command};

    #[test]
    fn lines_break_between_parts_and_never_in_a_word() {
        let line = "[ 3/48] learning_rate=0.1 seed=1  finished  val_accuracy 0.8937  in 3.2 s";
        assert_eq!(wrapped(line, None), line);
        assert_eq!(wrapped(line, Some(73)), line);
        assert_eq!(
            wrapped(line, Some(60)),
            "[ 3/48] learning_rate=0.1 seed=1  finished\n    val_accuracy 0.8937  in 3.2 s"
        );
        assert_eq!(
            wrapped("after 3 seeds: 11 of 16 combinations stopped", Some(30)),
            "after 3 seeds: 11 of 16\n    combinations stopped"
        );
        assert_eq!(wrapped("  repeat:  kiln run", Some(12)), "  repeat:\n    kiln run");
        assert_eq!(wrapped("averylongword", Some(5)), "averylongword");
        assert_eq!(
            wrapped_command("  race:  kiln sweep 'a b=1' --race", Some(22)),
            "  race:  kiln sweep \\\n    'a b=1' --race"
        );
    }

    #[test]
    fn text_is_cut_at_a_space() {
        assert_eq!(cut("learning_rate=0.1 seed=1", 24), "learning_rate=0.1 seed=1");
        assert_eq!(cut("learning_rate=0.1 seed=1", 20), "learning_rate=0.1 …");
        assert_eq!(cut("learning_rate=0.1 seed=1", 10), "");
    }
}
