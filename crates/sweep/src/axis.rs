use kiln_config::{ConfigError, Document, Override, Value};

use crate::declaration::MOST_RUNS;

/// A key of the experiment and the values that it takes in turn.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// The key's full dotted path.
    pub(crate) path: String,
    /// The values, under the key as it was written; never empty, no two alike.
    pub(crate) values: Vec<Override>,
}

impl Axis {
    /// Checks a key and its values against the experiment that they change; `known` are its paths.
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
            let message = "`name` is no axis: a name says where the runs lie, not what they are";
            return Err(values[0].key_error(message).help("give the sweep one name"));
        }
        if values.len() > MOST_RUNS {
            let message = format!(
                "this axis has {} values; at most {MOST_RUNS} runs are allowed",
                values.len()
            );
            return Err(values[0].key_error(message));
        }
        for (index, value) in values.iter().enumerate() {
            if values[..index].iter().any(|other| other.value().is_same(value.value())) {
                return Err(value
                    .value()
                    .error(format!("{} stands twice on this axis", value.value()))
                    .expected("the same again"));
            }
        }
        Ok(Self { path, values })
    }

    /// Reads the axes of a `[grid]` or `[zip]`: each key with a list of values. A key may be written
    /// as one dotted text or as tables in tables.
    pub(crate) fn read_all(
        table: &Value,
        experiment: &Document,
        known: &[String],
    ) -> Result<Vec<Self>, ConfigError> {
        let mut axes: Vec<Self> = Vec::new();
        for Leaf { path, key, value } in leaves(table, &|_| false)? {
            let items = value.items().map_err(|error| {
                error.help(format!("for one value alone write `{path} = [{value}]`"))
            })?;
            if items.is_empty() {
                return Err(value.error("this axis has no values"));
            }
            let values =
                items.iter().map(|item| Override::new(&path, key.key_place(), item.clone()));
            let axis = Self::new(values.collect(), experiment, known)?;
            if axes.iter().any(|other| other.path == axis.path) {
                return Err(axis.values[0].key_error(format!("two axes change `{}`", axis.path)));
            }
            axes.push(axis);
        }
        Ok(axes)
    }
}

/// A dotted key of a table of keys, and what stands behind it.
pub(crate) struct Leaf<'a> {
    pub(crate) path: String,
    pub(crate) key: &'a kiln_config::Entry,
    pub(crate) value: &'a Value,
}

/// What stands behind the keys of a table, going through tables in tables until `is_leaf` or a
/// value that is no table.
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
