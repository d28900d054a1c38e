//! Values of keys that are a number or a range.

use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use serde::{Serialize, Serializer};

/// In TOML, a number x, for −x to x, or a list `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl Span {
    /// From −x to x.
    #[must_use]
    pub const fn around_zero(x: f64) -> Self {
        Self { low: -x, high: x }
    }

    pub(crate) const fn bounds(self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Reads a required key. Both ends must be within the limits.
    pub(crate) fn required(
        table: &mut Table<'_>,
        key: &'static str,
        limits: (f64, f64),
    ) -> Result<Self, ConfigError> {
        match Self::optional(table, key, limits)? {
            Some(span) => Ok(span),
            None => table.required(key),
        }
    }

    /// Reads a key. Both ends must be within the limits.
    pub(crate) fn optional(
        table: &mut Table<'_>,
        key: &'static str,
        (low, high): (f64, f64),
    ) -> Result<Option<Self>, ConfigError> {
        let Some(value) = table.value(key) else { return Ok(None) };
        let span = Self::from_value(value)?;
        if span.low >= low && span.high <= high {
            return Ok(Some(span));
        }
        let largest = high.min(-low);
        Err(value.expected(&format!(
            "a number up to {largest:?}, or a list [low, high] from {low:?} to {high:?}"
        )))
    }
}

impl FromValue for Span {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match &value.kind {
            Kind::Array(_) => pair(value).map(|(low, high)| Self { low, high }),
            _ => {
                let x = f64::from_value(value)?;
                Ok(Self::around_zero(x.abs()))
            }
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.low == -self.high {
            self.high.serialize(serializer)
        } else {
            (self.low, self.high).serialize(serializer)
        }
    }
}

/// How far a factor may be from 1: from 1 − `lower` to 1 + `upper`. In TOML, one number for both, or a list
/// `[lower, upper]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// From 0 to 1.
    pub lower: f64,
    /// At least 0.
    pub upper: f64,
}

impl Spread {
    pub(crate) const fn bounds(self) -> (f64, f64) {
        (1.0 - self.lower, 1.0 + self.upper)
    }
}

impl FromValue for Spread {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let both = |value: &Value| f64::from_value(value).map(|x| (x, x));
        let (lower, upper) = match &value.kind {
            Kind::Array(items) => match items.as_slice() {
                [lower, upper] => (f64::from_value(lower)?, f64::from_value(upper)?),
                _ => return Err(value.expected("a number, or a list [lower, upper]")),
            },
            _ => both(value)?,
        };
        if (0.0..=1.0).contains(&lower) && (0.0..=100.0).contains(&upper) {
            Ok(Self { lower, upper })
        } else {
            Err(value.expected(
                "a number from 0 to 1, or a list [lower, upper] with lower at most 1 and upper at most 100",
            ))
        }
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.lower == self.upper {
            self.upper.serialize(serializer)
        } else {
            (self.lower, self.upper).serialize(serializer)
        }
    }
}

/// Two numbers in ascending order, as `[low, high]`.
fn pair(value: &Value) -> Result<(f64, f64), ConfigError> {
    if let Kind::Array(items) = &value.kind
        && let [low, high] = items.as_slice()
    {
        let (low, high) = (f64::from_value(low)?, f64::from_value(high)?);
        if low <= high {
            return Ok((low, high));
        }
    }
    Err(value.expected("a list [low, high]"))
}

/// Reads a key whose value is `[low, high]`, both above 0 and at most `most`.
pub(crate) fn positive_pair(
    table: &mut Table<'_>,
    key: &'static str,
    default: (f64, f64),
    most: f64,
) -> Result<(f64, f64), ConfigError> {
    let Some(value) = table.value(key) else { return Ok(default) };
    let (low, high) = pair(value)?;
    if low > 0.0 && high <= most {
        return Ok((low, high));
    }
    Err(value.expected(&format!("a list [low, high] of numbers above 0, up to {most:?}")))
}

/// Reads `probability`.
pub(crate) fn probability(table: &mut Table<'_>, default: f64) -> Result<f64, ConfigError> {
    let is_valid = |p: &f64| (0.0..=1.0).contains(p);
    table.checked("probability", default, "a probability, from 0 to 1", is_valid)
}

/// Reads `alpha`.
pub(crate) fn alpha(table: &mut Table<'_>, default: f64) -> Result<f64, ConfigError> {
    let is_valid = |alpha: &f64| *alpha > 0.0 && *alpha <= 1000.0;
    table.checked("alpha", default, "a number above 0, up to 1000", is_valid)
}
