//! Breaks lines between words, so that a terminal does not break them within one.

use unicode_width::UnicodeWidthStr;

/// Breaks a line that is wider than `width` at two spaces, or else at one space, but never inside a word. The lines after
/// the first one are indented by so many columns. Without a width there is one line.
pub(crate) fn wrapped(line: &str, width: Option<usize>, indent: usize) -> String {
    wrap(line, width, indent, "", |part| part.split(' ').map(str::to_owned).collect())
}

/// Like [`wrapped`], for a line with a command, which can still be copied into a shell.
pub(crate) fn wrapped_command(line: &str, width: Option<usize>, indent: usize) -> String {
    wrap(line, width, indent, " \\", |part| {
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
    indent: usize,
    end: &str,
    split: impl Fn(&str) -> Vec<String>,
) -> String {
    let room = width.unwrap_or(usize::MAX);
    if UnicodeWidthStr::width(line) <= room {
        return line.to_owned();
    }
    let room = room.saturating_sub(end.len());
    let text = line.trim_start();
    let mut lines = vec![line[..line.len() - text.len()].to_owned()];
    let mut is_first = true;
    for part in text.split("  ") {
        let fits = indent + UnicodeWidthStr::width(part) <= room;
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
                lines.push(format!("{:indent$}{word}", ""));
            }
            is_first = false;
        }
    }
    lines.join("\n")
}

/// The beginning of a text that fits into `width` columns, cut at a space, with `…` if something was cut. Empty if no word
/// fits.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if UnicodeWidthStr::width(text) <= width {
        return text.to_owned();
    }
    let ends = text.match_indices(' ').map(|(end, _)| end);
    let fits = |end: &usize| UnicodeWidthStr::width(&text[..*end]) + 2 <= width;
    ends.rev().find(fits).map_or_else(String::new, |end| format!("{} …", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_parts_and_never_in_a_word() {
        let line = "[ 3/48] learning_rate=0.1 seed=1  finished  val_accuracy 0.8937  in 3.2 s";
        assert_eq!(wrapped(line, None, 4), line);
        assert_eq!(wrapped(line, Some(73), 4), line);
        assert_eq!(
            wrapped(line, Some(60), 4),
            "[ 3/48] learning_rate=0.1 seed=1  finished\n    val_accuracy 0.8937  in 3.2 s"
        );
        assert_eq!(
            wrapped("after 3 seeds: 11 of 16 combinations stopped", Some(30), 4),
            "after 3 seeds: 11 of 16\n    combinations stopped"
        );
        assert_eq!(wrapped("  repeat:  kiln run", Some(12), 4), "  repeat:\n    kiln run");
        assert_eq!(wrapped("averylongword", Some(5), 4), "averylongword");
        assert_eq!(
            wrapped_command("  race:  kiln sweep 'a b=1' --race", Some(22), 4),
            "  race:  kiln sweep \\\n    'a b=1' --race"
        );
    }

    #[test]
    fn text_is_cut_at_a_space() {
        assert_eq!(cut("learning_rate=0.1 seed=1", 24), "learning_rate=0.1 seed=1");
        assert_eq!(cut("learning_rate=0.1 seed=1", 20), "learning_rate=0.1 …");
        assert_eq!(cut("learning_rate=0.1 seed=1", 10), "");
    }

    #[test]
    fn lines_break_between_words_and_fit() {
        let text = "test: loss 0.3773, accuracy 0.8644 on 10000 images (early stopping)";
        assert_eq!(wrapped(text, None, 2), text);
        assert_eq!(wrapped(text, Some(67), 2), text);
        assert_eq!(
            wrapped(text, Some(66), 2),
            "test: loss 0.3773, accuracy 0.8644 on 10000 images (early\n  stopping)"
        );
        for columns in 12..80 {
            let lines = wrapped(text, Some(columns), 2);
            assert!(
                lines.lines().all(|line| UnicodeWidthStr::width(line) <= columns),
                "{columns}: {lines}"
            );
            let words: Vec<&str> = lines.split_whitespace().collect();
            assert_eq!(words.join(" "), text);
        }
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        assert_eq!(wrapped("in runs/a-long-name now", Some(8), 2), "in\n  runs/a-long-name\n  now");
        // Each of these characters is two columns wide.
        assert_eq!(wrapped("データ セット", Some(8), 2), "データ\n  セット");
    }
}
