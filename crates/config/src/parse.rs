use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Limit for the keys and tables of one text. The largest real models stay far below it: 1,000
/// layers with 10 keys each are 10,000 keys.
const MAX_KEYS: usize = 20_000;

/// Limit in bytes for the dotted path of a key. Every value repeats the path above it, so without a
/// limit a text with long keys could need a thousand times its size in memory.
const MAX_PATH_BYTES: usize = 1_000;

/// A text that is not valid TOML, or exceeds a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlError {
    /// The problem, in one line.
    pub message: String,
    /// The byte range of the text that is wrong.
    pub span: Range<usize>,
}

/// Parses untrusted TOML. The `toml` crate limits the depth of nesting; this function also limits
/// the number of keys and the length of their paths.
///
/// # Errors
///
/// The text is not valid TOML, has more than 20,000 keys and tables, or has a key whose dotted path
/// is longer than 1,000 bytes.
pub fn parse_toml(text: &str) -> Result<Spanned<DeTable<'_>>, TomlError> {
    let table = DeTable::parse(text).map_err(|error| TomlError {
        message: format!("invalid TOML: {}", error.message().trim().replace('\n', ", ")),
        span: error.span().unwrap_or(0..0),
    })?;
    check_table(table.get_ref(), table.span(), 0, &mut 0)?;
    Ok(table)
}

/// Checks the limits of a table and everything in it. `parent_bytes` is the length of the table's own
/// path; `keys` counts across the text.
fn check_table(
    table: &DeTable<'_>,
    span: Range<usize>,
    parent_bytes: usize,
    keys: &mut usize,
) -> Result<(), TomlError> {
    // The table itself counts, because a list of empty tables needs memory, too.
    *keys += 1 + table.len();
    if *keys > MAX_KEYS {
        let message = format!("more than {MAX_KEYS} keys and tables");
        return Err(TomlError { message, span });
    }
    for (key, value) in table {
        let bytes = parent_bytes + key.get_ref().len();
        if bytes > MAX_PATH_BYTES {
            let message = format!(
                "the path of this key has {bytes} bytes; at most {MAX_PATH_BYTES} are allowed"
            );
            return Err(TomlError { message, span: key.span() });
        }
        check_value(value, bytes + 1, keys)?;
    }
    Ok(())
}

fn check_value(
    value: &Spanned<DeValue<'_>>,
    parent_bytes: usize,
    keys: &mut usize,
) -> Result<(), TomlError> {
    match value.get_ref() {
        DeValue::Table(table) => check_table(table, value.span(), parent_bytes, keys),
        DeValue::Array(items) => {
            items.iter().try_for_each(|item| check_value(item, parent_bytes, keys))
        }
        _ => Ok(()),
    }
}
