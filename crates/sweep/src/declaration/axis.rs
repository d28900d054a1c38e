use std::collections::HashSet;

use kiln_config::{ConfigError, Document, Entry, Kind, Override, Value, affects_results};

use crate::declaration::series;

/// The largest number of runs in one sweep. A declaration with more is almost certainly a mistake.
pub const MAX_RUNS: usize = 10_000;

/// A key of the experiment and the values that the sweep tries for it.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// The full dotted path of the key.
    pub(crate) path: String,
    /// The values, each with the key as it was written. There is at least one, and all are different.
    pub(crate) values: Vec<Override>,
}

impl Axis {
    /// Checks a key and its values against the experiment. `known` holds the paths of all keys of the experiment.
    pub(crate) fn new(
        values: Vec<Override>,
        experiment: &Document,
        known: &[String],
    ) -> Result<Self, ConfigError> {
        let path = match values.first() {
            Some(first) => experiment.complete(first, known)?,
            None => return Err(ConfigError::new("an axis needs at least one value")),
        };
        let values = series::expand(values)?;
        if path == "seed" {
            values.iter().try_for_each(|value| check_seed(value.value()))?;
        }
        if path == "name" || values.len() > 1 {
            check_affects_results(&path, &values[0])?;
        }
        if values.len() > MAX_RUNS {
            let message = format!(
                "this axis has {} values; a sweep has at most {MAX_RUNS} runs",
                values.len()
            );
            return Err(values[0].key_error(message));
        }
        let mut seen = HashSet::new();
        for value in &values {
            if !seen.insert(canonical(value.value())) {
                return Err(value
                    .value()
                    .error(format!("duplicate value on this axis: {}", value.value()))
                    .expected("remove this value"));
            }
        }
        Ok(Self { path, values })
    }

    /// Reads the axes of a `[grid]` or `[zip]` table, in which each key has a list of values. A key may be written as a
    /// quoted dotted path or as nested tables.
    pub(crate) fn read_all(
        table: &Value,
        experiment: &Document,
        known: &[String],
    ) -> Result<Vec<Self>, ConfigError> {
        let mut axes: Vec<Self> = Vec::new();
        for Leaf { path, key, value } in leaves(table, &|_| false)? {
            let items = match &value.kind {
                // A series needs no brackets. For seeds, `Axis::new` says what one looks like.
                Kind::String(_) if path == "seed" || series::read(value)?.is_some() => {
                    std::slice::from_ref(value)
                }
                _ => value.items().map_err(|error| {
                    error.help(format!("to use a single value, write `{path} = [{value}]`"))
                })?,
            };
            if items.is_empty() {
                return Err(value.error("this axis has no values"));
            }
            let values =
                items.iter().map(|item| Override::new(&path, key.key_place(), item.clone()));
            let axis = Self::new(values.collect(), experiment, known)?;
            // The same key may have been written in two ways, such as `learning_rate` and
            // `optimizer.learning_rate`.
            if axes.iter().any(|other| other.path == axis.path) {
                return Err(axis.values[0].key_error(format!("two axes set `{}`", axis.path)));
            }
            axes.push(axis);
        }
        Ok(axes)
    }
}

/// Returns an error if no result depends on the key with this path: the runs of such an axis would all be the same.
pub(crate) fn check_affects_results(path: &str, key: &Override) -> Result<(), ConfigError> {
    if path == "name" {
        // Runs of different names would be in different directories, and a sweep has one directory.
        let message = "`name` cannot be an axis: it names the directory of the sweep";
        return Err(key.key_error(message).help("give a single name: name=NAME"));
    }
    if !affects_results(path) {
        let message = format!("`{path}` cannot be an axis: no result depends on it");
        return Err(key
            .key_error(message)
            .help(format!("give a single value: {}=VALUE", key.key())));
    }
    Ok(())
}

/// Returns an error for a text that is no range of seeds. Other values are checked with the experiment.
fn check_seed(value: &Value) -> Result<(), ConfigError> {
    match &value.kind {
        // A range may have led to a negative number.
        Kind::String(_) | Kind::Integer(..0) => {
            let expected = "a whole number, or a range such as 1..5, which is 1, 2, 3, 4, 5";
            Err(value.expected(expected))
        }
        _ => Ok(()),
    }
}

/// A text that is the same for equal values: see [`Value::is_same`].
fn canonical(value: &Value) -> String {
    match &value.kind {
        Kind::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            (*number as i64).to_string()
        }
        Kind::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Kind::Table(entries) => {
            let entry = |entry: &Entry| format!("{:?}={}", entry.key(), canonical(entry.value()));
            let mut entries: Vec<String> = entries.iter().map(entry).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        _ => value.to_string(),
    }
}

/// A key of a table together with its dotted path and its value.
pub(crate) struct Leaf<'a> {
    pub(crate) path: String,
    pub(crate) key: &'a kiln_config::Entry,
    pub(crate) value: &'a Value,
}

/// Collects the keys of a table and of the tables nested in it. A value that is not a table ends the descent, and so
/// does one for which `is_leaf` is true.
pub(crate) fn leaves<'a>(
    table: &'a Value,
    is_leaf: &dyn Fn(&Value) -> bool,
) -> Result<Vec<Leaf<'a>>, ConfigError> {
    let mut found = Vec::new();
    for key in table.entries()? {
        let value = key.value();
        if value.entries().is_err() || is_leaf(value) {
            found.push(Leaf { path: key.key().to_owned(), key, value });
            continue;
        }
        for leaf in leaves(value, is_leaf)? {
            found.push(Leaf { path: format!("{}.{}", key.key(), leaf.path), ..leaf });
        }
    }
    Ok(found)
}
