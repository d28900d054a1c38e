//! `config.toml` as a flat list of settings, without knowledge of their meaning.

use kiln_config::affects_results;
use toml::de::{DeTable, DeValue};

use crate::augment;
use crate::layers::{self, Layers};
use crate::toml_text::{in_order, join, text};

/// It follows the key `initial_weights`, which names the file that it is the checksum of.
const INITIAL_WEIGHTS_SHA256: &str = "model.initial_weights_sha256";

/// The settings of one configuration file, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FlatConfig {
    /// Keys and values in the order of the file, without the layers, the seed and the experiment's name, which is no
    /// setting.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) layers: Option<Layers>,
    /// The number of settings before the layers.
    pub(crate) before_layers: usize,
    pub(crate) seed: Option<String>,
}

impl FlatConfig {
    /// Reads a configuration. The error is the line, counted from 1, and the problem there.
    pub(crate) fn parse(text: &str) -> Result<Self, (u64, String)> {
        let table = kiln_config::parse_toml(text).map_err(|error| {
            let before = &text.as_bytes()[..error.span.start.min(text.len())];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            (line, error.message)
        })?;
        let mut flat = Self::default();
        flat.table("", table.get_ref());
        Ok(flat)
    }

    /// The text of a setting outside of the layers.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in in_order(table) {
            let path = join(above, key);
            match value {
                DeValue::Table(_) if !affects_results(&path) => {}
                DeValue::Table(inner) if !inner.is_empty() => self.table(&path, inner),
                DeValue::Array(array) if path == layers::KEY => match Layers::new(array) {
                    Some(layers) => {
                        self.before_layers = self.settings.len();
                        self.layers = Some(layers);
                    }
                    None => self.settings.push((path, text(value))),
                },
                DeValue::Array(array) if path == augment::KEY => {
                    let value = augment::summary(array).unwrap_or_else(|| text(value));
                    self.settings.push((path, value));
                }
                _ if path == "seed" => self.seed = Some(text(value)),
                _ if path == "name" => {}
                // The path alone does not identify the weights.
                _ if path == INITIAL_WEIGHTS_SHA256 => {
                    if let Some((_, file)) = self.settings.last_mut() {
                        let sum: String = text(value).chars().take(8).collect();
                        file.push_str(&format!(" ({sum})"));
                    }
                }
                _ => self.settings.push((path, text(value))),
            }
        }
    }
}
