use std::collections::BTreeMap;

use kiln_store::escape;
use serde::Serialize;

use crate::error::{CompareError, Result};

/// The data of the page's script.
#[derive(Serialize)]
pub(super) struct Data {
    /// By metric.
    pub(super) curves: BTreeMap<String, Vec<Curve>>,
    /// The runs of which the reader can choose two.
    pub(super) runs: Vec<Run>,
}

/// The values of a curve, one for each point of its path in the chart.
#[derive(Serialize)]
pub(super) struct Curve {
    pub(super) words: String,
    pub(super) epochs: Vec<usize>,
    pub(super) values: Vec<f64>,
    /// The lowest and the highest value at each point if the curve is the mean of several runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ranges: Vec<Option<[f64; 2]>>,
}

/// A tested run.
#[derive(Serialize)]
pub(super) struct Run {
    pub(super) name: String,
    /// The settings that differ between runs, and the seed: key and value; no value if the run does not have the setting.
    pub(super) settings: Vec<(String, Option<String>)>,
    pub(super) classes: Vec<String>,
    /// The number of images by `[true class][predicted class]`.
    pub(super) confusion: Vec<Vec<u64>>,
}

/// The data as JSON for a `<script>` element: no character ends the element or begins another one. Marks that change the
/// direction of writing become U+FFFD, as in the page's text.
pub(super) fn json(data: &Data) -> Result<String> {
    let failed = |error| {
        CompareError::Inconsistent(format!(
            "the data of the page cannot be written as JSON: {error}"
        ))
    };
    let text = serde_json::to_string(data).map_err(failed)?;
    let mut json = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => json.push_str("\\u003c"),
            '>' => json.push_str("\\u003e"),
            '&' => json.push_str("\\u0026"),
            '\u{2028}' => json.push_str("\\u2028"),
            '\u{2029}' => json.push_str("\\u2029"),
            // The JSON writer has already escaped control characters below U+0020.
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
    fn text_cannot_end_its_element() {
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
