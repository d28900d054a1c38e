//! Advice for values that are spelled as in other languages, or that the shell has changed.

use toml::de::DeTable;

use crate::error::ConfigError;
use crate::overrides::split_at_commas;
use crate::place::Place;
use crate::synonyms::folded;
use crate::value::{Kind, Value};

/// Adds the advice to write the spelling that `respell` returns for the text of the value.
pub(crate) fn write_instead(
    value: &Value,
    error: ConfigError,
    respell: impl FnOnce(&str) -> Option<String>,
) -> ConfigError {
    let text = match &value.kind {
        Kind::String(text) => text.trim(),
        Kind::Integer(_) | Kind::Float(_) => value.place().text().trim(),
        _ => return error,
    };
    let without_quotes = match value.place().text().starts_with(['"', '\'']) {
        true => " without quotes",
        false => "",
    };
    match respell(text) {
        Some(spelling) => error.help(format!("write {spelling}{without_quotes}")),
        None => error,
    }
}

/// The advice for a text that is not TOML, from the characters around the byte that is wrong.
pub(crate) fn in_toml(text: &str, wrong: usize) -> Option<String> {
    let ends = |character: char| character.is_whitespace() || "=[]{},#".contains(character);
    let start = text[..wrong].rfind(ends).map_or(0, |end| end + 1);
    let start = text.ceil_char_boundary(start).min(wrong);
    let end = text[wrong..].find(ends).map_or(text.len(), |length| wrong + length);
    let token = &text[start..end];
    if let Some(spelling) = boolean(token).or_else(|| number(token)) {
        return Some(format!("write {spelling}"));
    }
    // Probably a string without quotes (`activation = relu`).
    let is_word = token.starts_with(|first: char| first.is_alphabetic());
    is_word.then(|| "strings must be quoted: \"…\"".to_owned())
}

/// `true` or `false` for a text with this meaning.
pub(crate) fn boolean(text: &str) -> Option<String> {
    let meaning = match folded(text).as_str() {
        "true" | "yes" | "y" | "on" | "1" => "true",
        "false" | "no" | "n" | "off" | "0" => "false",
        _ => return None,
    };
    Some(meaning.to_owned())
}

/// A number as TOML: `0.01` for `.01`, `1.0` for `1.`.
pub(crate) fn number(text: &str) -> Option<String> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let zero = if digits.starts_with('.') { "0" } else { "" };
    let mut spelling = format!("{sign}{zero}{digits}");
    if let Some((whole, rest)) = spelling.split_once('.')
        && !rest.starts_with(|digit: char| digit.is_ascii_digit())
    {
        spelling = format!("{whole}.0{rest}");
    }
    let is_toml = is_value(&spelling);
    Some(if is_toml { spelling } else { format!("{number:?}") })
}

/// A whole number as TOML: `10` for `1e1` and `10.0`.
pub(crate) fn integer(text: &str) -> Option<String> {
    // Beyond this, an f64 does not represent every whole number.
    const MAX: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.replace('_', "").parse().ok()?;
    let is_whole = number.fract() == 0.0 && (0.0..=MAX).contains(&number);
    is_whole.then(|| format!("{number:.0}"))
}

/// The advice for a string in place of a table: `optimizer=adam`. `has_type` is whether the table has a key `type`.
pub(crate) fn as_table(place: &Place, text: &str, has_type: bool) -> Option<String> {
    let Some(argument) = place.argument() else {
        return has_type.then(|| format!("write {{ type = {text:?} }}"));
    };
    let (key, values) = argument.split_once('=')?;
    if is_assignment(text) {
        // bash makes two arguments of optimizer={type="sgd",momentum=0.9}.
        let assignment = with_quotes(text).unwrap_or_else(|| text.to_owned());
        return Some(format!(
            "quote the argument, so that the shell keeps its braces: '{key}={{{assignment}, …}}'"
        ));
    }
    let parts = split_at_commas(values, 0..values.len());
    let as_table = |part: &str| match is_word(part) {
        true => format!("{{type=\"{part}\"}}"),
        false => part.to_owned(),
    };
    let tables: Vec<String> = parts.into_iter().map(|part| as_table(values[part].trim())).collect();
    has_type.then(|| format!("write '{key}={}'", tables.join(",")))
}

/// The argument with quotes around its words, if that makes all its values TOML: `optimizer={type="adam"}` for
/// `optimizer={type=adam}`, because shells remove quotes.
pub(crate) fn with_quotes(argument: &str) -> Option<String> {
    let (key, values) = argument.split_once('=')?;
    let parts = split_at_commas(values, 0..values.len()).into_iter().map(|part| &values[part]);
    let quoted = parts.map(|part| {
        let quoted = quote_words(part);
        is_value(&quoted).then_some(quoted)
    });
    Some(format!("{key}={}", quoted.collect::<Option<Vec<_>>>()?.join(",")))
}

/// Puts quotes around the words of a value that are not keys, and not in quotes already.
fn quote_words(text: &str) -> String {
    const SEPARATORS: [char; 8] = ['[', ']', '{', '}', ',', '=', '"', '\''];
    let mut quoted = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quote) = rest.chars().next().filter(|first| matches!(first, '"' | '\'')) {
            let end = rest[1..].find(quote).map_or(rest.len(), |end| end + 2);
            quoted.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let end = rest.find(SEPARATORS).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        let word = token.trim();
        if is_word(word) && !after.starts_with('=') {
            quoted.push_str(&token.replace(word, &format!("\"{word}\"")));
        } else {
            quoted.push_str(token);
        }
        // A quote is not a separator: it starts the next token.
        let separator = usize::from(after.starts_with(&SEPARATORS[..6]));
        quoted.push_str(&after[..separator]);
        rest = &after[separator..];
    }
    quoted
}

/// Whether a text is a string without quotes that TOML would accept with quotes.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '.' | '/' | '~'))
        && !text.contains(['"', '\\', '\n', '\r'])
        && !is_value(text)
}

/// Whether a text is `KEY=VALUE`.
fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, _)| {
        key.starts_with(|first: char| first.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Whether a text is a value of TOML.
fn is_value(text: &str) -> bool {
    !text.contains(['\n', '\r']) && DeTable::parse(&format!("k={text}")).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Document, Override, Table};

    #[test]
    fn numbers_and_truth_values_become_toml() {
        for (text, expected) in [
            (".5", Some("0.5")),
            ("-.5e3", Some("-0.5e3")),
            ("+1.", Some("1.0")),
            ("1.e-3", Some("1.0e-3")),
            ("0.1", Some("0.1")),
            ("007", Some("7.0")),
            ("1,5", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(number(text).as_deref(), expected, "{text}");
        }
        assert_eq!(integer("1e3").as_deref(), Some("1000"));
        assert_eq!(integer("1.5"), None);
        assert_eq!(integer("1e300"), None);
        assert_eq!(boolean("TRUE").as_deref(), Some("true"));
        assert_eq!(boolean("maybe"), None);
    }

    #[test]
    fn only_words_that_are_values_get_quotes() {
        assert_eq!(
            with_quotes("a={type=sgd, x = [b, 1, true], 'y' = 'c,d'},{}").as_deref(),
            Some("a={type=\"sgd\", x = [\"b\", 1, true], 'y' = 'c,d'},{}")
        );
        assert_eq!(with_quotes("a={type=sgd"), None);
        assert_eq!(with_quotes("a={b c=1}"), None);
    }

    proptest! {
        #[test]
        fn any_argument_and_any_file_is_read_without_a_panic(text in r#"[a=\[\]{}",.'# \n\\é0-]{0,12}"#) {
            if let Ok(change) = Override::parse(&format!("key={text}")) {
                let read = |table: &mut Table<'_>| table.optional::<f64>("type");
                let _ = change.value().read_table(read);
            }
            let _ = Override::parse(&text);
            let _ = Override::parse_list(&format!("key={text}"));
            let _ = Document::parse("file.toml", &text);
            let _ = Document::parse("file.toml", &format!("key = {text}"));
        }
    }
}
