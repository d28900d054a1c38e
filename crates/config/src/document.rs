use std::path::Path;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::file::read_named_text;
use crate::parse::{TomlError, parse_toml};
use crate::place::{Place, Source};
use crate::spelling;
use crate::table::Table;
use crate::value::{Entry, Kind, Value, entries};

/// Size limit for an experiment file: 1 MiB. The tree of values can take a hundred times the size of
/// its text.
pub const MAX_BYTES: u64 = 1 << 20;

/// Length limit for a `name` that [`Document::paths`] uses in place of an index.
const MAX_NAME_BYTES: usize = 100;

/// Limit for the steps of a path that [`Document::paths`] lists both by index and by name. Each such
/// step doubles the number of paths below it.
const MAX_ALIASED_STEPS: usize = 4;

/// A parsed TOML file, with overrides from the command line applied to it.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) root: Value,
    /// The texts that it was read from: that of the file, and those of the files that it extends.
    pub(crate) sources: Vec<Arc<Source>>,
    /// The text of a document that extends others, with the values of all of them.
    pub(crate) joined: Option<Arc<str>>,
}

impl Document {
    /// Reads and parses a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is larger than [`MAX_BYTES`], or is not TOML.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let text = read_named_text(path, MAX_BYTES)
            .map_err(|error| ConfigError::cannot_read(path, &error))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses a text; error messages call it `name`.
    ///
    /// # Errors
    ///
    /// The text is not TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let source =
            Arc::new(Source { name: name.to_owned(), text: text.to_owned(), is_argument: false });
        let table = parse_toml(text).map_err(|TomlError { message, span }| {
            let place = Place::new(&source, span);
            let error = ConfigError::at(&place, message);
            match spelling::in_toml(&source.text, place.span.start) {
                Some(help) => error.help(help),
                None => error,
            }
        })?;
        let kind = Kind::Table(entries(table.get_ref(), &source)?);
        // The root has an empty place, because no part of the text is the root alone.
        let root = Value { kind, place: Place::new(&source, 0..0) };
        Ok(Self { root, sources: vec![source], joined: None })
    }

    /// Reads the root table.
    ///
    /// # Errors
    ///
    /// The errors of `read`, or the document has a key that `read` did not read.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        self.root.read_table(read)
    }

    /// The root table.
    #[must_use]
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The text that was parsed, or if the document extends others, a text with the same values. Later overrides do not change
    /// it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.joined.as_deref().unwrap_or(&self.root.place.source.text)
    }

    /// The value at a dotted path such as `model.layers.hidden.units`, or the innermost value that
    /// contains it if the document does not have it. A step into a list is an element's index or the
    /// value of its `name` key.
    #[must_use]
    pub fn locate(&self, path: &str) -> &Value {
        let mut value = &self.root;
        for segment in path.split('.') {
            match value.child(segment) {
                Some(child) => value = child,
                None => break,
            }
        }
        value
    }

    /// The length in bytes of [`text`](Self::text).
    #[must_use]
    pub fn text_length(&self) -> usize {
        self.text().len()
    }

    /// The value at a dotted path (see [`locate`](Self::locate)), if the document has it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.root.get(path)
    }

    /// The dotted paths of all values except tables and lists of tables, in the order of the text.
    /// Elements of lists are listed by index, and those with a `name` key also by name. Below four
    /// such elements, only the name is listed.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.root.collect_paths("", MAX_ALIASED_STEPS, &mut paths);
        paths
    }

    /// Removes the keys of a top-level table that were written in this document's texts, not by an override, and for which
    /// `is_removed` is true. Returns them.
    pub fn remove_written(
        &mut self,
        table: &str,
        is_removed: impl Fn(&str) -> bool,
    ) -> Vec<(String, Value)> {
        let sources = self.sources.clone();
        let Kind::Table(tables) = &mut self.root.kind else { return Vec::new() };
        let found = tables.iter_mut().find(|entry| entry.key == table);
        let Some(Kind::Table(entries)) = found.map(|entry| &mut entry.value.kind) else {
            return Vec::new();
        };
        let is_written = |entry: &Entry| {
            sources.iter().any(|source| Arc::ptr_eq(&entry.value.place.source, source))
        };
        let removed = entries.extract_if(.., |entry| is_written(entry) && is_removed(&entry.key));
        removed.map(|entry| (entry.key, entry.value)).collect()
    }

    /// An error about the value at a dotted path (see [`locate`](Self::locate)). It has no place if
    /// the document has no part of the path.
    #[must_use]
    pub fn error_at(&self, path: &str, message: impl Into<String>) -> ConfigError {
        let value = self.locate(path);
        if std::ptr::eq(value, &raw const self.root) {
            return ConfigError::new(format!("{}: {}", value.place.name(), message.into()));
        }
        value.error(message)
    }
}

impl Value {
    /// The value at a dotted path relative to this one (see [`Document::locate`]), if there is one.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |value, segment| value.child(segment))
    }

    fn collect_paths(&self, prefix: &str, aliased_steps: usize, paths: &mut Vec<String>) {
        let join = |step: &str| match prefix {
            "" => step.to_owned(),
            prefix => format!("{prefix}.{step}"),
        };
        match &self.kind {
            Kind::Table(entries) => {
                for entry in entries {
                    entry.value.collect_paths(&join(&entry.key), aliased_steps, paths);
                }
            }
            // Other lists, such as `top_k = [3, 5]`, are leaves: an override replaces the complete list.
            Kind::Array(items) if items.iter().any(|item| matches!(item.kind, Kind::Table(_))) => {
                for (index, item) in items.iter().enumerate() {
                    let index = join(&index.to_string());
                    match item.child("name").map(|name| &name.kind) {
                        Some(Kind::String(name)) if name.len() <= MAX_NAME_BYTES => {
                            if let Some(aliased_steps) = aliased_steps.checked_sub(1) {
                                item.collect_paths(&index, aliased_steps, paths);
                            }
                            item.collect_paths(&join(name), aliased_steps.saturating_sub(1), paths);
                        }
                        _ => item.collect_paths(&index, aliased_steps, paths),
                    }
                }
            }
            _ => paths.push(prefix.to_owned()),
        }
    }

    pub(crate) fn child(&self, segment: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Table(entries) => {
                entries.iter().find(|entry| entry.key == segment).map(|entry| &entry.value)
            }
            Kind::Array(items) => items.get(item_index(items, segment)?),
            _ => None,
        }
    }
}

/// The index of the element whose `name` key is `segment`, or else whose index it is.
pub(crate) fn item_index(items: &[Value], segment: &str) -> Option<usize> {
    let named = |item: &Value| matches!(item.child("name").map(|name| &name.kind), Some(Kind::String(name)) if name == segment);
    items
        .iter()
        .position(named)
        .or_else(|| segment.parse().ok().filter(|index| *index < items.len()))
}
