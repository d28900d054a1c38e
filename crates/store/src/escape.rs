//! Escapes text from outside (class names, run names, messages) for each output format.

use std::borrow::Cow;
use std::fmt::Write;

pub use kiln_config::{is_unprintable, printable as control};

/// For a JSON text written by serde_json, which only escapes the first 32 control characters.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let is_wrong = |character| is_unprintable(character) && character != '\n';
    if !text.contains(is_wrong) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_wrong(character) {
            // All of them are at or below U+FFFF. Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// For XML text and attribute values. Characters that XML 1.0 cannot represent become U+FFFD.
#[must_use]
pub fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ if is_unprintable(character) => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Like [`xml`], for text of several lines.
#[must_use]
pub fn xml_lines(text: &str) -> String {
    text.lines().map(xml).collect::<Vec<_>>().join("\n")
}

/// For a line of Markdown, also in a table cell: no character of `text` acts as markup, HTML or a cell border.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        let is_word = |neighbor: Option<char>| neighbor.is_some_and(char::is_alphanumeric);
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Inside a word an underscore has no effect in Markdown, and val_loss stays readable in the source.
            '_' if is_word(before) && is_word(characters.peek().copied()) => escaped.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' | '@' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ if is_unprintable(character) => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "U+{:04X}", u32::from(character));
            }
            _ => escaped.push(character),
        }
        before = Some(character);
    }
    escaped
}

/// At most `longest` characters; the end of a longer text is replaced by `…`.
#[must_use]
pub fn shorten(text: &str, longest: usize) -> Cow<'_, str> {
    if text.chars().count() <= longest {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    Cow::Owned(kept.trim_end().to_owned() + "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_reach_neither_terminal_nor_markup() {
        let hostile = "a\u{1b}[31m\nb\u{202e}c\u{9b}";
        assert_eq!(control(hostile), "a\\u{1b}[31m\\u{a}b\\u{202e}c\\u{9b}");
        assert_eq!(xml(hostile), "a\u{fffd}[31m\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(json("\"\u{9b}\u{202e}\",\n"), "\"\\u009b\\u202e\",\n");
        assert_eq!(markdown(hostile), "aU+001B\\[31mU+000AbU+202EcU+009B");
    }

    #[test]
    fn markup_is_shown_and_not_obeyed() {
        assert_eq!(xml("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        assert_eq!(markdown("<b>|`x`*[y](z)"), "&lt;b&gt;\\|\\`x\\`\\*\\[y\\](z)");
        assert_eq!(markdown("_a_ __b c_"), "\\_a\\_ \\_\\_b c\\_");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["T-shirt/top", "Ankle boot", "Čepice", "帽子", "it's 100%"] {
            assert_eq!(control(name), name);
        }
        assert_eq!(markdown("T-shirt/top, val_loss!"), "T-shirt/top, val_loss!");
        assert_eq!(xml("T-shirt/top"), "T-shirt/top");
    }
}
