use crate::error::{ConfigError, nearest};
use crate::read::FromValue;
use crate::value::{Entry, Kind, Value};

/// A table being read: it remembers the keys that were asked for, and [`Value::read_table`] refuses
/// any other.
#[derive(Debug)]
pub struct Table<'a> {
    value: &'a Value,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(value: &'a Value) -> Result<Self, ConfigError> {
        match &value.kind {
            Kind::Table(entries) => Ok(Self { value, entries, asked: Vec::new() }),
            _ => Err(value.expected("a table")),
        }
    }

    /// The value of a key as it was written, if it is there.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    ///
    /// The value is of another type.
    pub fn optional<T: FromValue>(&mut self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.value(key).map(T::from_value).transpose()
    }

    /// The value of a key, or its default where it is not there.
    ///
    /// # Errors
    ///
    /// The value is of another type.
    pub fn default<T: FromValue>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    ///
    /// The key is missing (perhaps misspelt), or its value is of another type.
    pub fn required<T: FromValue>(&mut self, key: &'static str) -> Result<T, ConfigError> {
        match self.value(key) {
            Some(value) => T::from_value(value),
            None => Err(self.missing(key)),
        }
    }

    /// The number of a key, or its default, which must pass `accept`; `expected` says in words what
    /// does (`a number above 0`).
    ///
    /// # Errors
    ///
    /// The value is of another type or does not pass.
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

    /// Reads the table under a key that must be there.
    ///
    /// # Errors
    ///
    /// The key is missing, its value is no table, or what `read` returns.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        match self.value(key) {
            Some(value) => value.read_table(read),
            None => Err(self.missing(key)),
        }
    }

    /// Reads the table under a key, if it is there.
    ///
    /// # Errors
    ///
    /// The value is no table, or what `read` returns.
    pub fn optional_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.value(key).map(|value| value.read_table(read)).transpose()
    }

    /// An error about this table as a whole.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        self.value.error(message)
    }

    fn missing(&self, key: &str) -> ConfigError {
        let misspelt = self.unasked().find(|entry| nearest(&entry.key, [key]).is_some());
        match misspelt {
            Some(entry) => unknown_key(entry, [key]),
            None => {
                self.error(format!("the key `{key}` is missing")).expected(format!("needs `{key}`"))
            }
        }
    }

    fn unasked(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str()))
    }

    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        match self.unasked().next() {
            Some(entry) => Err(unknown_key(entry, self.asked.iter().copied())),
            None => Ok(()),
        }
    }
}

fn unknown_key<'a>(entry: &Entry, known: impl IntoIterator<Item = &'a str>) -> ConfigError {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let error =
        ConfigError::at(&entry.key_place, format!("unknown key `{}`", entry.key.escape_debug()));
    match nearest(&entry.key, known.iter().copied()) {
        Some(near) => error.expected(format!("did you mean `{near}`?")),
        None => error.expected(format!("known here: {}", known.join(", "))),
    }
}
