use std::collections::HashSet;

use toml::de::{DeArray, DeTable, DeValue};

use crate::toml_text::{in_order, join, text};

/// The key of the list of layers.
pub(crate) const KEY: &str = "model.layers";

/// The name of a layer is part of the path of each of its settings. A layer with a longer name goes by its index.
const MAX_NAME_BYTES: usize = 100;

/// A list of layers, in two forms. Lists with the same structure are compared setting by setting, others as a whole.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// The types and names of the layers, in order.
    pub(crate) structure: String,
    /// Keys and values in the order of the file. The path of a layer has its name, or its index if it has none.
    pub(crate) settings: Vec<(String, String)>,
    /// The whole list in short: `flatten, 300 relu, 100 relu ×3, classes softmax`.
    pub(crate) summary: String,
}

impl Layers {
    /// Reads the list; `None` if it is not a list of tables.
    pub(crate) fn new(array: &DeArray<'_>) -> Option<Self> {
        let mut layers = Self::default();
        layers.summary = layers.list(KEY, array)?;
        Some(layers)
    }

    /// Adds the layers of a list and returns its short form.
    fn list(&mut self, above: &str, array: &DeArray<'_>) -> Option<String> {
        let tables: Option<Vec<&DeTable<'_>>> =
            array.iter().map(|layer| layer.get_ref().as_table()).collect();
        let (mut names, mut summaries) = (HashSet::new(), Vec::new());
        for (index, layer) in tables?.into_iter().enumerate() {
            // A name that looks like an index, or that two layers have, would give two layers the same path.
            let name = layer.get("name").and_then(|name| name.get_ref().as_str());
            let name = name.filter(|name| {
                name.len() <= MAX_NAME_BYTES
                    && name.parse::<usize>().is_err()
                    && names.insert(*name)
            });
            let path = join(above, &name.map_or_else(|| index.to_string(), str::to_owned));
            summaries.push(self.layer(&path, layer, name.is_some())?);
        }
        Some(summaries.join(", "))
    }

    fn layer(&mut self, path: &str, layer: &DeTable<'_>, is_named: bool) -> Option<String> {
        self.structure.push_str(&format!("{:?} {:?}(", value(layer, "type"), path));
        let mut inner = None;
        for (key, value) in in_order(layer) {
            match value {
                DeValue::Array(array) if key == "layers" => {
                    inner = Some(self.list(&join(path, key), array)?);
                }
                _ if key == "name" && is_named => {}
                _ => self.settings.push((join(path, key), text(value))),
            }
        }
        self.structure.push(')');
        Some(summary(layer, inner.as_deref()))
    }
}

fn value(layer: &DeTable<'_>, key: &str) -> Option<String> {
    layer.get(key).map(|value| text(value.get_ref()))
}

/// One layer in short, with the keys that people name when they describe an architecture.
fn summary(layer: &DeTable<'_>, inner: Option<&str>) -> String {
    let mut words: Vec<String> = Vec::new();
    let kind = value(layer, "type");
    match inner {
        Some(inner) => words.push(format!("({inner})")),
        None => words.extend(kind.filter(|kind| kind != "dense")),
    }
    for key in ["units", "filters", "kernel_size", "pool_size", "strides", "rate"] {
        words.extend(value(layer, key));
    }
    words.extend(value(layer, "activation").filter(|activation| activation != "linear"));
    words.extend(value(layer, "repeat").filter(|repeat| repeat != "1").map(|n| format!("×{n}")));
    words.join(" ")
}
