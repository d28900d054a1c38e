use std::borrow::Cow;

/// Text from anywhere made safe for a terminal: control characters, line breaks among them, and the marks that turn the
/// direction of writing become `\u{…}`.
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

/// Control characters, line and paragraph separators, and the marks, embeddings, overrides and isolates of bidirectional
/// text.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A text of lines with U+FFFD in place of what cannot be printed, one character for one, so that columns stay; and where
/// a range of its bytes has come to lie.
pub(crate) fn printable_lines(
    text: &str,
    range: std::ops::Range<usize>,
) -> (Cow<'_, str>, std::ops::Range<usize>) {
    let is_wrong = |character| is_unprintable(character) && !matches!(character, '\n' | '\t');
    if !text.chars().any(is_wrong) {
        return (Cow::Borrowed(text), range);
    }
    let replaced = |part: &str| part.replace("\r\n", "\n").replace(is_wrong, "\u{fffd}");
    let before = replaced(&text[..range.start]);
    let within = replaced(&text[range.clone()]);
    let (start, end) = (before.len(), before.len() + within.len());
    (Cow::Owned(before + &within + &replaced(&text[range.end..])), start..end)
}
