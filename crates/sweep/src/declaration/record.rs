//! `.kiln/sweep.json`: how a sweep was declared, so that `kiln resume` needs only the directory of the sweep.

use std::path::{Path, PathBuf};

use kiln_store::{StoreError, create_hidden, files, hidden, versioned};
use serde::{Deserialize, Serialize};

/// The format version that this build writes, and the newest that it reads.
const SWEEP_VERSION: u32 = 1;

/// The largest record that is read: it holds two TOML files and the axes of a command line.
const MAX_BYTES: u64 = 3 * kiln_config::MAX_BYTES;

/// The text of the files and the arguments that declared a sweep. Later edits of the files do not change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The path of the sweep file, or of the experiment that was given in its place, as on the command line.
    pub file: PathBuf,
    /// The content of `file`.
    pub(crate) text: String,
    /// The content of the experiment that the sweep file names; `None` if `file` is itself the experiment.
    pub(crate) experiment_text: Option<String>,
    /// The axes of the command line.
    pub axes: Vec<String>,
    /// The absolute path of the directory of the named datasets.
    pub data: PathBuf,
}

impl SweepRecord {
    pub(crate) fn new(
        file: &Path,
        text: String,
        experiment_text: Option<String>,
        axes: &[String],
    ) -> Self {
        Self {
            file: file.to_owned(),
            text,
            experiment_text,
            axes: axes.to_vec(),
            // The plan sets it: the declaration of a sweep does not depend on the directory.
            data: PathBuf::new(),
        }
    }

    pub(crate) fn with_data(self, data: PathBuf) -> Self {
        Self { data, ..self }
    }

    /// The path of the record in the directory of a sweep.
    #[must_use]
    pub fn path(directory: &Path) -> PathBuf {
        hidden(directory).join("sweep.json")
    }

    /// Writes the record into the directory of a sweep. It replaces the record of an earlier sweep there.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let text = versioned::to_json(SWEEP_VERSION, self)?;
        create_hidden(directory)?;
        files::write(&Self::path(directory), text)
    }

    /// Reads the record of the last sweep that was started in a directory.
    ///
    /// # Errors
    ///
    /// The file is missing or damaged, or a newer version of Kiln wrote it.
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = Self::path(directory);
        versioned::parse(&path, &files::read(&path, MAX_BYTES)?, SWEEP_VERSION)
    }
}
