use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files;

/// The directory for files about the runs of one name that do not belong to a run.
#[must_use]
pub fn hidden(directory: &Path) -> PathBuf {
    // The dot hides it from patterns such as `runs/NAME/*`, and no run can have such a name.
    directory.join(".kiln")
}

/// Like [`hidden`], and creates the directory if it is missing.
///
/// # Errors
///
/// [`StoreError::Io`](crate::StoreError::Io) if it cannot be created,
/// [`StoreError::LeadsOut`](crate::StoreError::LeadsOut) if it is a link to another place.
pub fn create_hidden(directory: &Path) -> Result<PathBuf> {
    let hidden = hidden(directory);
    files::create_directories(&hidden)?;
    files::check_within(directory, &hidden)?;
    Ok(hidden)
}
