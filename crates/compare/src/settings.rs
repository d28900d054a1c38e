//! `config.toml` as flat settings, without knowing what they mean.

use std::collections::HashMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::layers::{self, Layers};

/// The table that no result depends on: runs that differ in nothing else are the same.
const WITHOUT_RESULT: &str = "checkpoint";

/// Texts by number: the settings of many runs are mostly the same words.
#[derive(Debug, Default)]
pub(crate) struct Words {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Words {
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
pub(crate) struct Flat {
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
    pub(crate) layers: Option<NumberedLayers>,
    pub(crate) before_layers: usize,
}

#[derive(Debug)]
pub(crate) struct NumberedLayers {
    /// The types and names in their order.
    pub(crate) structure: u32,
    /// Each layer's settings, by the layer's name or place.
    pub(crate) settings: Vec<Setting>,
    /// All in a short form.
    pub(crate) summary: u32,
}

impl Flat {
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
                DeValue::Table(_) if path == WITHOUT_RESULT => {}
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

    pub(crate) fn numbered(&self, words: &mut Words) -> Configuration {
        let layers = self.layers.as_ref().map(|layers| NumberedLayers {
            structure: words.number(&layers.structure),
            settings: layers.settings.iter().map(|setting| words.setting(setting)).collect(),
            summary: words.number(&layers.summary),
        });
        let settings = self.settings.iter().map(|setting| words.setting(setting)).collect();
        Configuration { settings, layers, before_layers: self.before_layers }
    }
}

/// A table's entries in the order of the file.
pub(crate) fn in_order<'a>(table: &'a DeTable<'_>) -> Vec<(&'a str, &'a DeValue<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect()
}

/// A path and one more key, which is quoted where TOML would have it so.
pub(crate) fn join(above: &str, key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if above.is_empty() { key } else { format!("{above}.{key}") }
}

/// The ends of a path, the shortest first and the whole last: `repeat`, `hidden.repeat`, …
pub(crate) fn ends(path: &str) -> Vec<&str> {
    let mut ends = vec![path];
    let (mut quoted, mut escaped) = (false, false);
    for (place, character) in path.char_indices() {
        match character {
            '"' if !escaped => quoted = !quoted,
            '.' if !quoted => ends.push(&path[place + 1..]),
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    ends.reverse();
    ends
}

/// A value as text: strings without their quotes, except inside of lists and tables.
pub(crate) fn text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        _ => toml_text(value),
    }
}

fn toml_text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()),
        DeValue::Float(number) => float_text(number.as_str()),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) => {
            let items: Vec<_> = array.iter().map(Spanned::get_ref).map(toml_text).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let entries = in_order(table).into_iter();
            let entries: Vec<_> = entries
                .map(|(key, value)| format!("{} = {}", join("", key), toml_text(value)))
                .collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// One form for one number, however it was written.
fn float_text(written: &str) -> String {
    match written.parse::<f64>() {
        Ok(number) if number.is_finite() => format!("{number:?}"),
        _ => written.trim_start_matches('+').to_owned(),
    }
}
