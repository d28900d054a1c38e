//! `.kiln/sweep.json`: how a sweep was declared, so that its directory alone is enough to go on with it.

use std::path::{Path, PathBuf};

use kiln_store::{StoreError, create_hidden, files, hidden, versioned};
use serde::{Deserialize, Serialize};

/// The version of the file that this build writes, and the newest that it reads.
const SWEEP_VERSION: u32 = 1;

/// The largest record that is read: two files of the largest size that is read, and the axes of a command line.
const MOST_BYTES: u64 = 3 * kiln_config::MAX_BYTES;

/// The files and the words that declared a sweep. What was edited since then does not change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The sweep file, or the experiment that stood in its place, as it was given.
    pub file: PathBuf,
    /// What it held.
    pub(crate) text: String,
    /// What the experiment held that the sweep file names; `None` where the file is the experiment.
    pub(crate) experiment_text: Option<String>,
    /// The axes of the command line.
    pub(crate) axes: Vec<String>,
    /// The directory of the named datasets, from the root.
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
            data: PathBuf::new(),
        }
    }

    pub(crate) fn with_data(self, data: PathBuf) -> Self {
        Self { data, ..self }
    }

    /// Where the record of a sweep's directory lies.
    #[must_use]
    pub fn path(directory: &Path) -> PathBuf {
        hidden(directory).join("sweep.json")
    }

    /// Writes the record of the sweep that was last begun in a directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let text = versioned::to_json(SWEEP_VERSION, self)?;
        create_hidden(directory)?;
        files::write(&Self::path(directory), text)
    }

    /// Reads the record of the sweep that was last begun in a directory.
    ///
    /// # Errors
    ///
    /// It is not there, damaged, or of a later Kiln.
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = Self::path(directory);
        versioned::parse(&path, &files::read(&path, MOST_BYTES)?, SWEEP_VERSION)
    }
}
