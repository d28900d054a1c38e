//! Several values of an axis that are written as one string:
//!
//! ```text
//! "1..4"                        1, 2, 3, 4
//! "linspace(0.1, 0.5, 5)"       0.1, 0.2, 0.3, 0.4, 0.5: evenly spaced
//! "logspace(1e-4, 1e-1, 4)"     0.0001, 0.001, 0.01, 0.1: each the same multiple of the one before
//! ```
//!
//! Both ends are included and are values, not exponents. Values between them are rounded to few decimal digits, because they
//! appear in tables, commands and file names.

use kiln_config::{ConfigError, Kind, Override, Value, nearest};

use crate::declaration::axis::MAX_RUNS;

const FUNCTIONS: [&str; 2] = ["linspace", "logspace"];

/// The values of a series such as `1..4`; `None` if the string is an ordinary value.
///
/// # Errors
///
/// The string is a series that has no values, or too many.
pub(crate) fn read(value: &Value) -> Result<Option<Vec<Kind>>, ConfigError> {
    let Kind::String(text) = &value.kind else { return Ok(None) };
    if let Some((first, last)) = text.split_once("..") {
        return range(value, first, last);
    }
    let call = text.trim().strip_suffix(')').and_then(|text| text.split_once('('));
    let Some((name, arguments)) = call else { return Ok(None) };
    let name = name.trim();
    if !FUNCTIONS.contains(&name) {
        return match nearest(name, FUNCTIONS) {
            Some(near) => Err(value
                .error(format!("unknown function `{}`", name.escape_debug()))
                .expected(format!("did you mean `{near}`?"))),
            None => Ok(None),
        };
    }
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    spaced(value, name, &arguments).map(Some)
}

/// The numbers from the first to the last, both included.
fn range(value: &Value, first: &str, last: &str) -> Result<Option<Vec<Kind>>, ConfigError> {
    let ends = first.trim().parse::<i64>().ok().zip(last.trim().parse::<i64>().ok());
    let Some((first, last)) = ends else { return Ok(None) };
    if last < first {
        let expected = format!("the smaller number first: \"{last}..{first}\"");
        return Err(value.error("this range has no values").expected(expected));
    }
    if last.abs_diff(first) >= MAX_RUNS as u64 {
        let message = format!("this range is too long: a sweep has at most {MAX_RUNS} runs");
        return Err(value.error(message));
    }
    Ok(Some((first..=last).map(Kind::Integer).collect()))
}

fn spaced(value: &Value, name: &str, arguments: &[&str]) -> Result<Vec<Kind>, ConfigError> {
    let is_logarithmic = name == "logspace";
    let example = if is_logarithmic { "logspace(1e-4, 1e-1, 7)" } else { "linspace(0.1, 0.5, 5)" };
    let form = || {
        let message = format!("`{name}` takes the first value, the last value and their number");
        value.error(message).help(format!("for example: \"{example}\""))
    };
    let &[first, last, count] = arguments else { return Err(form()) };
    let count = count.replace('_', "").parse::<usize>().map_err(|_| form())?;
    let (first, last) = (Number::parse(first), Number::parse(last));
    let (Some(first), Some(last)) = (first, last) else { return Err(form()) };
    if !(2..=MAX_RUNS).contains(&count) {
        let message = format!("`{name}` makes from 2 to {MAX_RUNS} values, not {count}");
        return Err(value.error(message));
    }
    if first.value == last.value {
        return Err(value.error(format!("all values of this `{name}` are the same")));
    }
    if is_logarithmic && (first.value <= 0.0 || last.value <= 0.0) {
        let error = value.error("the ends of `logspace` must be above 0");
        let are_exponents = first.is_integer && last.is_integer;
        return Err(match are_exponents && first.value.abs().max(last.value.abs()) <= 300.0 {
            true => error.help(format!(
                "the ends are values, not exponents: \"logspace(1e{}, 1e{}, {count})\"",
                first.value, last.value
            )),
            false => error.help("use `linspace`, or raise the lower end"),
        });
    }
    let values = match is_logarithmic {
        true => {
            let (from, to) = (first.value.ln(), last.value.ln());
            between(count, |share| (from + share * (to - from)).exp())
        }
        false => between(count, |share| first.value + share * (last.value - first.value)),
    };
    let values = rounded(first.value, &values, last.value);
    let is_whole = |number: &f64| number.fract() == 0.0 && number.abs() < 9e15;
    if first.is_integer && last.is_integer && values.iter().all(is_whole) {
        return Ok(values.into_iter().map(|number| Kind::Integer(number as i64)).collect());
    }
    Ok(values.into_iter().map(Kind::Float).collect())
}

struct Number {
    value: f64,
    /// Whether it is written as a whole number.
    is_integer: bool,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let text = text.replace('_', "");
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
        Some(Self { value, is_integer: text.parse::<i64>().is_ok() })
    }
}

/// The values between the first and the last of `count`, by their share of the way.
fn between(count: usize, value: impl Fn(f64) -> f64) -> Vec<f64> {
    (1..count - 1).map(|index| value(index as f64 / (count - 1) as f64)).collect()
}

/// All values, with few digits. Those between the ends keep all their digits if there are at most seven, as in 0.015625. The
/// others get four, or as many as put them within a fiftieth of their distance to the next value.
fn rounded(first: f64, between: &[f64], last: f64) -> Vec<f64> {
    let mut values = vec![first];
    // Digits beyond the fifteenth are errors of the arithmetic.
    values.extend(between.iter().map(|value| with_digits(*value, 15)));
    values.push(last);
    let is_close = |digits: usize| {
        values.windows(3).all(|near| {
            let distance = (near[1] - near[0]).abs().min((near[2] - near[1]).abs());
            (with_digits(near[1], digits) - near[1]).abs() <= 0.02 * distance
        })
    };
    let digits = (4..15).find(|digits| is_close(*digits)).unwrap_or(15);
    let inner = 1..values.len() - 1;
    for value in &mut values[inner] {
        let short = with_digits(*value, 7);
        *value = if short == *value { short } else { with_digits(*value, digits) };
    }
    values
}

/// The number rounded to so many significant decimal digits.
fn with_digits(number: f64, digits: usize) -> f64 {
    format!("{number:.*e}", digits - 1).parse().unwrap_or(number)
}

/// Replaces each series by its values.
pub(crate) fn expand(values: Vec<Override>) -> Result<Vec<Override>, ConfigError> {
    let mut expanded = Vec::new();
    for item in values {
        let Some(series) = read(item.value())? else {
            expanded.push(item);
            continue;
        };
        expanded.extend(series.into_iter().map(|kind| {
            let mut value = item.value().clone();
            value.kind = kind;
            item.with_value(value)
        }));
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use kiln_config::Override;

    use super::*;

    fn values(text: &str) -> Result<Vec<String>, String> {
        let given = Override::parse(&format!("key=\"{text}\"")).expect("a string");
        match expand(vec![given]) {
            Ok(values) => Ok(values.iter().map(Override::value_text).collect()),
            Err(error) => Err(error.render(false)),
        }
    }

    #[test]
    fn values_read_well() {
        for (text, expected) in [
            ("1..4", "1 2 3 4"),
            ("-1 .. 1", "-1 0 1"),
            ("7..7", "7"),
            ("linspace(0.1, 0.5, 5)", "0.1 0.2 0.3 0.4 0.5"),
            ("linspace(0.5,0.1,3)", "0.5 0.3 0.1"),
            ("linspace(0, 1, 4)", "0.0 0.3333 0.6667 1.0"),
            (
                "linspace(0, 1, 17)",
                "0.0 0.0625 0.125 0.1875 0.25 0.3125 0.375 0.4375 0.5 0.5625 0.625 0.6875 0.75 0.8125 0.875 0.9375 1.0",
            ),
            ("linspace(-0.1, 0.1, 3)", "-0.1 0.0 0.1"),
            ("linspace(16, 64, 4)", "16 32 48 64"),
            ("linspace(16.0, 64, 4)", "16.0 32.0 48.0 64.0"),
            ("linspace(100.05, 100.06, 4)", "100.05 100.0533 100.0567 100.06"),
            ("logspace(1e-4, 1e-1, 4)", "0.0001 0.001 0.01 0.1"),
            ("logspace(1e-4, 1e-1, 7)", "0.0001 0.0003162 0.001 0.003162 0.01 0.03162 0.1"),
            ("logspace(0.1, 1e-3, 3)", "0.1 0.01 0.001"),
            ("logspace(16, 128, 4)", "16 32 64 128"),
            ("logspace(1, 1.001, 3)", "1.0 1.0005 1.001"),
            ("relu", "relu"),
            ("../data", "\"../data\""),
            ("runs (1)", "\"runs (1)\""),
        ] {
            assert_eq!(
                values(text).map(|values| values.join(" ")),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        let hundred = values("linspace(0.001, 0.1, 100)").expect("values");
        let expected: Vec<String> =
            (1..=100).map(|index| format!("{:?}", f64::from(index) / 1000.0)).collect();
        assert_eq!(hundred, expected);
    }

    #[test]
    fn mistakes_are_errors_with_a_proposal() {
        for (text, parts) in [
            ("4..1", ["has no values", "\"1..4\""]),
            ("1..20000", ["too long", "10000"]),
            ("linspce(0.1, 0.5, 5)", ["unknown function `linspce`", "did you mean `linspace`?"]),
            ("linspace(0.1, 0.5)", ["their number", "linspace(0.1, 0.5, 5)"]),
            ("logspace(a, 0.5, 3)", ["their number", "logspace(1e-4, 1e-1, 7)"]),
            ("linspace(0.1, inf, 3)", ["their number", "linspace(0.1, 0.5, 5)"]),
            ("linspace(0.1, 0.5, 1)", ["from 2 to 10000 values", "not 1"]),
            ("linspace(0.1, 0.1, 3)", ["are the same", "linspace"]),
            ("logspace(-4, -1, 7)", ["above 0", "not exponents: \"logspace(1e-4, 1e-1, 7)\""]),
            ("logspace(0.0, 0.1, 7)", ["above 0", "use `linspace`"]),
        ] {
            let error = values(text).expect_err(text);
            for part in parts {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }
}
