use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::error::ConfigError;
use crate::place::{Place, Source};
use crate::spelling;
use crate::value::{Kind, Value};

/// A key and its new value: `KEY=VALUE` from the command line, or a value of a sweep's axis.
///
/// VALUE is TOML. Strings need no quotes if they start like a word or a path (`activation=relu`).
#[derive(Debug, Clone)]
pub struct Override {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) key_place: Place,
}

/// Displays `KEY=VALUE` on one line, in the form that [`Override::parse`] reads.
impl fmt::Display for Override {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.key, self.value_text())
    }
}

impl Override {
    /// An override whose key and value were written in a file.
    #[must_use]
    pub fn new(key: &str, key_place: &Place, value: Value) -> Self {
        Self { key: key.to_owned(), value, key_place: key_place.clone() }
    }

    /// An override by a string that was not written in a file.
    #[must_use]
    pub fn text(key: &str, text: &str) -> Self {
        let source =
            Arc::new(Source { name: key.to_owned(), text: text.to_owned(), is_argument: false });
        let place = Place::new(&source, 0..text.len());
        let value = Value { kind: Kind::String(text.to_owned()), place: place.clone() };
        Self { key: key.to_owned(), value, key_place: place }
    }

    /// An override of the same key by another value.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }

    /// The VALUE of `KEY=VALUE`: TOML on one line, or a string without quotes if that is unambiguous.
    #[must_use]
    pub fn value_text(&self) -> String {
        match &self.value.kind {
            Kind::String(text) if needs_no_quotes(text) => text.clone(),
            _ => self.value.to_string(),
        }
    }

    /// Parses `KEY=VALUE`. The first `=` separates the two.
    ///
    /// # Errors
    ///
    /// The argument has no `=`, no key or no value, or the value is neither TOML nor a string that
    /// needs no quotes.
    pub fn parse(argument: &str) -> Result<Self, ConfigError> {
        let argument = Argument::new(argument)?;
        argument.read(argument.value.clone())
    }

    /// Parses `KEY=VALUE,VALUE,…` into one override per value. Commas inside brackets, braces,
    /// parentheses or quotes do not separate values: `units=[300,100],[100]` has two values.
    ///
    /// # Errors
    ///
    /// The errors of [`parse`](Self::parse), for each value.
    pub fn parse_list(argument: &str) -> Result<Vec<Self>, ConfigError> {
        let argument = Argument::new(argument)?;
        let parts = split_at_commas(&argument.source.text, argument.value.clone());
        parts.into_iter().map(|part| argument.read(part)).collect()
    }

    /// The key as written, possibly a short form.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The new value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// An error that points at the key.
    #[must_use]
    pub fn key_error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.key_place, message)
    }
}

/// A `KEY=VALUE` argument of the command line, split at the `=` into byte ranges.
struct Argument {
    source: Arc<Source>,
    key: Range<usize>,
    value: Range<usize>,
}

impl Argument {
    fn new(text: &str) -> Result<Self, ConfigError> {
        let source = Arc::new(Source {
            name: "command line".to_owned(),
            text: text.to_owned(),
            is_argument: true,
        });
        let all = Place::new(&source, 0..text.len());
        let help = "write KEY=VALUE, such as learning_rate=0.03";
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.trim().is_empty() {
            return Err(ConfigError::at(&all, "missing key").help(help));
        }
        if value.trim().is_empty() {
            let message = format!("missing value for `{}`", key.trim().escape_debug());
            return Err(ConfigError::at(&all, message).help(help));
        }
        let (key, value) = (0..key.len(), key.len() + 1..text.len());
        Ok(Self { source, key, value })
    }

    /// Parses a part of the argument as the value of an override.
    fn read(&self, part: Range<usize>) -> Result<Override, ConfigError> {
        let text = &self.source.text[part.clone()];
        let place = Place::new(&self.source, part.clone());
        if text.trim().is_empty() {
            return Err(ConfigError::at(&place, "a value is missing")
                .expected("expected a value between the commas"));
        }
        // Parses a line of TOML in which the value has the same byte offsets as in the argument, so
        // that places of the parser are places in the argument.
        let line = format!("{}={text}", "k".repeat(part.start - 1));
        let value = match DeTable::parse(&line) {
            Ok(table) => match (table.get_ref().len(), table.get_ref().values().next()) {
                // A date cannot be the value of any key, except of one that is a string.
                (1, Some(value)) if matches!(value.get_ref(), DeValue::Datetime(_)) => {
                    Value { kind: Kind::String(text.trim().to_owned()), place: place.clone() }
                }
                (1, Some(value)) => Value::from_toml(value, &self.source)?,
                // A line break in the argument may start another key.
                _ => return Err(ConfigError::at(&place, "an override takes exactly one value")),
            },
            // Quotes are optional because most shells remove them.
            Err(_) if is_unquoted_string(text) => {
                Value { kind: Kind::String(text.to_owned()), place: place.clone() }
            }
            Err(error) => {
                let message = error.message().trim().replace('\n', ", ");
                let error = ConfigError::at(&place, format!("not a TOML value: {message}"));
                return Err(match spelling::with_quotes(&self.source.text) {
                    Some(argument) => {
                        error.help(format!("the shell removed the quotes: write '{argument}'"))
                    }
                    None => error
                        .help("quote strings with spaces or special characters: 'name=\"a b\"'"),
                });
            }
        };
        let key = self.source.text[self.key.clone()].trim();
        Ok(Override::new(key, &Place::new(&self.source, self.key.clone()), value))
    }
}

/// Splits `text[range]` at the commas outside brackets, braces, parentheses and quotes.
pub(crate) fn split_at_commas(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (range.start, 0_usize);
    let (mut quote, mut escaped) = (None, false);
    for (offset, character) in text[range.clone()].char_indices() {
        let at = range.start + offset;
        match (quote, character) {
            // Single-quoted strings of TOML have no escapes.
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), _) if character == open && !escaped => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(start..at);
                start = at + 1;
            }
            (None, _) => {}
        }
        escaped = false;
    }
    parts.push(start..range.end);
    parts
}

/// Whether a value that is not TOML is a string without quotes: it starts like a word or a path.
fn is_unquoted_string(text: &str) -> bool {
    text.starts_with(|first: char| {
        first.is_alphanumeric() || matches!(first, '_' | '.' | '/' | '~' | '-')
    }) && !text.contains(['\n', '\r'])
}

/// Whether [`Override::parse`] and every shell read this string back without quotes.
fn needs_no_quotes(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(text, "true" | "false" | "inf" | "nan")
}
