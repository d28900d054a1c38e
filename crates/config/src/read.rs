use std::num::NonZeroUsize;

use crate::error::ConfigError;
use crate::spelling::{self, write_instead};
use crate::value::{Kind, Value};

/// A type that can be read from a TOML value.
pub trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// The value has another type or is out of the type's range; the error points at it.
    fn from_value(value: &Value) -> Result<Self, ConfigError>;
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Boolean(boolean) => Ok(boolean),
            _ => Err(write_instead(value, value.expected("true or false"), spelling::boolean)),
        }
    }
}

/// On the command line, a string needs no quotes even if it looks like a number or `true`: the type of
/// the key decides (`name=1e5`).
impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match &value.kind {
            Kind::String(text) => Ok(text.clone()),
            Kind::Integer(_) | Kind::Float(_) | Kind::Boolean(_)
                if value.place().argument().is_some() =>
            {
                Ok(value.place().text().trim().to_owned())
            }
            _ => Err(value.expected("a string").help("strings must be quoted: \"…\"")),
        }
    }
}

/// Also accepts integers (`learning_rate = 1`). Rejects infinity and NaN, which are not valid for any
/// key.
impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Float(number) if number.is_finite() => Ok(number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "settings above 2^53 do not need to be exact"
            )]
            Kind::Integer(number) => Ok(number as Self),
            _ => Err(write_instead(value, value.expected("a number"), spelling::number)),
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let expected = "a whole number, 0 or more";
        match value.kind {
            Kind::Integer(number) => Self::try_from(number).map_err(|_| value.expected(expected)),
            _ => Err(write_instead(value, value.expected(expected), spelling::integer)),
        }
    }
}

impl FromValue for usize {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let number = u64::from_value(value)?;
        Self::try_from(number).map_err(|_| value.expected("a smaller number"))
    }
}

impl FromValue for NonZeroUsize {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let expected = "a whole number, 1 or more";
        match value.kind {
            Kind::Integer(number) => usize::try_from(number)
                .ok()
                .and_then(Self::new)
                .ok_or_else(|| value.expected(expected)),
            _ => Err(write_instead(value, value.expected(expected), spelling::integer)),
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match &value.kind {
            Kind::Array(items) => items.iter().map(T::from_value).collect(),
            Kind::Table(_) => Err(value.expected("a list")),
            _ => Err(value.expected("a list").help(format!("write [{value}]"))),
        }
    }
}
