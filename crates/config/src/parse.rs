use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More keys than any experiment or sweep has: a thousand layers have ten each.
const MOST_KEYS: usize = 20_000;

/// Longer than any key. A dotted path repeats the keys above each value, so that a text of long ones would grow a
/// thousandfold.
pub(crate) const LONGEST_KEY: usize = 200;

/// A text that is not TOML, or not as much as is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotToml {
    /// What is wrong, in one line.
    pub message: String,
    /// Where, in bytes.
    pub span: Range<usize>,
}

/// Parses TOML that may come from anywhere: the parser bounds how deep it nests, this how many keys it has and how long
/// they are.
///
/// # Errors
///
/// It is not TOML, has more than 20,000 keys and tables, or a key of more than 200 bytes.
pub fn parse_toml(text: &str) -> Result<Spanned<DeTable<'_>>, NotToml> {
    let table = DeTable::parse(text).map_err(|error| NotToml {
        message: format!("this is not TOML: {}", error.message().trim().replace('\n', ", ")),
        span: error.span().unwrap_or(0..0),
    })?;
    check_table(table.get_ref(), table.span(), &mut 0)?;
    Ok(table)
}

/// Counts a table and its keys: an empty one takes room as well, as an element of a list.
fn check_table(table: &DeTable<'_>, span: Range<usize>, keys: &mut usize) -> Result<(), NotToml> {
    *keys += 1 + table.len();
    if *keys > MOST_KEYS {
        let message = format!("there are more than {MOST_KEYS} keys and tables");
        return Err(NotToml { message, span });
    }
    for (key, value) in table {
        let length = key.get_ref().len();
        if length > LONGEST_KEY {
            let message = format!("a key of {length} bytes; none has more than {LONGEST_KEY}");
            return Err(NotToml { message, span: key.span() });
        }
        check_value(value, keys)?;
    }
    Ok(())
}

fn check_value(value: &Spanned<DeValue<'_>>, keys: &mut usize) -> Result<(), NotToml> {
    match value.get_ref() {
        DeValue::Table(table) => check_table(table, value.span(), keys),
        DeValue::Array(items) => items.iter().try_for_each(|item| check_value(item, keys)),
        _ => Ok(()),
    }
}
