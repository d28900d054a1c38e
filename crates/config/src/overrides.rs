use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use crate::document::{Document, item_index};
use crate::error::ConfigError;
use crate::keys::{KeyError, KeyIndex};
use crate::place::{Place, Source};
use crate::value::{Entry, Kind, Value};

/// Limit for the steps of a dotted key, which may each create a nested table. The `toml` crate has the
/// same limit for nesting.
const MAX_STEPS: usize = 80;

/// A key and its new value: `KEY=VALUE` from the command line, or a value of a sweep's axis.
///
/// VALUE is TOML. Strings need no quotes if they start like a word or a path (`activation=relu`).
#[derive(Debug, Clone)]
pub struct Override {
    key: String,
    value: Value,
    key_place: Place,
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
        let source = Arc::new(Source { name: key.to_owned(), text: text.to_owned() });
        let place = Place::new(&source, 0..text.len());
        let value = Value { kind: Kind::String(text.to_owned()), place: place.clone() };
        Self { key: key.to_owned(), value, key_place: place }
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

    /// Parses `KEY=VALUE,VALUE,…` into one override per value. Commas inside brackets, braces or
    /// quotes do not separate values: `units=[300,100],[100]` has two values.
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
        let source = Arc::new(Source { name: "command line".to_owned(), text: text.to_owned() });
        let all = Place::new(&source, 0..text.len());
        let Some((key, value)) = text.split_once('=') else {
            return Err(ConfigError::at(&all, "an override needs a value")
                .expected("expected KEY=VALUE")
                .help("for example: learning_rate=0.03"));
        };
        if key.trim().is_empty() || value.trim().is_empty() {
            let missing = if key.trim().is_empty() { "key" } else { "value" };
            return Err(ConfigError::at(&all, format!("this override has no {missing}"))
                .expected("expected KEY=VALUE"));
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
        // A line of TOML in which the value has the same byte offsets as in the argument, so that
        // the parser's places are valid there.
        let line = format!("{}={text}", "k".repeat(part.start - 1));
        let value = match DeTable::parse(&line) {
            Ok(table) => match (table.get_ref().len(), table.get_ref().values().next()) {
                (1, Some(value)) => Value::from_toml(value, &self.source)?,
                _ => return Err(ConfigError::at(&place, "an override takes exactly one value")),
            },
            Err(_) if is_unquoted_string(text) => {
                Value { kind: Kind::String(text.to_owned()), place: place.clone() }
            }
            Err(error) => {
                let message = error.message().trim().replace('\n', ", ");
                return Err(ConfigError::at(&place, format!("not a TOML value: {message}"))
                    .help("quote strings with spaces or special characters: 'name=\"a b\"'"));
            }
        };
        let key = self.source.text[self.key.clone()].trim();
        Ok(Override::new(key, &Place::new(&self.source, self.key.clone()), value))
    }
}

/// Splits `text[range]` at the commas outside brackets, braces and quotes.
fn split_at_commas(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
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
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
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

impl Document {
    /// Sets the override's key to its value. Creates missing tables.
    ///
    /// `known` has the dotted path of every key of the experiment, including keys that are not
    /// written in this document.
    ///
    /// # Errors
    ///
    /// The errors of [`complete`](Self::complete), or a step of the path leads into a value that is
    /// neither a table nor a list with such an element.
    pub fn apply(&mut self, change: &Override, known: &[String]) -> Result<(), ConfigError> {
        let path = self.complete(change, known)?;
        let segments: Vec<&str> = path.split('.').collect();
        put(&mut self.root, &segments, change)
    }

    /// The full path of the override's key, which may be any unambiguous end of a path in `known`
    /// (see [`apply`](Self::apply)) or of a table above one. A key of several steps whose first step
    /// is known is taken to be a full path.
    ///
    /// # Errors
    ///
    /// The key is unknown or ambiguous, or has more than 80 steps.
    pub fn complete(&self, change: &Override, known: &[String]) -> Result<String, ConfigError> {
        let key = change.key.as_str();
        if key.split('.').count() > MAX_STEPS {
            let message = format!("a key can have at most {MAX_STEPS} steps");
            return Err(ConfigError::at(&change.key_place, message));
        }
        let index = KeyIndex::new(with_tables(known));
        let nearest = match index.complete(key) {
            // A full path stays as written, even if it has an index instead of a name.
            Ok(path) if path == key => return Ok(path.to_owned()),
            Ok(path) => return Ok(self.by_names(path)),
            Err(KeyError::Ambiguous(paths)) => return self.only_element(change, &paths),
            Err(KeyError::Unknown { nearest }) => nearest,
        };
        let first = key.split('.').next().unwrap_or(key);
        if first != key && index.contains(first) {
            // A key of a table that the document does not have yet. Reading it will tell whether it is valid.
            return Ok(key.to_owned());
        }
        let error =
            ConfigError::at(&change.key_place, format!("unknown key `{}`", key.escape_debug()));
        Err(match nearest {
            Some(near) => error.expected(format!("did you mean `{near}`?")),
            None => error
                .expected("not a key of the experiment")
                .help("configs/reference.toml lists every key"),
        })
    }

    /// The only path that remains of several after [`by_names`](Self::by_names).
    fn only_element(&self, change: &Override, paths: &[&str]) -> Result<String, ConfigError> {
        // `layers.1.units` and `layers.hidden.units` can be the same key.
        let mut named: Vec<String> = paths.iter().map(|path| self.by_names(path)).collect();
        named.sort_unstable();
        named.dedup();
        match named.as_slice() {
            [path] => Ok(path.clone()),
            several => {
                let message = format!("`{}` is ambiguous", change.key);
                Err(ConfigError::at(&change.key_place, message)
                    .expected("write more steps of the key")
                    .help(format!("one of {}", several.join(", "))))
            }
        }
    }

    /// The path with the names of list elements in place of their indices, if they have names.
    fn by_names(&self, path: &str) -> String {
        let mut value = Some(&self.root);
        let step = |segment: &str| {
            let in_list = matches!(value.map(|value| &value.kind), Some(Kind::Array(_)));
            value = value.and_then(|value| value.child(segment));
            match value.and_then(|value| value.child("name")).map(|name| &name.kind) {
                Some(Kind::String(name)) if in_list => name.clone(),
                _ => segment.to_owned(),
            }
        };
        path.split('.').map(step).collect::<Vec<_>>().join(".")
    }
}

/// Adds the paths of all tables and lists above the given paths, because an override may replace a
/// whole table. Sorted.
fn with_tables(paths: &[String]) -> Vec<&str> {
    let mut all: Vec<&str> = paths
        .iter()
        .flat_map(|path| {
            let tables = path.match_indices('.').map(|(dot, _)| &path[..dot]);
            tables.chain([path.as_str()])
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn put(value: &mut Value, path: &[&str], change: &Override) -> Result<(), ConfigError> {
    let Some((segment, rest)) = path.split_first() else {
        *value = change.value.clone();
        return Ok(());
    };
    match &mut value.kind {
        Kind::Table(entries) => {
            let index = match entries.iter().position(|entry| entry.key == **segment) {
                Some(index) => index,
                None => {
                    let empty =
                        Value { kind: Kind::Table(Vec::new()), place: change.key_place.clone() };
                    entries.push(Entry {
                        key: (*segment).to_owned(),
                        key_place: change.key_place.clone(),
                        value: empty,
                    });
                    entries.len() - 1
                }
            };
            put(&mut entries[index].value, rest, change)
        }
        Kind::Array(items) => match item_index(items, segment) {
            Some(index) => put(&mut items[index], rest, change),
            None => Err(no_such_item(items, segment, change)),
        },
        _ => Err(ConfigError::at(
            &change.key_place,
            format!("`{}`: {} has no key `{segment}`", change.key, value.describe()),
        )),
    }
}

fn no_such_item(items: &[Value], segment: &str, change: &Override) -> ConfigError {
    let names: Vec<&str> = items
        .iter()
        .filter_map(|item| match &item.child("name")?.kind {
            Kind::String(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let help = match (items.len(), names.as_slice()) {
        (0, _) => "the list is empty".to_owned(),
        (count, []) => format!("its elements are 0 to {}; none has a name", count - 1),
        (count, names) => {
            format!("its elements are 0 to {}, or by name: {}", count - 1, names.join(", "))
        }
    };
    ConfigError::at(&change.key_place, format!("the list has no element `{segment}`")).help(help)
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
