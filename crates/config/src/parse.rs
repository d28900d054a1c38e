use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More keys than any experiment or sweep has: a thousand layers have ten each.
const MOST_KEYS: usize = 20_000;

/// The longest dotted path of a key. It is repeated for every value below it, so that a text of long ones would grow a
/// thousandfold.
const LONGEST_PATH: usize = 1_000;

/// A list's element is known by its `name` too; by a longer one it is not.
pub(crate) const LONGEST_NAME: usize = 100;

/// A text that is not TOML, or not as much as is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotToml {
    /// What is wrong, in one line.
    pub message: String,
    /// Where, in bytes.
    pub span: Range<usize>,
}

/// Parses TOML that may come from anywhere: the parser bounds how deep it nests, this how many keys it has and how long
/// their paths are.
///
/// # Errors
///
/// It is not TOML, has more than 20,000 keys and tables, or a key with a path of more than 1,000 bytes.
pub fn parse_toml(text: &str) -> Result<Spanned<DeTable<'_>>, NotToml> {
    let table = DeTable::parse(text).map_err(|error| NotToml {
        message: format!("this is not TOML: {}", error.message().trim().replace('\n', ", ")),
        span: error.span().unwrap_or(0..0),
    })?;
    check_table(table.get_ref(), table.span(), 0, &mut 0)?;
    Ok(table)
}

/// Counts a table and its keys: an empty one takes room as well, as an element of a list. `above` is the length of its own
/// path.
fn check_table(
    table: &DeTable<'_>,
    span: Range<usize>,
    above: usize,
    keys: &mut usize,
) -> Result<(), NotToml> {
    *keys += 1 + table.len();
    if *keys > MOST_KEYS {
        let message = format!("there are more than {MOST_KEYS} keys and tables");
        return Err(NotToml { message, span });
    }
    for (key, value) in table {
        let path = above + key.get_ref().len();
        if path > LONGEST_PATH {
            let message =
                format!("a key whose path has {path} bytes; none has more than {LONGEST_PATH}");
            return Err(NotToml { message, span: key.span() });
        }
        check_value(value, path + 1, keys)?;
    }
    Ok(())
}

fn check_value(
    value: &Spanned<DeValue<'_>>,
    above: usize,
    keys: &mut usize,
) -> Result<(), NotToml> {
    match value.get_ref() {
        DeValue::Table(table) => check_table(table, value.span(), above, keys),
        DeValue::Array(items) => items.iter().try_for_each(|item| check_value(item, above, keys)),
        _ => Ok(()),
    }
}
