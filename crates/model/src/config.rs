use kiln_config::{ConfigError, FromValue, Table, Value};
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
        let layers = table.required::<Vec<LayerConfig>>("layers")?;
        let mut names = Vec::new();
        collect_names(&layers, &mut names);
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(table.error(format!("two layers have the name `{}`", pair[0]))),
            None => Ok(Self { layers }),
        }
    }
}

fn collect_names<'a>(layers: &'a [LayerConfig], names: &mut Vec<&'a str>) {
    for layer in layers {
        names.extend(layer.name.as_deref());
        if let LayerKind::Block(block) = &layer.kind {
            collect_names(&block.layers, names);
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
