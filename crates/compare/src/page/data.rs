use std::collections::BTreeMap;

use kiln_store::escape;
use serde::Serialize;

use crate::error::{CompareError, Result};

/// What the page's script works on.
#[derive(Serialize)]
pub(super) struct Data {
    /// By the metric.
    pub(super) curves: BTreeMap<String, Vec<Curve>>,
    /// The runs to pick two of.
    pub(super) runs: Vec<Run>,
}

/// A curve's numbers, one for each point of its path.
#[derive(Serialize)]
pub(super) struct Curve {
    pub(super) words: String,
    pub(super) epochs: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// A run that was tested.
#[derive(Serialize)]
pub(super) struct Run {
    pub(super) name: String,
    /// The settings that differ between runs, and the seed: label and value; no value where there is no such setting.
    pub(super) settings: Vec<(String, Option<String>)>,
    pub(super) classes: Vec<String>,
    /// `[true class][predicted class]`: images.
    pub(super) confusion: Vec<Vec<u64>>,
}

/// The data as JSON that can stand in a `<script>` element: no character of it ends the element or begins another.
/// Marks that turn the direction of writing become U+FFFD, as in the page's text.
pub(super) fn json(data: &Data) -> Result<String> {
    let failed = |error| CompareError::Inconsistent(format!("the page's data: {error}"));
    let text = serde_json::to_string(data).map_err(failed)?;
    let mut json = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => json.push_str("\\u003c"),
            '>' => json.push_str("\\u003e"),
            '&' => json.push_str("\\u0026"),
            '\u{2028}' => json.push_str("\\u2028"),
            '\u{2029}' => json.push_str("\\u2029"),
            // Control characters below U+0020 were escaped with the strings that they stand in.
            _ if escape::is_unprintable(character) => json.push_str("\\ufffd"),
            _ => json.push(character),
        }
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_element() {
        let hostile = "</script><!--&\u{2028}\u{2029}\u{202e}\n\"";
        let settings = vec![("x".to_owned(), Some(hostile.to_owned()))];
        let run = Run { name: hostile.to_owned(), settings, classes: vec![], confusion: vec![] };
        let json = json(&Data { curves: BTreeMap::new(), runs: vec![run] }).expect("JSON");
        assert!(
            !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{202e}', '\n']),
            "{json}"
        );
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["runs"][0]["name"], hostile.replace('\u{202e}', "\u{fffd}"));
    }
}
