//! Overrides that choose another optimizer or schedule: `optimizer.type=adam`.

use kiln_config::{ConfigError, Document, Kind, Override, Value};
use serde::Serialize;

use crate::optimizers::OptimizerConfig;
use crate::schedules::ScheduleConfig;

/// The tables whose keys depend on their `type`, and the keys that have the same meaning for every type.
const TABLES: [(&str, &[&str]); 2] = [
    ("optimizer", &["type", "global_clipnorm", "clipvalue", "exclude_from_weight_decay"]),
    ("schedule", &["type", "warmup_epochs"]),
];

/// Applies overrides. If one changes the type of an optimizer or of a schedule, the keys that the file has for the
/// earlier type no longer apply: a learning rate that is right for SGD is not right for Adam. Keys that an override sets
/// stay, whatever their order.
#[derive(Debug, Default)]
pub(super) struct TypeChanges {
    removed: Vec<Removed>,
}

/// A key of the file that no longer applies.
#[derive(Debug)]
struct Removed {
    table: &'static str,
    key: String,
    value: Value,
    /// The type that the file has it for.
    file_type: String,
}

impl TypeChanges {
    /// Applies an override of the key with this full path to a document.
    ///
    /// # Errors
    ///
    /// The errors of [`Document::set`].
    pub(super) fn apply(
        &mut self,
        document: &mut Document,
        path: &str,
        change: &Override,
    ) -> Result<(), ConfigError> {
        let before = TABLES.map(|(table, _)| type_in(document, table));
        document.set(path, change)?;
        for ((table, common), before) in TABLES.into_iter().zip(before) {
            let Some(file_type) =
                before.filter(|before| type_in(document, table).as_ref() != Some(before))
            else {
                continue;
            };
            let removed = document.remove_written(table, |key| !common.contains(&key));
            self.removed.extend(removed.into_iter().map(|(key, value)| Removed {
                table,
                key,
                value,
                file_type: file_type.clone(),
            }));
        }
        Ok(())
    }

    /// The changes besides the type, one line for each key: "learning_rate: 0.001, the default of adam (the file has
    /// 0.01 for sgd)".
    pub(super) fn notes(&self, document: &Document) -> Vec<String> {
        self.removed.iter().filter_map(|removed| removed.note(document)).collect()
    }
}

impl Removed {
    fn note(&self, document: &Document) -> Option<String> {
        let Self { table, key, value, file_type } = self;
        if document.get(&format!("{table}.{key}")).is_some() {
            return None;
        }
        let new_type = type_in(document, table)?;
        let file = format!("the file has {value} for {file_type}");
        match defaults(table, &new_type)?.get(key) {
            Some(default) if default.is_same(value) => None,
            Some(default) => Some(format!("{key}: {default}, the default of {new_type} ({file})")),
            None => Some(format!("{key}: not a key of {new_type} ({file})")),
        }
    }
}

/// Removes the keys of an optimizer or a schedule that `over` gives another type, except those with the same meaning for every
/// type.
pub(super) fn remove_keys_of_other_types(document: &mut Document, over: &Document) {
    for (table, common) in TABLES {
        let types = (type_in(document, table), type_in(over, table));
        if matches!(types, (Some(before), Some(after)) if before != after) {
            document.remove_written(table, |key| !common.contains(&key));
        }
    }
}

/// The `type` of a table, if the document has it.
fn type_in(document: &Document, table: &str) -> Option<String> {
    match &document.get(&format!("{table}.type"))?.kind {
        Kind::String(name) => Some(name.clone()),
        _ => None,
    }
}

/// A table of this type in which every key has its default; `None` if there is no such type.
fn defaults(table: &str, name: &str) -> Option<Document> {
    fn of(table: impl Serialize) -> Option<Document> {
        Document::parse("defaults", &toml::to_string(&table).ok()?).ok()
    }
    let document = Document::parse("defaults", &format!("type = {name:?}")).ok()?;
    match table {
        "optimizer" => of(document.read(OptimizerConfig::read).ok()?),
        _ => of(document.read(ScheduleConfig::read).ok()?),
    }
}
