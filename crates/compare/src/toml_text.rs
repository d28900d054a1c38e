//! TOML keys and values as text.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table's entries in the order of the file.
pub(crate) fn in_order<'a>(table: &'a DeTable<'_>) -> Vec<(&'a str, &'a DeValue<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect()
}

/// Appends a key to a path, quoted if TOML requires it.
pub(crate) fn join(above: &str, key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if above.is_empty() { key } else { format!("{above}.{key}") }
}

/// A value as text. Strings have no quotes, except inside lists and tables.
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

/// The same text for the same number, however it was written: 1e-1 is 0.1.
fn float_text(written: &str) -> String {
    match written.parse::<f64>() {
        Ok(number) if number.is_finite() => format!("{number:?}"),
        _ => written.trim_start_matches('+').to_owned(),
    }
}
