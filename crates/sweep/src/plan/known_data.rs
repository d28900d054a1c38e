//! `.kiln/data.json`: the fingerprints of the datasets of a sweep, with a stamp of their files. It is only a cache: if it
//! is missing, damaged or out of date, the data is read.

use std::path::{Path, PathBuf};

use kiln_data::KnownDatasets;
use kiln_store::{StoreError, create_hidden, files, hidden, versioned};

/// The format version that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

fn path(directory: &Path) -> PathBuf {
    hidden(directory).join("data.json")
}

/// Reads the cache in the directory of a sweep; an empty one if there is none that can be used.
pub(crate) fn read(directory: &Path) -> KnownDatasets {
    let path = path(directory);
    let text = files::read(&path, MAX_BYTES);
    text.and_then(|text| versioned::parse_checked(&path, &text, VERSION)).unwrap_or_default()
}

/// Writes the cache, if it has changed.
pub(super) fn write(directory: &Path, known: &KnownDatasets) -> Result<(), StoreError> {
    if *known == read(directory) {
        return Ok(());
    }
    let text = versioned::to_checked_json(VERSION, known)?;
    create_hidden(directory)?;
    files::write(&path(directory), text)
}
