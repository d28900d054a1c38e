use kiln_config::{ConfigError, Entry, FromValue, Kind, Override, Table, Value, nearest};

use crate::samplers::Dimension;

/// The keys that name a distribution.
const DISTRIBUTIONS: [&str; 3] = ["uniform", "log_uniform", "choice"];

/// The distribution that the values of a random axis are drawn from.
#[derive(Debug, Clone)]
pub(crate) enum Distribution {
    /// All numbers between the bounds are equally likely.
    Uniform(Bounds),
    /// The logarithm is uniform, so [0.001, 0.01] is as likely as [0.01, 0.1].
    LogUniform(Bounds),
    /// All listed values are equally likely.
    Choice(Vec<Override>),
}

/// The lowest and the highest number, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bounds {
    Integer(i64, i64),
    Real(f64, f64),
}

/// Whether a value is a table such as `{ uniform = [0.1, 0.5] }`, possibly with a misspelled name. Tables above the keys
/// of an experiment contain no lists.
pub(crate) fn is_distribution(value: &Value) -> bool {
    let is_part = |entry: &Entry| {
        DISTRIBUTIONS.contains(&entry.key()) || matches!(entry.value().kind, Kind::Array(_))
    };
    value.entries().is_ok_and(|entries| entries.iter().any(is_part))
}

/// The error for a table without any distribution.
fn unknown(table: &Value) -> Option<ConfigError> {
    let entries = table.entries().ok()?;
    let is_known = |entry: &Entry| DISTRIBUTIONS.contains(&entry.key());
    let first = entries.first().filter(|_| !entries.iter().any(is_known))?;
    let message = format!("unknown distribution `{}`", first.key().escape_debug());
    let error = ConfigError::at(first.key_place(), message)
        .help(format!("valid distributions: {}", DISTRIBUTIONS.join(", ")));
    Some(match nearest(first.key(), DISTRIBUTIONS) {
        Some(near) => error.expected(format!("did you mean `{near}`?")),
        None => error,
    })
}

impl Distribution {
    pub(crate) fn read(value: &Value, key: &Override) -> Result<Self, ConfigError> {
        match unknown(value) {
            Some(error) => Err(error),
            None => value.read_table(|table| Self::read_known(table, key)),
        }
    }

    fn read_known(table: &mut Table<'_>, key: &Override) -> Result<Self, ConfigError> {
        let found: Vec<(&str, &Value)> = DISTRIBUTIONS
            .iter()
            .filter_map(|name| table.value(name).map(|value| (*name, value)))
            .collect();
        match found.as_slice() {
            [("choice", value)] => {
                let values: Vec<Override> = value
                    .items()?
                    .iter()
                    .map(|item| Override::new(key.key(), item.place(), item.clone()))
                    .collect();
                if values.is_empty() {
                    Err(value.error("`choice` has no values"))
                } else {
                    Ok(Self::Choice(values))
                }
            }
            [("uniform", value)] => Ok(Self::Uniform(Bounds::read(value)?)),
            [(_, value)] => {
                let bounds = Bounds::read(value)?;
                let positive = match bounds {
                    Bounds::Integer(low, _) => low > 0,
                    Bounds::Real(low, _) => low > 0.0,
                };
                if !positive {
                    return Err(value
                        .expected("bounds above 0, because 0 has no logarithm")
                        .help("raise the lower bound, or use `uniform`"));
                }
                Ok(Self::LogUniform(bounds))
            }
            _ => Err(table.error("a key needs exactly one of uniform, log_uniform and choice")),
        }
    }

    /// The values as a dimension of the space that a sampler searches.
    pub(crate) fn dimension(&self) -> Dimension {
        let of = |bounds: &Bounds, is_log| match *bounds {
            Bounds::Integer(low, high) => {
                Dimension::Integer { low: low as f64, high: high as f64, is_log }
            }
            Bounds::Real(low, high) => Dimension::Real { low, high, is_log },
        };
        match self {
            Self::Uniform(bounds) => of(bounds, false),
            Self::LogUniform(bounds) => of(bounds, true),
            Self::Choice(values) => Dimension::Choice(values.len()),
        }
    }

    /// The value of `key` at a coordinate of the dimension.
    pub(crate) fn value(&self, key: &str, coordinate: f64) -> Result<Override, ConfigError> {
        let number = match self {
            Self::Choice(values) => {
                return Ok(values[(coordinate as usize).min(values.len() - 1)].clone());
            }
            Self::Uniform(Bounds::Integer(low, high))
            | Self::LogUniform(Bounds::Integer(low, high)) => integer(coordinate, *low, *high),
            Self::Uniform(Bounds::Real(low, high)) | Self::LogUniform(Bounds::Real(low, high)) => {
                real(coordinate, *low, *high)
            }
        };
        Override::parse(&format!("{key}={number}"))
    }

    /// The coordinate of a value as [`value`](Self::value) writes it; `None` if it is not in the dimension.
    pub(crate) fn coordinate(&self, text: &str) -> Option<f64> {
        let within =
            |low: f64, high: f64| text.parse().ok().filter(|number| (low..=high).contains(number));
        match self {
            Self::Choice(values) => {
                let place = values.iter().position(|value| value.value_text() == text)?;
                Some(place as f64)
            }
            Self::Uniform(bounds) | Self::LogUniform(bounds) => match *bounds {
                Bounds::Integer(low, high) => within(low as f64, high as f64),
                Bounds::Real(low, high) => within(low, high),
            },
        }
    }
}

fn integer(number: f64, low: i64, high: i64) -> String {
    (number as i64).clamp(low, high).to_string()
}

/// Rounds to four significant digits, which are easy to read. Finer differences do not matter for training.
fn real(number: f64, low: f64, high: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    // Rounding may have crossed a bound.
    format!("{:?}", rounded.clamp(low, high))
}

impl Bounds {
    fn read(value: &Value) -> Result<Self, ConfigError> {
        let expected = || value.expected("[LOW, HIGH] with LOW below HIGH");
        let [low, high] = value.items()? else { return Err(expected()) };
        let bounds = match (&low.kind, &high.kind) {
            (Kind::Integer(low), Kind::Integer(high)) if low < high => Self::Integer(*low, *high),
            (Kind::Integer(_), Kind::Integer(_)) => return Err(expected()),
            _ => Self::Real(f64::from_value(low)?, f64::from_value(high)?),
        };
        match bounds {
            Self::Real(low, high) if low >= high => Err(expected()),
            bounds => Ok(bounds),
        }
    }
}
