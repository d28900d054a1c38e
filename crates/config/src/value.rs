use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::ConfigError;
use crate::place::{Place, Source};
use crate::spelling;
use crate::table::Table;

/// A TOML value and its place in the text.
#[derive(Debug, Clone)]
pub struct Value {
    /// The value itself.
    pub kind: Kind,
    pub(crate) place: Place,
}

/// The types of TOML values. Dates and times are not supported.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A string.
    String(String),
    /// An integer.
    Integer(i64),
    /// A floating-point number, possibly infinite or NaN.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    Array(Vec<Value>),
    /// A table, inline or with a header, in the order of the text.
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Value,
}

impl Entry {
    /// The key, without quotes.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The place of the key in the text.
    #[must_use]
    pub fn key_place(&self) -> &Place {
        &self.key_place
    }

    /// The value of the key.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// Writes the value as TOML on one line, with inline tables and the shortest form of numbers.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::String(text) => write_quoted(text, formatter),
            Kind::Integer(number) => write!(formatter, "{number}"),
            Kind::Float(number) => write!(formatter, "{number:?}"),
            Kind::Boolean(boolean) => write!(formatter, "{boolean}"),
            Kind::Array(items) => {
                formatter.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{item}")?;
                }
                formatter.write_str("]")
            }
            Kind::Table(entries) => {
                formatter.write_str("{")?;
                for (index, entry) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{} = {}", Key(&entry.key), entry.value)?;
                }
                formatter.write_str("}")
            }
        }
    }
}

/// Displays a key of TOML, with quotes only if it needs them.
pub(crate) struct Key<'a>(pub(crate) &'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !self.0.is_empty() && self.0.chars().all(bare) {
            formatter.write_str(self.0)
        } else {
            write_quoted(self.0, formatter)
        }
    }
}

/// Writes a basic string on one line. The writer of the `toml` crate may use several lines.
fn write_quoted(text: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(formatter, "\\{character}")?,
            '\n' => formatter.write_str("\\n")?,
            '\t' => formatter.write_str("\\t")?,
            _ if character.is_control() => {
                write!(formatter, "\\u{:04X}", u32::from(character))?;
            }
            _ => write!(formatter, "{character}")?,
        }
    }
    formatter.write_str("\"")
}

impl Value {
    /// Whether both values are equal, ignoring their places, the order of keys, and whether a number
    /// is an integer or a float (1 equals 1.0).
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same_entry = |entry: &Entry, others: &[Entry]| {
            others.iter().any(|other| entry.key == other.key && entry.value.is_same(&other.value))
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "settings above 2^53 do not need to be exact"
        )]
        match (&self.kind, &other.kind) {
            (Kind::String(left), Kind::String(right)) => left == right,
            (Kind::Boolean(left), Kind::Boolean(right)) => left == right,
            (Kind::Integer(left), Kind::Integer(right)) => left == right,
            (Kind::Float(left), Kind::Float(right)) => left == right,
            (Kind::Integer(integer), Kind::Float(float))
            | (Kind::Float(float), Kind::Integer(integer)) => *integer as f64 == *float,
            (Kind::Array(left), Kind::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| l.is_same(r))
            }
            (Kind::Table(left), Kind::Table(right)) => {
                left.len() == right.len() && left.iter().all(|entry| same_entry(entry, right))
            }
            _ => false,
        }
    }

    /// The entries of a table, in the order of the text.
    ///
    /// # Errors
    ///
    /// The value is not a table.
    pub fn entries(&self) -> Result<&[Entry], ConfigError> {
        match &self.kind {
            Kind::Table(entries) => Ok(entries),
            _ => Err(self.expected("a table")),
        }
    }

    /// The elements of a list.
    ///
    /// # Errors
    ///
    /// The value is not a list.
    pub fn items(&self) -> Result<&[Self], ConfigError> {
        match &self.kind {
            Kind::Array(items) => Ok(items),
            _ => Err(self.expected("a list")),
        }
    }

    /// The place of the value in the text.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// An error about this value.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.place, message)
    }

    /// The error `expected …, found …`, where `expected` describes valid values: `a number above 0`.
    #[must_use]
    pub fn expected(&self, expected: &str) -> ConfigError {
        self.error(format!("expected {expected}, found {}", self.describe()))
            .expected(format!("expected {expected}"))
    }

    /// The advice to write something else in place of this value. On the command line, it includes the key and the quotes
    /// that keep a shell from changing braces.
    #[must_use]
    pub fn advice(&self, instead: &str) -> String {
        match self.place.argument().and_then(|argument| argument.split_once('=')) {
            Some((key, _)) => format!("write '{key}={instead}'"),
            None => format!("write {instead}"),
        }
    }

    /// Reads the value as a table. `read` must read every key that is valid in it.
    ///
    /// # Errors
    ///
    /// The value is not a table, the errors of `read`, or the table has a key that `read` did not
    /// read.
    pub fn read_table<T>(
        &self,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        if let Kind::String(text) = &self.kind {
            return Err(self.expected_table(text, read));
        }
        let mut table = Table::new(self)?;
        let value = read(&mut table)?;
        table.finish()?;
        Ok(value)
    }

    /// The error for a string in place of a table. If `read` asks for the key `type`, the string is
    /// probably meant as its value (`optimizer=adam`).
    fn expected_table<T>(
        &self,
        text: &str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> ConfigError {
        let error = self.expected("a table");
        let entry = Entry {
            key: "type".to_owned(),
            key_place: self.place.clone(),
            value: Self { kind: Kind::String(text.to_owned()), place: self.place.clone() },
        };
        let with_type = Self { kind: Kind::Table(vec![entry]), place: self.place.clone() };
        let has_type = Table::new(&with_type).is_ok_and(|mut table| {
            // Only the keys that it asks for are of interest.
            let _ = read(&mut table);
            table.has_read("type")
        });
        match spelling::as_table(&self.place, text, has_type) {
            Some(help) => error.help(help),
            None => error,
        }
    }

    /// Whether this is the table of a whole document, which has no place of its own.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self.kind, Kind::Table(_)) && self.place.span.is_empty()
    }

    /// A short description for messages: `the string "abc"`, `the number -3`, `a table`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            // A longer string would hide the rest of the message.
            Kind::String(text) if text.chars().count() <= 40 => format!("the string {text:?}"),
            Kind::String(_) => "a long string".to_owned(),
            Kind::Integer(number) => format!("the number {number}"),
            Kind::Float(number) => format!("the number {number:?}"),
            Kind::Boolean(boolean) => format!("{boolean}"),
            Kind::Array(items) if items.is_empty() => "an empty list".to_owned(),
            Kind::Array(items) => {
                let text = self.to_string();
                let is_short = text.chars().count() <= 40;
                if is_short { text } else { format!("a list of {}", items.len()) }
            }
            Kind::Table(_) => "a table".to_owned(),
        }
    }

    pub(crate) fn from_toml(
        value: &Spanned<DeValue<'_>>,
        source: &Arc<Source>,
    ) -> Result<Self, ConfigError> {
        let place = Place::new(source, value.span());
        let out_of_range = |what: &str| {
            ConfigError::at(&place, format!("this {what} is too large to be represented"))
        };
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::String(text.to_string()),
            DeValue::Integer(integer) => Kind::Integer(
                i64::from_str_radix(integer.as_str(), integer.radix())
                    .map_err(|_| out_of_range("whole number"))?,
            ),
            DeValue::Float(float) => {
                let number: f64 = float.as_str().parse().map_err(|_| out_of_range("number"))?;
                // `parse` returns infinity for numbers such as 1e999; only `inf` may be infinite.
                if number.is_infinite() && !float.as_str().contains("inf") {
                    return Err(out_of_range("number"));
                }
                Kind::Float(number)
            }
            DeValue::Boolean(boolean) => Kind::Boolean(*boolean),
            DeValue::Datetime(_) => {
                return Err(ConfigError::at(&place, "dates and times are not supported")
                    .help("quote the value to make it a string"));
            }
            DeValue::Array(items) => Kind::Array(
                items.iter().map(|item| Self::from_toml(item, source)).collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => Kind::Table(entries(table, source)?),
        };
        Ok(Self { kind, place })
    }
}

/// Converts the entries of a parsed table.
pub(crate) fn entries(
    table: &DeTable<'_>,
    source: &Arc<Source>,
) -> Result<Vec<Entry>, ConfigError> {
    let mut entries = table
        .iter()
        .map(|(key, value)| {
            Ok(Entry {
                key: key.get_ref().to_string(),
                key_place: Place::new(source, key.span()),
                value: Value::from_toml(value, source)?,
            })
        })
        .collect::<Result<Vec<_>, ConfigError>>()?;
    // The parser sorts keys alphabetically; their places restore the order of the text.
    entries.sort_by_key(|entry| entry.key_place.span.start);
    Ok(entries)
}
