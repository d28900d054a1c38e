//! Files that extend others: `extends = "base.toml"`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{Document, MAX_BYTES, item_index};
use crate::error::{ConfigError, nearest};
use crate::file::read_text;
use crate::read::FromValue;
use crate::value::{Entry, Key, Kind, Value};

/// The key with the path of the extended file, relative to the file with the key.
const KEY: &str = "extends";

/// The largest number of files that extend each other. More are almost certainly a mistake.
const MAX_FILES: usize = 16;

impl Document {
    /// This document, which was read from `path`, after the file that it extends, the file that that one extends, and so on. None
    /// of them has the key `extends` any more.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not TOML, or a file extends itself. The error names the file that extends it.
    pub fn with_bases(self, path: &Path) -> Result<Vec<Self>, ConfigError> {
        let mut opened = vec![self];
        let mut paths = vec![path.to_owned()];
        while let Some(extended) = opened.last_mut().and_then(Self::take_extends) {
            let base = base_path(&paths[paths.len() - 1], &extended)?;
            let same = |other: &PathBuf| match (other.canonicalize(), base.canonicalize()) {
                (Ok(one), Ok(other)) => one == other,
                _ => *other == base,
            };
            if let Some(first) = paths.iter().position(same) {
                let circle = paths[first..].iter().chain([&base]);
                let circle: Vec<String> = circle.map(|path| path.display().to_string()).collect();
                let message = format!("{} extends itself: {}", circle[0], circle.join(", then "));
                return Err(extended.error(message).help("remove one `extends`"));
            }
            if opened.len() == MAX_FILES {
                return Err(
                    extended.error(format!("more than {MAX_FILES} files extend each other"))
                );
            }
            // Unlike the file that the user names, this one must be an ordinary file: reading a pipe could block.
            let text = read_text(&base, MAX_BYTES).map_err(|error| {
                let message = format!("cannot read {}: {error}", base.display());
                extended.error(message).help("the path is relative to the file that has `extends`")
            })?;
            let document = Self::parse(&base.display().to_string(), &text);
            let extending = paths[paths.len() - 1].display().to_string();
            opened.push(document.map_err(|error| error.note(format!("{extending} extends it")))?);
            paths.push(base);
        }
        opened.reverse();
        Ok(opened)
    }

    /// Removes the key `extends` and returns its value.
    fn take_extends(&mut self) -> Option<Value> {
        let Kind::Table(entries) = &mut self.root.kind else { return None };
        let place = entries.iter().position(|entry| entry.key == KEY)?;
        Some(entries.remove(place).value)
    }

    /// Adds the keys of a document that extends this one. Tables are joined key by key. A table in the place of a list changes
    /// elements of the list, by their names or indices. Any other value takes the place of the earlier one.
    ///
    /// # Errors
    ///
    /// A list has no element of this name.
    pub fn extend(&mut self, over: Self) -> Result<(), ConfigError> {
        join(&mut self.root, over.root)?;
        self.sources.extend(over.sources);
        let Kind::Table(entries) = &self.root.kind else { return Ok(()) };
        let lines = entries.iter().map(|entry| format!("{} = {}\n", Key(&entry.key), entry.value));
        self.joined = Some(Arc::from(lines.collect::<String>()));
        Ok(())
    }
}

/// The path of an extended file.
fn base_path(file: &Path, extended: &Value) -> Result<PathBuf, ConfigError> {
    let written = String::from_value(extended)?;
    if written.is_empty() {
        return Err(extended.expected("the path of an experiment"));
    }
    Ok(file.parent().unwrap_or(Path::new("")).join(written))
}

fn join(base: &mut Value, over: Value) -> Result<(), ConfigError> {
    let is_table_list = |items: &[Value]| items.iter().all(|it| matches!(it.kind, Kind::Table(_)));
    match (&mut base.kind, over.kind) {
        (Kind::Table(entries), Kind::Table(over_entries)) => {
            for over in over_entries {
                match entries.iter_mut().find(|entry| entry.key == over.key) {
                    Some(entry) => {
                        entry.key_place = over.key_place;
                        join(&mut entry.value, over.value)?;
                    }
                    None => entries.push(over),
                }
            }
        }
        (Kind::Array(items), Kind::Table(over_entries))
            if !items.is_empty() && is_table_list(items) =>
        {
            for over in over_entries {
                match item_index(items, &over.key) {
                    Some(index) => join(&mut items[index], over.value)?,
                    None => return Err(no_element(items, &over)),
                }
            }
        }
        (kind, over) => *kind = over,
    }
    // An error about a missing key shows the last file, which should have it.
    base.place = over.place;
    Ok(())
}

fn no_element(items: &[Value], over: &Entry) -> ConfigError {
    let names = items.iter().filter_map(|item| match &item.child("name")?.kind {
        Kind::String(name) => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<&str> = names.collect();
    let key = over.key.escape_debug();
    let error = ConfigError::at(&over.key_place, format!("the extended list has no `{key}`"));
    match nearest(&over.key, names.iter().copied()) {
        Some(near) => error.expected(format!("did you mean `{near}`?")),
        None if names.is_empty() => error
            .help(format!("its elements are 0 to {}; or write the complete list", items.len() - 1)),
        None => {
            error.help(format!("its names are {}; or write the complete list", names.join(", ")))
        }
    }
}
