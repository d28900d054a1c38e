//! JSON files with a `format_version`, and files that also have a checksum of themselves.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::error::{Result, StoreError};
use crate::escape::json;

#[derive(Serialize)]
struct Versioned<'a, T> {
    format_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

/// The key of the checksum of a file in itself.
const CHECKSUM: &str = "checksum";

#[derive(Deserialize)]
struct ChecksumOnly {
    checksum: Option<String>,
}

/// The text of the file: `format_version` first, then the fields of `body`, indented. Terminal control characters are
/// escaped, which does not change the parsed values.
///
/// # Errors
///
/// [`StoreError::Inconsistent`] if JSON cannot represent it.
pub fn to_json<T: Serialize>(version: u32, body: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(&Versioned { format_version: version, body }).map_err(
        |error| StoreError::Inconsistent(format!("JSON cannot represent this value: {error}")),
    )?;
    Ok(json(&text).into_owned() + "\n")
}

/// Like [`to_json`], with a second line, `checksum`: the SHA-256 of the text without that line.
///
/// # Errors
///
/// Those of [`to_json`].
pub fn to_checked_json<T: Serialize>(version: u32, body: &T) -> Result<String> {
    let text = to_json(version, body)?;
    let line = checksum_line(&Checksum::of(text.as_bytes()).sha256);
    // `format_version` is in the first line after the brace.
    let place = text.match_indices('\n').nth(1).map_or(text.len(), |(place, _)| place + 1);
    Ok(format!("{}{line}{}", &text[..place], &text[place..]))
}

fn checksum_line(sha256: &str) -> String {
    format!("  \"{CHECKSUM}\": \"{sha256}\",\n")
}

/// Like [`parse`], for the text of [`to_checked_json`]. Files of earlier versions of Kiln have no checksum.
///
/// # Errors
///
/// Those of [`parse`]; [`StoreError::Damaged`] if the text was changed.
pub fn parse_checked<T: DeserializeOwned>(path: &Path, text: &str, known: u32) -> Result<T> {
    let body = parse(path, text, known)?;
    let ChecksumOnly { checksum: Some(sum) } = from_json(path, text)? else { return Ok(body) };
    let is_unchanged = text.split_once(&checksum_line(&sum)).is_some_and(|(before, after)| {
        Checksum::of(format!("{before}{after}").as_bytes()).sha256 == sum
    });
    if is_unchanged {
        return Ok(body);
    }
    Err(StoreError::damaged(path, "it was changed after it was written (its SHA-256 differs)"))
}

/// Whether a file has a checksum of itself. Those of earlier versions of Kiln have none.
#[must_use]
pub fn has_checksum(text: &str) -> bool {
    serde_json::from_str(text).is_ok_and(|ChecksumOnly { checksum }| checksum.is_some())
}

/// The version of a file's text, from 1; `path` is used in messages.
///
/// # Errors
///
/// [`StoreError::Malformed`] with the line if the text has no version.
pub fn version(path: &Path, text: &str) -> Result<u32> {
    match from_json(path, text)? {
        VersionOnly { format_version: 0 } => {
            Err(StoreError::malformed(path, 1, "format versions are counted from 1"))
        }
        VersionOnly { format_version } => Ok(format_version),
    }
}

/// Reads the text of a file of at most version `known`. The version is checked first, because a later version may
/// contain anything. Unknown fields are ignored, so a field can be added without a new version.
///
/// # Errors
///
/// [`StoreError::Malformed`] with the line if the text is invalid; [`StoreError::NewerFormat`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str, known: u32) -> Result<T> {
    let found = version(path, text)?;
    if found > known {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found, known });
    }
    from_json(path, text)
}

fn from_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        StoreError::malformed(path, error.line() as u64, without_place(&error.to_string()))
    })
}

/// serde_json ends its messages with " at line L column C"; Kiln prints the line first.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(problem, _)| problem)
}
