use std::collections::HashSet;

use toml::de::{DeArray, DeTable, DeValue};

use crate::toml_text::{in_order, join, text};

/// The key of the list of layers.
pub(crate) const KEY: &str = "model.layers";

/// The name of a layer is part of the path of each of its settings. A layer with a longer name goes by its index.
const MAX_NAME_BYTES: usize = 100;

/// The keys that have lists of layers, such as both branches of a residual layer.
const BRANCHES: [&str; 2] = ["layers", "shortcut"];

/// The names of types in the short form. A dense layer is only its units, and an activation only its function.
const SHORT_TYPES: &[(&str, &str)] = &[
    ("activation", ""),
    ("average_pooling2d", "avg pool"),
    ("batch_normalization", "bn"),
    ("block", ""),
    ("conv2d", "conv"),
    ("dense", ""),
    ("depthwise_conv2d", "depthwise"),
    ("global_average_pooling2d", "gap"),
    ("global_max_pooling2d", "gmp"),
    ("group_normalization", "gn"),
    ("layer_normalization", "ln"),
    ("max_pooling2d", "pool"),
    ("spatial_dropout2d", "spatial dropout"),
    ("zero_padding2d", "pad"),
];

/// A list of layers, in two forms. Lists with the same structure are compared setting by setting, others as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layers {
    /// The types and names of the layers, in order.
    pub(crate) structure: String,
    /// Keys and values in the order of the file. The path of a layer has its name, or its index if it has none.
    pub(crate) settings: Vec<(String, String)>,
    /// The whole list in short: `flatten, 300 relu, 100 relu ×3, classes softmax`, or `conv 16 3×3, bn, relu, pool 2,
    /// residual (conv 32 3×3 /2, bn | conv 32 1×1 /2) relu ×3, gap, classes softmax`. What comes after `|` is the shortcut,
    /// and after `/` are the strides.
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
        let mut branches = Vec::new();
        for (key, value) in in_order(layer) {
            match value {
                DeValue::Array(array) if BRANCHES.contains(&key) => {
                    branches.push(self.list(&join(path, key), array)?);
                }
                _ if key == "name" && is_named => {}
                _ => self.settings.push((join(path, key), text(value))),
            }
        }
        self.structure.push(')');
        Some(summary(layer, &branches))
    }
}

fn value(layer: &DeTable<'_>, key: &str) -> Option<String> {
    layer.get(key).map(|value| text(value.get_ref()))
}

/// One layer in short, with the keys that people name when they describe an architecture.
fn summary(layer: &DeTable<'_>, branches: &[String]) -> String {
    let kind = value(layer, "type").unwrap_or_default();
    let short = SHORT_TYPES.iter().find(|(name, _)| *name == kind);
    let mut words = vec![short.map_or(kind.as_str(), |(_, short)| short).to_owned()];
    if !branches.is_empty() {
        words.push(format!("({})", branches.join(" | ")));
    }
    let number = |key| value(layer, key).filter(|number| number != "1");
    words.extend(["units", "filters"].iter().filter_map(|key| value(layer, key)));
    words.extend(value(layer, "depth_multiplier").filter(|depth| depth != "1"));
    words.extend(sides(layer, "kernel_size", true));
    // A layer has one of these, or none.
    words.extend(["pool_size", "padding"].iter().find_map(|key| sides(layer, key, false)));
    // By default, a pooling window moves by its own size.
    let usual = sides(layer, "pool_size", false).unwrap_or_else(|| "1".to_owned());
    let strides = sides(layer, "strides", false).filter(|strides| *strides != usual);
    words.extend(strides.map(|strides| format!("/{strides}")));
    let dilation = sides(layer, "dilation_rate", false).filter(|dilation| dilation != "1");
    words.extend(dilation.map(|dilation| format!("dilation {dilation}")));
    words.extend(number("groups").map(|groups| format!("groups {groups}")));
    words.extend(value(layer, "rate"));
    words.extend(
        value(layer, "activation")
            .filter(|activation| activation != "linear" || kind == "activation"),
    );
    words.extend(value(layer, "trainable").filter(|it| it == "false").map(|_| "frozen".to_owned()));
    words.extend(number("repeat").map(|repeat| format!("×{repeat}")));
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// A number for rows and columns, or `rows×columns` if they differ. `always_both` shows equal ones as `3×3`. `None` if the
/// value is neither a number nor two.
fn sides(layer: &DeTable<'_>, key: &str, always_both: bool) -> Option<String> {
    let (rows, columns) = match layer.get(key)?.get_ref() {
        DeValue::Array(pair) => match &**pair {
            [rows, columns] => (text(rows.get_ref()), text(columns.get_ref())),
            _ => return None,
        },
        number @ DeValue::Integer(_) => (text(number), text(number)),
        _ => return None,
    };
    Some(if rows == columns && !always_both { rows } else { format!("{rows}×{columns}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(list: &str) -> String {
        let text = format!("layers = [{list}]");
        let table = DeTable::parse(&text).expect("valid TOML");
        let DeValue::Array(array) = table.get_ref()["layers"].get_ref() else {
            unreachable!("a list")
        };
        Layers::new(array).expect("a list of tables").summary
    }

    #[test]
    fn convolutional_networks_are_described_as_people_do() {
        for (list, expected) in [
            (
                "{ type = 'conv2d', filters = 32, kernel_size = 3, strides = 1, padding = 'same', activation = 'relu' }",
                "conv 32 3×3 relu",
            ),
            (
                "{ type = 'conv2d', filters = 8, kernel_size = [3, 5], strides = 2, groups = 4, dilation_rate = 2 }",
                "conv 8 3×5 /2 dilation 2 groups 4",
            ),
            (
                "{ type = 'depthwise_conv2d', kernel_size = 3, depth_multiplier = 1, strides = [2, 1] }",
                "depthwise 3×3 /2×1",
            ),
            ("{ type = 'max_pooling2d', pool_size = 2, strides = 2 }", "pool 2"),
            ("{ type = 'average_pooling2d', pool_size = [3, 2], strides = 1 }", "avg pool 3×2 /1"),
            ("{ type = 'max_pooling2d', pool_size = 3, strides = 2 }", "pool 3 /2"),
            ("{ type = 'zero_padding2d', padding = 2 }", "pad 2"),
            (
                "{ type = 'batch_normalization' }, { type = 'activation', activation = 'relu' }",
                "bn, relu",
            ),
            (
                "{ type = 'spatial_dropout2d', rate = 0.1 }, { type = 'global_average_pooling2d' }",
                "spatial dropout 0.1, gap",
            ),
            (
                "{ type = 'flatten' }, { type = 'dense', units = 10, activation = 'softmax' }",
                "flatten, 10 softmax",
            ),
            ("{ type = 'dropout', rate = 0.5 }", "dropout 0.5"),
            ("{ type = 'dense', units = 10, trainable = false, repeat = 2 }", "10 frozen ×2"),
            (
                "{ type = 'activation', activation = 'linear' }, { type = 'new_layer' }",
                "linear, new_layer",
            ),
        ] {
            assert_eq!(short(list), expected, "{list}");
        }
    }

    #[test]
    fn a_residual_layer_shows_both_branches() {
        let layers = "layers = [{ type = 'conv2d', filters = 16, kernel_size = 3 }, { type = 'batch_normalization' }]";
        let residual = |more: &str| short(&format!("{{ type = 'residual', {layers}{more} }}"));
        assert_eq!(residual(""), "residual (conv 16 3×3, bn)");
        assert_eq!(
            residual(", activation = 'relu', repeat = 3"),
            "residual (conv 16 3×3, bn) relu ×3"
        );
        assert_eq!(
            residual(
                ", shortcut = [{ type = 'conv2d', filters = 16, kernel_size = 1, strides = 2 }]"
            ),
            "residual (conv 16 3×3, bn | conv 16 1×1 /2)"
        );
        let block = format!("{{ type = 'block', repeat = 2, {layers} }}");
        assert_eq!(short(&block), "(conv 16 3×3, bn) ×2");
    }
}
