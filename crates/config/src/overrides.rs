use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use crate::document::{Document, item_index};
use crate::error::ConfigError;
use crate::keys::{KeyError, KeyIndex};
use crate::place::{Place, Source};
use crate::value::{Entry, Kind, Value};

/// The most steps of a dotted key: as many as TOML itself is read to. Each makes a table within a table.
const DEEPEST: usize = 80;

/// A key to change and its new value: `KEY=VALUE` of the command line, or a value of a sweep's axis.
///
/// VALUE is read as TOML; what is not TOML and begins like a word is text (`activation=relu`).
#[derive(Debug, Clone)]
pub struct Override {
    key: String,
    value: Value,
    key_place: Place,
}

/// `KEY=VALUE` as it can be given again, VALUE as TOML on one line.
impl fmt::Display for Override {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.key, self.value_text())
    }
}

impl Override {
    /// A value that stands elsewhere, for a key that does.
    #[must_use]
    pub fn new(key: &str, key_place: &Place, value: Value) -> Self {
        Self { key: key.to_owned(), value, key_place: key_place.clone() }
    }

    /// A text for a key, from no file.
    #[must_use]
    pub fn text(key: &str, text: &str) -> Self {
        let source = Arc::new(Source { name: key.to_owned(), text: text.to_owned() });
        let place = Place::new(&source, 0..text.len());
        let value = Value { kind: Kind::String(text.to_owned()), place: place.clone() };
        Self { key: key.to_owned(), value, key_place: place }
    }

    /// The value as it stands in [`Display`](fmt::Display).
    #[must_use]
    pub fn value_text(&self) -> String {
        match &self.value.kind {
            Kind::String(text) if is_plain_word(text) => text.clone(),
            _ => self.value.to_string(),
        }
    }

    /// Splits the argument at its first `=`.
    ///
    /// # Errors
    ///
    /// There is no `=`, no key, no value, or a value that is neither TOML nor a word.
    pub fn parse(argument: &str) -> Result<Self, ConfigError> {
        let argument = Argument::new(argument)?;
        argument.read(argument.value.clone())
    }

    /// As [`parse`](Self::parse), where VALUE is one or more values with commas between them. A
    /// comma within brackets, braces or quotes parts nothing: `units=[300,100],[100]` is two
    /// lists.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse), for each value.
    pub fn parse_list(argument: &str) -> Result<Vec<Self>, ConfigError> {
        let argument = Argument::new(argument)?;
        let parts = at_commas(&argument.source.text, argument.value.clone());
        parts.into_iter().map(|part| argument.read(part)).collect()
    }

    /// The key as it was given.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The new value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// An error about the key.
    #[must_use]
    pub fn key_error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.key_place, message)
    }
}

/// An argument of the command line that changes a key.
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

    /// Reads a part of the argument as the key's value.
    fn read(&self, part: Range<usize>) -> Result<Override, ConfigError> {
        let text = &self.source.text[part.clone()];
        let place = Place::new(&self.source, part.clone());
        if text.trim().is_empty() {
            return Err(ConfigError::at(&place, "there is no value here")
                .expected("expected a value between the commas"));
        }
        // A key that ends where the value begins, so that the value's places are those in the argument.
        let line = format!("{}={text}", "k".repeat(part.start - 1));
        let value = match DeTable::parse(&line) {
            Ok(table) => match (table.get_ref().len(), table.get_ref().values().next()) {
                (1, Some(value)) => Value::from_toml(value, &self.source)?,
                _ => return Err(ConfigError::at(&place, "an override is one value")),
            },
            Err(_) if is_word(text) => {
                Value { kind: Kind::String(text.to_owned()), place: place.clone() }
            }
            Err(error) => {
                let message = error.message().trim().replace('\n', ", ");
                return Err(ConfigError::at(&place, format!("not a TOML value: {message}"))
                    .help("text with spaces or signs stands between quotes: 'name=\"a b\"'"));
            }
        };
        let key = self.source.text[self.key.clone()].trim();
        Ok(Override::new(key, &Place::new(&self.source, self.key.clone()), value))
    }
}

/// The parts of `text[range]` between the commas that stand outside of brackets, braces and quotes.
fn at_commas(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (range.start, 0_usize);
    let (mut quote, mut escaped) = (None, false);
    for (offset, character) in text[range.clone()].char_indices() {
        let at = range.start + offset;
        match (quote, character) {
            // Only a text between double quotes has escapes.
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
    /// Puts an override's value in its place, making tables on the way where there are none.
    ///
    /// `known` holds the dotted path of every key that the experiment has, written or not; the
    /// override's key is one of them, an end of exactly one of them, or a full path whose first
    /// table is known.
    ///
    /// # Errors
    ///
    /// No known path ends so, more than one does, or a step of the path is no table.
    pub fn apply(&mut self, change: &Override, known: &[String]) -> Result<(), ConfigError> {
        let path = self.complete(change, known)?;
        let segments: Vec<&str> = path.split('.').collect();
        put(&mut self.root, &segments, change)
    }

    /// The one full path that the override's key stands for; `known` as in [`apply`](Self::apply).
    ///
    /// # Errors
    ///
    /// No known path ends so, or more than one does.
    pub fn complete(&self, change: &Override, known: &[String]) -> Result<String, ConfigError> {
        let key = change.key.as_str();
        if key.split('.').count() > DEEPEST {
            let message = format!("a key has at most {DEEPEST} steps");
            return Err(ConfigError::at(&change.key_place, message));
        }
        let index = KeyIndex::new(with_tables(known));
        let nearest = match index.complete(key) {
            // A full key stays as it was written.
            Ok(path) if path == key => return Ok(path.to_owned()),
            Ok(path) => return Ok(self.by_names(path)),
            Err(KeyError::Ambiguous(paths)) => return self.only_element(change, &paths),
            Err(KeyError::Unknown { nearest }) => nearest,
        };
        let first = key.split('.').next().unwrap_or(key);
        if first != key && index.contains(first) {
            // A key that is not written yet, such as one of an absent table: the reader will judge it.
            return Ok(key.to_owned());
        }
        let error = ConfigError::at(&change.key_place, format!("no key `{}`", key.escape_debug()));
        Err(match nearest {
            Some(near) => error.expected(format!("did you mean `{near}`?")),
            None => error
                .expected("not a key of the experiment")
                .help("configs/reference.toml shows every key"),
        })
    }

    /// The one path that remains of several when list elements are written by name.
    fn only_element(&self, change: &Override, paths: &[&str]) -> Result<String, ConfigError> {
        // An element with a name has two paths (`layers.1.units`, `layers.hidden.units`) and is one key.
        let mut named: Vec<String> = paths.iter().map(|path| self.by_names(path)).collect();
        named.sort_unstable();
        named.dedup();
        match named.as_slice() {
            [path] => Ok(path.clone()),
            several => {
                let message = format!("`{}` could be several keys", change.key);
                Err(ConfigError::at(&change.key_place, message)
                    .expected("write more of its path")
                    .help(format!("one of {}", several.join(", "))))
            }
        }
    }

    /// The path with list elements written by name instead of by index, if they have one.
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

/// The paths, and those of the tables and lists that hold them: a whole table can be replaced too.
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
            format!("`{}`: there is no `{segment}` in {}", change.key, value.describe()),
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
    let last = items.len().saturating_sub(1);
    let help = match names.as_slice() {
        [] => format!("its elements are 0 to {last}; none has a name"),
        names => format!("its elements are 0 to {last}, and by name: {}", names.join(", ")),
    };
    ConfigError::at(&change.key_place, format!("the list has no element `{segment}`")).help(help)
}

/// Whether a value that is no TOML was meant as text: it starts like a word or a path.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| {
        first.is_alphanumeric() || matches!(first, '_' | '.' | '/' | '~' | '-')
    }) && !text.contains(['\n', '\r'])
}

/// A word that any TOML reader and any shell takes as it stands, and that is not TOML itself.
fn is_plain_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(text, "true" | "false" | "inf" | "nan")
}
