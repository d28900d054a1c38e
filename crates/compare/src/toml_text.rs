//! TOML keys and values as text.

use serde_json::Value;
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

/// The JSON value of a setting's text: a number, a truth value or a list, otherwise a string.
pub(crate) fn typed(text: &str) -> Value {
    let line = format!("value = {text}");
    // A text with more than a value is a string.
    let table = (!text.contains(['\n', '#'])).then(|| DeTable::parse(&line).ok()).flatten();
    let value = table.as_ref().and_then(|table| match table.get_ref().get("value")?.get_ref() {
        // Strings have no quotes here, so these are part of it.
        DeValue::String(_) => None,
        value => json_value(value),
    });
    value.unwrap_or_else(|| text.into())
}

/// `None` for a value that JSON does not have.
fn json_value(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Value::from)
            .or_else(|_| u64::from_str_radix(number.as_str(), number.radix()).map(Value::from))
            .ok(),
        DeValue::Float(number) => {
            serde_json::Number::from_f64(number.as_str().parse().ok()?).map(Value::Number)
        }
        DeValue::Boolean(truth) => Some((*truth).into()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| json_value(item.get_ref()))
            .collect::<Option<_>>()
            .map(Value::Array),
        DeValue::Datetime(_) | DeValue::Table(_) => None,
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
