//! `config.toml` as flat settings, without knowing what they mean.

use std::collections::HashMap;
use std::sync::Arc;

use kiln_config::affects_results;
use toml::de::{DeTable, DeValue};

use crate::layers::{self, Layers};
use crate::toml_text::{in_order, join, text};

/// Texts by number: the settings of many runs are mostly the same words.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Interner {
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // Words are as many as different lines in all files; they do not come to four billion.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    pub(crate) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    /// The text itself, shared.
    pub(crate) fn shared(&self, number: u32) -> Arc<str> {
        self.texts.get(number as usize).map_or_else(|| "".into(), Arc::clone)
    }

    fn setting(&mut self, (key, value): &(String, String)) -> Setting {
        Setting { key: self.number(key), value: self.number(value) }
    }
}

/// A key and its value, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Setting {
    pub(crate) key: u32,
    pub(crate) value: u32,
}

/// One configuration, as text.
#[derive(Debug, Default)]
pub(crate) struct FlatConfig {
    /// Keys and values in the file's order, without the layers and the seed.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) layers: Option<Layers>,
    /// How many settings come before the layers.
    before_layers: usize,
    pub(crate) seed: Option<String>,
}

/// One configuration, by the numbers of its words.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) settings: Vec<Setting>,
    pub(crate) layers: Option<InternedLayers>,
    pub(crate) before_layers: usize,
}

#[derive(Debug)]
pub(crate) struct InternedLayers {
    /// The types and names in their order.
    pub(crate) structure: u32,
    /// Each layer's settings, by the layer's name or place.
    pub(crate) settings: Vec<Setting>,
    /// All in a short form.
    pub(crate) summary: u32,
}

impl FlatConfig {
    /// Reads a configuration. The error has the line, counted from 1, and what is wrong there.
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
                _ if path == "seed" => self.seed = Some(text(value)),
                _ => self.settings.push((path, text(value))),
            }
        }
    }

    pub(crate) fn interned(&self, interner: &mut Interner) -> Configuration {
        let layers = self.layers.as_ref().map(|layers| InternedLayers {
            structure: interner.number(&layers.structure),
            settings: layers.settings.iter().map(|setting| interner.setting(setting)).collect(),
            summary: interner.number(&layers.summary),
        });
        let settings = self.settings.iter().map(|setting| interner.setting(setting)).collect();
        Configuration { settings, layers, before_layers: self.before_layers }
    }
}
