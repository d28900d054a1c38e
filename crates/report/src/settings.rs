use kiln_config::{Document, Kind, MAX_BYTES, Value};
use kiln_store::escape::control;
use kiln_store::{RunDirectory, files};

/// The width of the labels with the space after them, as in the facts about the run.
const LABEL_WIDTH: usize = 15;

/// The settings of a run from its `config.toml`, a line for each table and for each layer, broken to fit the width. Empty
/// if the file cannot be read.
pub(crate) fn settings(run: &RunDirectory, width: u16) -> String {
    let read = || {
        let text = files::read(&run.config_path(), MAX_BYTES).ok()?;
        Document::parse("config.toml", &text).ok()
    };
    let Some(document) = read() else { return String::new() };
    let mut text = String::new();
    for entry in document.root().entries().unwrap_or_default() {
        // The name and the seed are shown with the facts about the run.
        let Ok(settings) = entry.value().entries() else { continue };
        let mut lines = Vec::new();
        let mut words = Vec::new();
        for setting in settings {
            let is_layer = |item: &Value| matches!(item.kind, Kind::Table(_));
            match setting.value().items() {
                Ok(layers) if layers.iter().any(is_layer) => lines.extend(layers.iter().map(layer)),
                _ => words.push(format!("{} {}", setting.key(), value(setting.value()))),
            }
        }
        if !words.is_empty() {
            lines.insert(0, words);
        }
        for (index, words) in lines.iter().enumerate() {
            let label = if index == 0 { entry.key() } else { "" };
            text.push_str(&line(label, words, width.into()));
        }
    }
    text
}

/// A layer: its type, then its settings.
fn layer(layer: &Value) -> Vec<String> {
    let entries = layer.entries().unwrap_or_default();
    let word = |entry: &kiln_config::Entry| match entry.key() {
        "type" => value(entry.value()),
        key => format!("{key} {}", value(entry.value())),
    };
    entries.iter().map(word).collect()
}

/// A value, without quotes if it is a string.
fn value(value: &Value) -> String {
    match &value.kind {
        Kind::String(text) => text.clone(),
        _ => value.to_string(),
    }
}

/// The label and the words with commas between them, broken at words.
fn line(label: &str, words: &[String], width: usize) -> String {
    let mut text = format!("{label:<0$} ", LABEL_WIDTH - 1);
    let mut column = text.chars().count();
    for (index, word) in words.iter().enumerate() {
        let comma = if index + 1 < words.len() { "," } else { "" };
        let word = format!("{}{comma}", control(word));
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            text.push_str(&format!("\n{:LABEL_WIDTH$}", ""));
            column = LABEL_WIDTH;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += length;
    }
    text + "\n"
}
