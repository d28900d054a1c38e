//! Applies overrides to a document.

use crate::document::{Document, item_index};
use crate::error::ConfigError;
use crate::keys::{KeyError, KeyIndex};
use crate::overrides::Override;
use crate::value::{Entry, Kind, Value};

/// Limit for the steps of a dotted key, which may each create a nested table. The `toml` crate has the
/// same limit for nesting.
const MAX_STEPS: usize = 80;

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
        self.set(&path, change)
    }

    /// Like [`apply`](Self::apply), for a key whose full path is known.
    ///
    /// # Errors
    ///
    /// A step of the path leads into a value that is neither a table nor a list with such an element.
    pub fn set(&mut self, path: &str, change: &Override) -> Result<(), ConfigError> {
        let segments: Vec<&str> = path.split('.').collect();
        put(&mut self.root, &segments, change)
    }

    /// The full path of the override's key, which may be any unambiguous end of a path in `known`
    /// (see [`apply`](Self::apply)) or of a table above one. A key of several steps whose first step
    /// is known is taken to be a full path. A key that is both a table and the end of a key of another table is the table
    /// if the value is one.
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
        // `test=1000` is the key `data.test` and not the table `[test]`, because a table has another kind of value.
        let is_table = matches!(change.value.kind, Kind::Table(_) | Kind::Array(_));
        if !is_table
            && !known.iter().any(|path| path == key)
            && index.contains(key)
            && let Ok(path) = KeyIndex::new(known.iter().map(String::as_str)).complete(key)
        {
            return Ok(self.by_names(path));
        }
        let nearest = match index.complete(key) {
            // A full path stays as written, even if it has an index instead of a name.
            Ok(path) if path == key => return Ok(path.to_owned()),
            Ok(path) => return Ok(self.by_names(path)),
            Err(KeyError::Ambiguous(paths)) => return self.only_element(change, &paths, &index),
            Err(KeyError::Unknown { nearest }) => nearest,
        };
        // The document may not have the table of this key yet. Reading it will check the key.
        let first = key.split('.').next().unwrap_or(key);
        if first != key && index.contains(first) {
            return Ok(key.to_owned());
        }
        let error =
            ConfigError::at(&change.key_place, format!("unknown key `{}`", key.escape_debug()));
        Err(match nearest {
            Some(near) => error.expected(format!("did you mean `{near}`?")),
            None => {
                error.expected("not a key of the experiment").help("`kiln config` lists every key")
            }
        })
    }

    /// The only path that remains of several after [`by_names`](Self::by_names).
    fn only_element(
        &self,
        change: &Override,
        paths: &[&str],
        index: &KeyIndex<'_>,
    ) -> Result<String, ConfigError> {
        // `layers.1.units` and `layers.hidden.units` can be the same key.
        let mut named: Vec<String> = paths.iter().map(|path| self.by_names(path)).collect();
        named.sort_unstable();
        named.dedup();
        match named.as_slice() {
            [path] => Ok(path.clone()),
            several => {
                let message = format!("`{}` is ambiguous", change.key);
                // A name stays right if layers are added.
                let has_index =
                    |path: &&String| path.split('.').any(|step| step.parse::<usize>().is_ok());
                let with_name = several.iter().find(|path| !has_index(path));
                let example = with_name.or(several.first()).map_or("", String::as_str);
                Err(ConfigError::at(&change.key_place, message)
                    .expected(format!("use a longer path, such as `{}`", index.shortest(example)))
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
                    // Errors about the new entry point at the override.
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
            if rest.is_empty() {
                // An error about the key points at the override, which repeated it.
                entries[index].key_place = change.key_place.clone();
            }
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
