use kiln_config::{ConfigError, Document, Override, Value};

use crate::axis::leaves;
use crate::change::Change;

/// An `[[exclude]]`: what a run must have to be left out, for each key one of the values.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    whole: Value,
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
            return Err(value.error("an empty pattern would exclude everything"));
        }
        Ok(Self { whole: value.clone(), keys })
    }

    /// Whether a run's resolved experiment has, for each key, one of the values.
    pub(crate) fn matches(&self, resolved: &Document) -> bool {
        self.keys
            .iter()
            .all(|(key, wanted)| resolved.get(key).is_some_and(|found| is_one_of(found, wanted)))
    }

    /// The same of changes that the experiment refuses: what they say, and what the experiment's file
    /// says where they say nothing.
    pub(crate) fn matches_changes(&self, changes: &[Change], experiment: &Document) -> bool {
        self.keys.iter().all(|(key, wanted)| {
            // The last change that says something about the key is the one that holds.
            let changed = changes.iter().rev().find_map(|change| {
                match key.strip_prefix(change.path.as_str())? {
                    "" => Some(Some(change.value.value())),
                    below => Some(change.value.value().get(below.strip_prefix('.')?)),
                }
            });
            let found = changed.unwrap_or_else(|| experiment.get(key));
            found.is_some_and(|found| is_one_of(found, wanted))
        })
    }

    /// That it leaves nothing out.
    pub(crate) fn error(&self) -> ConfigError {
        self.whole
            .error("this pattern matches no run of the sweep")
            .help("check its keys and values; a run must have all of them to be left out")
    }
}

/// Whether a value is the one that is wanted, or one of a list of them.
fn is_one_of(found: &Value, wanted: &Value) -> bool {
    let items = wanted.items().unwrap_or_default();
    found.is_same(wanted) || items.iter().any(|item| found.is_same(item))
}
