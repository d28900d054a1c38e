use crate::error::{ConfigError, nearest, suggestion};
use crate::read::FromValue;
use crate::value::{Entry, Kind, Value};

/// A table that is being read. It remembers the keys that were read; [`Value::read_table`] then
/// reports any other key as unknown.
#[derive(Debug)]
pub struct Table<'a> {
    value: &'a Value,
    entries: &'a [Entry],
    read_keys: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(value: &'a Value) -> Result<Self, ConfigError> {
        match &value.kind {
            Kind::Table(entries) => Ok(Self { value, entries, read_keys: Vec::new() }),
            _ => Err(value.expected("a table")),
        }
    }

    /// The value of a key, if the table has it, as written.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read_keys.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value of a key, if the table has it.
    ///
    /// # Errors
    ///
    /// The value cannot be read as `T`.
    pub fn optional<T: FromValue>(&mut self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.value(key).map(T::from_value).transpose()
    }

    /// The value of a key, or `default` if the table does not have it.
    ///
    /// # Errors
    ///
    /// The value cannot be read as `T`.
    pub fn default<T: FromValue>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// The value of a required key.
    ///
    /// # Errors
    ///
    /// The key is missing or misspelled, or its value cannot be read as `T`.
    pub fn required<T: FromValue>(&mut self, key: &'static str) -> Result<T, ConfigError> {
        match self.value(key) {
            Some(value) => T::from_value(value),
            None => Err(self.missing(key)),
        }
    }

    /// The value of a key, or `default` if the table does not have it. `accept` decides whether a
    /// value is valid; `expected` describes valid values (`a number above 0`).
    ///
    /// # Errors
    ///
    /// The value cannot be read as `T`, or `accept` rejects it.
    pub fn checked<T: FromValue>(
        &mut self,
        key: &'static str,
        default: T,
        expected: &str,
        accept: impl FnOnce(&T) -> bool,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(default) };
        let read = T::from_value(value)?;
        if accept(&read) { Ok(read) } else { Err(value.expected(expected)) }
    }

    /// Reads the table of a required key.
    ///
    /// # Errors
    ///
    /// The key is missing or misspelled, or the errors of [`Value::read_table`].
    pub fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        match self.value(key) {
            Some(value) => value.read_table(read),
            None => Err(self.missing_table(key)),
        }
    }

    /// Reads the table of a key, if this table has it.
    ///
    /// # Errors
    ///
    /// The errors of [`Value::read_table`].
    pub fn optional_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.value(key).map(|value| value.read_table(read)).transpose()
    }

    /// An error about the whole table.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        self.value.error(message)
    }

    fn missing_table(&self, key: &str) -> ConfigError {
        if self.value.is_root() && !self.unread().any(|entry| nearest(&entry.key, [key]).is_some())
        {
            let name = self.value.place.name();
            return ConfigError::new(format!("{name}: missing table [{key}]"));
        }
        self.missing(key)
    }

    fn missing(&self, key: &str) -> ConfigError {
        // A similar key that nothing else read is more helpful than `missing`.
        let misspelled = self.unread().find(|entry| nearest(&entry.key, [key]).is_some());
        match misspelled {
            Some(entry) => unknown_key(entry, [key]),
            // No part of the text is the root table alone.
            None if self.value.is_root() => {
                let name = self.value.place.name();
                ConfigError::new(format!("{name}: the key `{key}` is missing"))
            }
            None => {
                self.error(format!("the key `{key}` is missing")).expected(format!("needs `{key}`"))
            }
        }
    }

    fn unread(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| !self.read_keys.contains(&entry.key.as_str()))
    }

    /// Whether the reading code has asked for this key.
    pub(crate) fn has_read(&self, key: &str) -> bool {
        self.read_keys.contains(&key)
    }

    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        match self.unread().next() {
            Some(entry) => Err(unknown_key(entry, self.read_keys.iter().copied())),
            None => Ok(()),
        }
    }
}

fn unknown_key<'a>(entry: &Entry, known: impl IntoIterator<Item = &'a str>) -> ConfigError {
    // A key may have been read several times.
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let error =
        ConfigError::at(&entry.key_place, format!("unknown key `{}`", entry.key.escape_debug()));
    match suggestion("key", &entry.key, known.iter().copied(), '`') {
        Some(suggestion) => error.expected(suggestion),
        None => error.help(format!("valid keys: {}", known.join(", "))),
    }
}
