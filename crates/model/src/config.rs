use std::collections::HashSet;

use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use serde::Serialize;

use crate::layers::LayerType;

/// The `[model]` table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The file of weights that training starts from, as far as its tensors fit; or, before it was found, the text that
    /// names it. `None` to draw all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<String>,
    /// The SHA-256 of that file, in hexadecimal. It identifies the weights, whatever the file is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_weights_sha256: Option<String>,
    /// The layers, from the images to the scores of the classes.
    pub layers: Vec<LayerConfig>,
}

/// An entry of `model.layers`: a layer or a block of layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerConfig {
    /// The layer or block.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// The name for use on the command line (`hidden.units=300`) and in the summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of consecutive copies, each with its own weights. 0 skips the entry.
    pub repeat: usize,
    /// How its parameters are trained.
    #[serde(flatten)]
    pub training: LayerTraining,
}

/// How the parameters of an entry of `model.layers`, and of all layers in it, are trained. Defaults are not written, so
/// that run ids from before these keys stay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LayerTraining {
    /// Whether the optimizer updates the parameters. Otherwise batch normalization uses its running statistics in training,
    /// too, and does not update them, as in Keras.
    #[serde(skip_serializing_if = "is_true")]
    pub trainable: bool,
    /// Multiplies the learning rate.
    #[serde(skip_serializing_if = "is_one")]
    pub learning_rate_factor: f64,
}

impl Default for LayerTraining {
    fn default() -> Self {
        Self { trainable: true, learning_rate_factor: 1.0 }
    }
}

impl LayerTraining {
    /// The keys, which are known for every entry.
    pub const KEYS: [&str; 2] = ["trainable", "learning_rate_factor"];

    /// The largest learning-rate factor, also of nested entries together.
    const MAX_FACTOR: f64 = 1e6;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let expected = "a number above 0 and at most 1000000; to keep the parameters as they are, \
                        set trainable = false";
        Ok(Self {
            trainable: table.default("trainable", default.trainable)?,
            learning_rate_factor: table.checked(
                "learning_rate_factor",
                default.learning_rate_factor,
                expected,
                |factor| *factor > 0.0 && *factor <= Self::MAX_FACTOR,
            )?,
        })
    }

    /// For an entry in a list with these settings.
    pub(crate) fn within(self, outer: Self) -> Self {
        Self {
            trainable: self.trainable && outer.trainable,
            // Checked for each layer, whose error has its name.
            learning_rate_factor: self.learning_rate_factor * outer.learning_rate_factor,
        }
    }

    /// Checks the product of nested factors.
    ///
    /// # Errors
    ///
    /// It is too large, or so small that it is 0.
    pub(crate) fn check(self) -> Result<(), String> {
        let factor = self.learning_rate_factor;
        if factor > 0.0 && factor <= Self::MAX_FACTOR {
            return Ok(());
        }
        Err(format!(
            "its learning_rate_factor and those of the entries around it give {factor:e}, but at most 1000000 and more than 0 \
             is possible; change one of them"
        ))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
#[expect(clippy::float_cmp, reason = "only the default itself is not written")]
fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// The kinds of entries of `model.layers`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LayerKind {
    /// Several entries that are repeated together.
    Block(BlockConfig),
    /// A single layer.
    Layer(LayerType),
}

/// `{ type = "block", repeat = 3, layers = [ … ] }`: layers that are repeated together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename = "block")]
pub struct BlockConfig {
    /// The layers of one repetition.
    pub layers: Vec<LayerConfig>,
}

impl ModelConfig {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// A key is unknown or missing, a value is invalid, or two entries have the same name.
    pub fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let layers: Vec<LayerConfig> = table.required("layers")?;
        // The entries as values, which have the places for messages.
        let items = match table.value("layers").map(|value| &value.kind) {
            Some(Kind::Array(items)) => items.as_slice(),
            _ => &[],
        };
        let mut names = HashSet::new();
        for (layer, item) in layers.iter().zip(items) {
            if let Some(name) = layer.duplicate_name(&mut names) {
                // On the command line, a name must identify exactly one layer.
                return Err(item.error(format!("two layers have the name `{name}`")));
            }
        }
        let initial_weights: Option<String> = table.optional("initial_weights")?;
        let initial_weights_sha256: Option<String> = table.optional("initial_weights_sha256")?;
        if let Some(value) = table.value("initial_weights_sha256") {
            let text = initial_weights_sha256.as_deref().unwrap_or_default();
            if text.len() != 64 || !text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
                return Err(value.expected("64 hexadecimal digits in lower case"));
            }
            if initial_weights.is_none() {
                return Err(value.error("`initial_weights_sha256` needs `initial_weights`"));
            }
        }
        Ok(Self { initial_weights, initial_weights_sha256, layers })
    }
}

impl LayerConfig {
    /// Adds the names of this entry and of the entries in it to `names`. Returns the first one that
    /// was already there.
    fn duplicate_name<'a>(&'a self, names: &mut HashSet<&'a str>) -> Option<&'a str> {
        if let Some(name) = self.name.as_deref()
            && !names.insert(name)
        {
            return Some(name);
        }
        match &self.kind {
            LayerKind::Block(block) => {
                block.layers.iter().find_map(|layer| layer.duplicate_name(names))
            }
            LayerKind::Layer(layer) => {
                let branches = layer.rules().branches();
                let mut layers = branches.iter().flat_map(|branch| branch.layers);
                layers.find_map(|layer| layer.duplicate_name(names))
            }
        }
    }
}

impl FromValue for LayerConfig {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.read_table(|table| {
            Ok(Self {
                kind: LayerKind::read(table)?,
                name: table.optional::<LayerName>("name")?.map(|LayerName(name)| name),
                repeat: table.default("repeat", 1)?,
                training: LayerTraining::read(table)?,
            })
        })
    }
}

/// A valid `name`: a letter, then letters, digits, `_` or `-`.
struct LayerName(String);

impl FromValue for LayerName {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let name = String::from_value(value)?;
        // A name is a step of a dotted key on the command line.
        let is_valid = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match is_valid {
            true => Ok(Self(name)),
            false => Err(value.expected("a letter, then letters, digits, `_` or `-`")),
        }
    }
}

/// The keyword of a `type` key, checked to be a known one.
struct TypeKeyword(String);

impl FromValue for TypeKeyword {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let keywords = LayerKind::keywords();
        value.keyword("layer", &keywords).map(|index| Self(keywords[index].to_owned()))
    }
}

impl LayerKind {
    const BLOCK: &str = "block";

    fn keywords() -> Vec<&'static str> {
        std::iter::once(Self::BLOCK).chain(LayerType::KEYWORDS.iter().copied()).collect()
    }

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let TypeKeyword(keyword) = table.required("type").map_err(|error: ConfigError| {
            error.help(format!("valid values: \"{}\"", Self::keywords().join("\", \"")))
        })?;
        match LayerType::read(&keyword, table)? {
            Some(layer) => Ok(Self::Layer(layer)),
            None => Ok(Self::Block(BlockConfig { layers: table.required("layers")? })),
        }
    }
}
