use std::path::Path;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::file::read_text_of_any;
use crate::parse::{LONGEST_NAME, NotToml, parse_toml};
use crate::place::{Place, Source};
use crate::table::Table;
use crate::value::{Kind, Value, entries};

/// The largest experiment file that is read: far more than anybody writes. As a tree of values a text takes some hundred
/// times its size.
pub const MOST_BYTES: u64 = 1 << 20;

/// A parsed TOML file, with overrides from the command line applied to it.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) root: Value,
}

impl Document {
    /// Reads and parses a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is larger than [`MOST_BYTES`], or is not TOML.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text_of_any(path, MOST_BYTES)
            .map_err(|error| ConfigError::cannot_read(path, &error))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses a text; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// The text is not TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
        let table = parse_toml(text).map_err(|NotToml { message, span }| {
            let place = Place::new(&source, span);
            let wrong = &source.text[place.span.clone()];
            let is_word = wrong.starts_with(|first: char| first.is_alphabetic());
            let error = ConfigError::at(&place, message);
            if is_word { error.help("text stands between quotes: \"…\"") } else { error }
        })?;
        let kind = Kind::Table(entries(table.get_ref(), &source)?);
        Ok(Self { root: Value { kind, place: Place::new(&source, 0..0) } })
    }

    /// Reads the whole document; a key that `read` does not ask for is an error.
    ///
    /// # Errors
    ///
    /// What `read` returns, or the first key that is left over.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        self.root.read_table(read)
    }

    /// The text that was parsed, without what overrides have changed since then.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.root.place.source.text
    }

    /// The value at a dotted path such as `model.layers.hidden.units`; a list's element is named by
    /// its index or by its `name` key. Where the path ends early, the nearest value above.
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

    /// The bytes of the text that it was read from.
    #[must_use]
    pub fn text_length(&self) -> usize {
        self.root.place.source.text.len()
    }

    /// The value at exactly this dotted path (see [`locate`](Self::locate)).
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.root.get(path)
    }

    /// The dotted path of every value that is no table or list, in the order of writing; a list's
    /// element stands under its index, and under its `name` too where it has one.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.root.collect_paths("", &mut paths);
        paths
    }

    /// An error about the value at a dotted path (see [`locate`](Self::locate)). Without a place
    /// where nothing on the way to it was written.
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
    /// The value at a dotted path below this one (see [`Document::locate`]).
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |value, segment| value.child(segment))
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        let join = |step: &str| match prefix {
            "" => step.to_owned(),
            prefix => format!("{prefix}.{step}"),
        };
        match &self.kind {
            Kind::Table(entries) => {
                for entry in entries {
                    entry.value.collect_paths(&join(&entry.key), paths);
                }
            }
            Kind::Array(items) if items.iter().any(|item| matches!(item.kind, Kind::Table(_))) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_paths(&join(&index.to_string()), paths);
                    if let Some(Kind::String(name)) = item.child("name").map(|name| &name.kind)
                        && name.len() <= LONGEST_NAME
                    {
                        item.collect_paths(&join(name), paths);
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

/// The index of the element that `segment` names: by its `name` key, else by number.
pub(crate) fn item_index(items: &[Value], segment: &str) -> Option<usize> {
    let named = |item: &Value| matches!(item.child("name").map(|name| &name.kind), Some(Kind::String(name)) if name == segment);
    items
        .iter()
        .position(named)
        .or_else(|| segment.parse().ok().filter(|index| *index < items.len()))
}
