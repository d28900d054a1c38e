use std::borrow::Cow;

/// Escapes untrusted text for a terminal: control characters (including line breaks) and the marks
/// that change the writing direction become `\u{…}`.
///
/// ```
/// assert_eq!(kiln_config::printable("red \u{1b}[31m"), "red \\u{1b}[31m");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unprintable(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a character could control a terminal or hide text: control characters, line and paragraph
/// separators, and the marks, embeddings, overrides and isolates of bidirectional text.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Replaces each unprintable character of a multi-line text, except line breaks and tabs, by U+FFFD.
/// Replacing one character by one keeps carets in their columns. Returns the text, and `range` (in
/// bytes) adjusted to it.
pub(crate) fn printable_lines(
    text: &str,
    range: std::ops::Range<usize>,
) -> (Cow<'_, str>, std::ops::Range<usize>) {
    let must_be_replaced =
        |character| is_unprintable(character) && !matches!(character, '\n' | '\t');
    if !text.chars().any(must_be_replaced) {
        return (Cow::Borrowed(text), range);
    }
    // A carriage return at the end of a line is part of the line break, not of the text.
    let replaced = |part: &str| part.replace("\r\n", "\n").replace(must_be_replaced, "\u{fffd}");
    let before = replaced(&text[..range.start]);
    let within = replaced(&text[range.clone()]);
    let (start, end) = (before.len(), before.len() + within.len());
    (Cow::Owned(before + &within + &replaced(&text[range.end..])), start..end)
}
