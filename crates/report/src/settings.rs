use kiln_config::{Document, Kind, MAX_BYTES, Value};
use kiln_store::escape::control;
use kiln_store::{RunDirectory, files};

/// The width of the labels with the space after them, as in the facts about the run.
const LABEL_WIDTH: usize = 15;

/// A line of settings: those of a table of `config.toml`, or of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsLine {
    /// The name of the table; empty for the further lines of the same table.
    pub label: String,
    /// How many layers own this one.
    pub depth: usize,
    /// Keys and values: "learning_rate 0.01".
    pub words: Vec<String>,
}

/// The settings of a run from its `config.toml`, broken to fit the width. Empty if the file cannot be read.
pub(crate) fn settings(lines: &[SettingsLine], width: u16) -> String {
    lines.iter().map(|it| line(&it.label, it.depth, &it.words, width.into())).collect()
}

/// The settings of a run from its `config.toml`, a line for each table and for each layer. Empty if the file cannot be read.
pub(crate) fn lines(run: &RunDirectory) -> Vec<SettingsLine> {
    let read = || {
        let text = files::read(&run.config_path(), MAX_BYTES).ok()?;
        Document::parse("config.toml", &text).ok()
    };
    let Some(document) = read() else { return Vec::new() };
    let mut all = Vec::new();
    for entry in document.root().entries().unwrap_or_default() {
        let mut lines = Vec::new();
        let mut words = Vec::new();
        // Such as the transforms of `[[augment]]`.
        for item in layers(entry.value()).unwrap_or_default() {
            add_layer(item, 0, &mut lines);
        }
        // The name and the seed, which are no tables, are shown with the facts about the run.
        for setting in entry.value().entries().unwrap_or_default() {
            match layers(setting.value()) {
                Some(layers) => layers.iter().for_each(|layer| add_layer(layer, 0, &mut lines)),
                None => words.push(format!("{} {}", setting.key(), value(setting.value()))),
            }
        }
        if !words.is_empty() {
            lines.insert(0, (0, words));
        }
        for (index, (depth, words)) in lines.into_iter().enumerate() {
            let label = if index == 0 { entry.key().to_owned() } else { String::new() };
            all.push(SettingsLine { label, depth, words });
        }
    }
    all
}

/// The items of a list of layers, or of other tables.
fn layers(value: &Value) -> Option<&[Value]> {
    let is_layer = |item: &Value| matches!(item.kind, Kind::Table(_));
    value.items().ok().filter(|items| items.iter().any(is_layer))
}

/// Adds a layer: its type, then its settings, and then the layers that it owns, indented.
fn add_layer(layer: &Value, depth: usize, lines: &mut Vec<(usize, Vec<String>)>) {
    let (mut words, mut inner) = (Vec::new(), Vec::new());
    for entry in layer.entries().unwrap_or_default() {
        match (entry.key(), layers(entry.value())) {
            (key, Some(layers)) => inner.push((key, layers)),
            ("type", None) => words.push(value(entry.value())),
            (key, None) => words.push(format!("{key} {}", value(entry.value()))),
        }
    }
    lines.push((depth, words));
    for (key, layers) in inner {
        let first = lines.len();
        layers.iter().for_each(|layer| add_layer(layer, depth + 1, lines));
        // The key tells both branches of a residual layer apart.
        if key != "layers"
            && let Some((_, words)) = lines.get_mut(first)
            && let Some(word) = words.first_mut()
        {
            *word = format!("{key}: {word}");
        }
    }
}

/// A value, without quotes if it is a string.
fn value(value: &Value) -> String {
    match &value.kind {
        Kind::String(text) => text.clone(),
        _ => value.to_string(),
    }
}

/// The label and the words with commas between them, broken at words. At each depth, words start two columns further right.
fn line(label: &str, depth: usize, words: &[String], width: usize) -> String {
    let start = LABEL_WIDTH + 2 * depth;
    let mut text = format!("{label:<0$} ", start - 1);
    let mut column = text.chars().count();
    for (index, word) in words.iter().enumerate() {
        let comma = if index + 1 < words.len() { "," } else { "" };
        let word = format!("{}{comma}", control(word));
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            text.push_str(&format!("\n{:start$}", ""));
            column = start;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += length;
    }
    text + "\n"
}
