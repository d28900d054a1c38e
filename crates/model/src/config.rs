use std::collections::HashSet;

use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use serde::Serialize;

use crate::layers::LayerKind;

/// The `[model]` table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The layers from the images to the classes.
    pub layers: Vec<LayerConfig>,
}

/// One entry of `model.layers`: a layer, or a block of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerConfig {
    /// What the layer is and does.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// A name by which the command line and the summary know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many times it stands in a row, each time with weights of its own. 0 leaves it out.
    pub repeat: usize,
}

impl ModelConfig {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// A key is unknown, missing or has a value that it cannot have, or two entries share a name.
    pub fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let layers: Vec<LayerConfig> = table.required("layers")?;
        let items = match table.value("layers").map(|value| &value.kind) {
            Some(Kind::Array(items)) => items.as_slice(),
            _ => &[],
        };
        let mut names = HashSet::new();
        for (layer, item) in layers.iter().zip(items) {
            if let Some(name) = layer.repeated_name(&mut names) {
                // A name on the command line must mean one layer.
                return Err(item.error(format!("two layers have the name `{name}`")));
            }
        }
        Ok(Self { layers })
    }
}

impl LayerConfig {
    /// Adds the names of the layer and those in it; gives the first that was there before.
    fn repeated_name<'a>(&'a self, names: &mut HashSet<&'a str>) -> Option<&'a str> {
        if let Some(name) = self.name.as_deref()
            && !names.insert(name)
        {
            return Some(name);
        }
        match &self.kind {
            LayerKind::Block(block) => {
                block.layers.iter().find_map(|layer| layer.repeated_name(names))
            }
            LayerKind::Layer(_) => None,
        }
    }
}

impl FromValue for LayerConfig {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.read_table(|table| {
            let kind = LayerKind::read(table)?;
            let name = match table.value("name") {
                None => None,
                Some(value) => {
                    let name = String::from_value(value)?;
                    let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                    if !well_formed {
                        // A name is a step of a dotted key on the command line.
                        return Err(value.expected("a letter, then letters, digits, `_` or `-`"));
                    }
                    Some(name)
                }
            };
            Ok(Self { kind, name, repeat: table.default("repeat", 1)? })
        })
    }
}
