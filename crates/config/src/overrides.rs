use std::sync::Arc;

use toml::de::DeTable;

use crate::document::{Document, item_index};
use crate::error::{ConfigError, nearest};
use crate::place::{Place, Source};
use crate::value::{Entry, Kind, Value};

/// `KEY=VALUE` from the command line.
///
/// VALUE is read as TOML; what is not TOML and begins like a word is text (`activation=relu`).
#[derive(Debug, Clone)]
pub struct Override {
    key: String,
    value: Value,
    key_place: Place,
}

impl Override {
    /// Splits the argument at its first `=`.
    ///
    /// # Errors
    ///
    /// There is no `=`, no key, no value, or a value that is neither TOML nor a word.
    pub fn parse(argument: &str) -> Result<Self, ConfigError> {
        let source =
            Arc::new(Source { name: "command line".to_owned(), text: argument.to_owned() });
        let all = Place::new(&source, 0..argument.len());
        let Some((key, text)) = argument.split_once('=') else {
            return Err(ConfigError::at(&all, "an override needs a value")
                .expected("expected KEY=VALUE")
                .help("for example: learning_rate=0.03"));
        };
        let start = key.len() + 1;
        let place = Place::new(&source, start..argument.len());
        if key.trim().is_empty() || text.trim().is_empty() {
            let missing = if key.trim().is_empty() { "key" } else { "value" };
            return Err(ConfigError::at(&all, format!("this override has no {missing}"))
                .expected("expected KEY=VALUE"));
        }
        // A key of the same length, so that the value's places are those in the argument.
        let line = format!("{}={text}", "k".repeat(key.len()));
        let value = match DeTable::parse(&line) {
            Ok(table) => match (table.get_ref().len(), table.get_ref().values().next()) {
                (1, Some(value)) => Value::from_toml(value, &source)?,
                _ => return Err(ConfigError::at(&place, "an override is one value")),
            },
            Err(_) if is_word(text) => {
                Value { kind: Kind::String(text.to_owned()), place: place.clone() }
            }
            Err(error) => {
                return Err(ConfigError::at(
                    &place,
                    format!("not a TOML value: {}", error.message()),
                )
                .help("text with spaces or signs stands between quotes: 'name=\"a b\"'"));
            }
        };
        let key_place = Place::new(&source, 0..key.len());
        Ok(Self { key: key.trim().to_owned(), value, key_place })
    }
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

    /// The one full path that the override's key stands for.
    fn complete(&self, change: &Override, known: &[String]) -> Result<String, ConfigError> {
        let key = change.key.as_str();
        let known = &with_tables(known);
        if known.iter().any(|path| path == key) {
            return Ok(key.to_owned());
        }
        let ending = format!(".{key}");
        let mut matches: Vec<String> = known
            .iter()
            .filter(|path| path.ends_with(&ending))
            .map(|path| self.by_names(path))
            .collect();
        matches.sort_unstable();
        matches.dedup();
        match matches.as_slice() {
            [one] => return Ok(one.clone()),
            [] => {}
            several => {
                return Err(ConfigError::at(
                    &change.key_place,
                    format!("`{key}` could be several keys"),
                )
                .expected("write more of its path")
                .help(format!("one of {}", several.join(", "))));
            }
        }
        let first = key.split('.').next().unwrap_or(key);
        if first != key && known.iter().any(|path| path.split('.').next() == Some(first)) {
            // A key that is not written yet, such as one of an absent table: the reader will judge it.
            return Ok(key.to_owned());
        }
        let ends = known.iter().flat_map(|path| {
            std::iter::once(path.as_str())
                .chain(path.match_indices('.').map(|(dot, _)| &path[dot + 1..]))
        });
        let error = ConfigError::at(&change.key_place, format!("no key `{}`", key.escape_debug()));
        Err(match nearest(key, ends) {
            Some(near) => error.expected(format!("did you mean `{near}`?")),
            None => error
                .expected("not a key of the experiment")
                .help("configs/reference.toml shows every key"),
        })
    }

    /// The path with its steps into lists by name, where the element has one: an element is
    /// known by its index too, and that is not another key.
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
fn with_tables(paths: &[String]) -> Vec<String> {
    let mut all: Vec<String> = paths
        .iter()
        .flat_map(|path| {
            let tables = path.match_indices('.').map(|(dot, _)| path[..dot].to_owned());
            tables.chain([path.clone()])
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
