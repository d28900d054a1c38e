use kiln_config::{ConfigError, Document, Override, Value};

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
        if path == "name" {
            // Runs of different names would be in different directories, and a sweep has one directory.
            let message = "`name` cannot be an axis: it names the directory of the sweep";
            return Err(values[0].key_error(message).help("give a single name: name=NAME"));
        }
        if values.len() > MAX_RUNS {
            let message = format!(
                "this axis has {} values; a sweep has at most {MAX_RUNS} runs",
                values.len()
            );
            return Err(values[0].key_error(message));
        }
        for (index, value) in values.iter().enumerate() {
            if values[..index].iter().any(|other| other.value().is_same(value.value())) {
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
            let items = value.items().map_err(|error| {
                error.help(format!("to use a single value, write `{path} = [{value}]`"))
            })?;
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
