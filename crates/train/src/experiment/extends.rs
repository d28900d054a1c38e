//! Experiments that extend others.

use std::path::Path;

use kiln_config::{ConfigError, Document};

use super::type_change::remove_keys_of_other_types;

/// Reads an experiment, see [`join_bases`].
///
/// # Errors
///
/// The file cannot be read, or those of [`join_bases`].
pub fn open_experiment(path: &Path) -> Result<Document, ConfigError> {
    join_bases(Document::open(path)?, path)
}

/// Joins an experiment, which was read from `path`, with the files that it extends (`extends = "base.toml"`). Its values win
/// over theirs. An optimizer or a schedule of another type keeps no key of the extended one.
///
/// # Errors
///
/// Those of [`Document::with_bases`] and [`Document::extend`].
pub fn join_bases(document: Document, path: &Path) -> Result<Document, ConfigError> {
    let mut documents = document.with_bases(path)?.into_iter();
    // There is at least the document itself.
    let Some(mut joined) = documents.next() else { return Document::open(path) };
    for document in documents {
        remove_keys_of_other_types(&mut joined, &document);
        joined.extend(document)?;
    }
    Ok(joined)
}
