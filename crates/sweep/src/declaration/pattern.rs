use kiln_config::{ConfigError, Document, Override, Value};

use crate::declaration::axis::leaves;
use crate::declaration::setting::Setting;

/// An `[[exclude]]` table: keys, each with one value or a list of values. A run is excluded if each of the keys has one
/// of its values.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// The table as it was written, for error messages.
    table: Value,
    keys: Vec<(String, Value)>,
}

impl Pattern {
    pub(crate) fn read(
        value: &Value,
        experiment: &Document,
        known: &[String],
    ) -> Result<Self, ConfigError> {
        let mut keys = Vec::new();
        for leaf in leaves(value, &|_| false)? {
            let key = Override::new(&leaf.path, leaf.key.key_place(), leaf.value.clone());
            keys.push((experiment.complete(&key, known)?, leaf.value.clone()));
        }
        if keys.is_empty() {
            return Err(value
                .error("an empty pattern would exclude every run")
                .help("add the keys and values of the runs to exclude"));
        }
        Ok(Self { table: value.clone(), keys })
    }

    /// Whether the pattern matches a resolved experiment.
    pub(crate) fn matches(&self, resolved: &Document) -> bool {
        self.keys
            .iter()
            .all(|(key, wanted)| resolved.get(key).is_some_and(|found| is_one_of(found, wanted)))
    }

    /// Whether the pattern matches settings that the experiment rejects, so that there is no resolved experiment. A key
    /// without a setting has its value from the experiment's file.
    pub(crate) fn matches_settings(&self, settings: &[Setting], experiment: &Document) -> bool {
        self.keys.iter().all(|(key, wanted)| {
            // Later settings override earlier ones, so the last one that affects the key counts.
            let changed = settings.iter().rev().find_map(|setting| {
                match key.strip_prefix(setting.path.as_str())? {
                    "" => Some(Some(setting.value.value())),
                    below => Some(setting.value.value().get(below.strip_prefix('.')?)),
                }
            });
            let found = changed.unwrap_or_else(|| experiment.get(key));
            found.is_some_and(|found| is_one_of(found, wanted))
        })
    }

    /// The error for a pattern that excludes no run.
    pub(crate) fn unmatched_error(&self) -> ConfigError {
        self.table
            .error("this pattern matches no run of the sweep")
            .help("check its keys and values: a run is excluded only if all of them match")
    }
}

/// Whether `found` is the wanted value, or one of the wanted list of values.
fn is_one_of(found: &Value, wanted: &Value) -> bool {
    let items = wanted.items().unwrap_or_default();
    found.is_same(wanted) || items.iter().any(|item| found.is_same(item))
}
