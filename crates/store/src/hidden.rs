use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files;

/// Where the runs of one name keep what is not a run.
#[must_use]
pub fn hidden(directory: &Path) -> PathBuf {
    directory.join(".kiln")
}

/// The same, made where it is missing.
///
/// # Errors
///
/// [`StoreError::Io`](crate::StoreError::Io) where it cannot be made, [`StoreError::LeadsOut`](crate::StoreError::LeadsOut) where it is a link to somewhere else.
pub fn create_hidden(directory: &Path) -> Result<PathBuf> {
    let hidden = hidden(directory);
    files::create_directories(&hidden)?;
    files::check_within(directory, &hidden)?;
    Ok(hidden)
}
