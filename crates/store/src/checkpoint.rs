//! `checkpoints/`: what an interrupted run is resumed from.
//!
//! ```text
//! checkpoints/
//!   epoch-00003/              after three epochs
//!     manifest.json           the names, sizes and checksums of the other files
//!     …                       the files of the trainer, which this crate does not interpret
//!   epoch-00003-step-000120/  in the fourth epoch, after its 120th step
//! ```
//!
//! A checkpoint becomes visible by one rename after its content is on the disk. Only then are older ones removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checksum::{Checksum, is_plain, read_checked};
use crate::error::{Result, StoreError};
use crate::position::Position;
use crate::run::RunDirectory;
use crate::{files, versioned};

/// The version of the manifest that this build writes, and the newest that it reads.
pub const MANIFEST_VERSION: u32 = 1;

const MANIFEST: &str = "manifest.json";

/// The maximum number of files in a checkpoint.
const MAX_FILES: usize = 4;

/// The maximum size of a manifest; a typical one has a few hundred bytes.
const MAX_MANIFEST_BYTES: u64 = 64 << 10;

/// The checkpoints of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    directory: PathBuf,
}

/// The files of a checkpoint by name.
pub type CheckpointFiles = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, Checksum>,
}

impl Checkpoints {
    /// The checkpoints of a run; there may be none.
    #[must_use]
    pub fn of(run: &RunDirectory) -> Self {
        Self { directory: run.checkpoints_path() }
    }

    /// The directory of the checkpoint at a position.
    #[must_use]
    pub fn path(&self, position: Position) -> PathBuf {
        self.directory.join(position.directory_name())
    }

    /// The positions of all checkpoints, newest first. The checkpoints may be damaged.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the directory cannot be read, [`StoreError::LeadsOut`] if it is a link that leaves the
    /// run. An unreadable directory is not an empty one.
    pub fn positions(&self) -> Result<Vec<Position>> {
        self.check_place()?;
        let refused = |cause| StoreError::io("read the directory", &self.directory, cause);
        let entries = match fs::read_dir(&self.directory) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(refused)?,
        };
        let mut positions = Vec::new();
        for entry in entries {
            let entry = entry.map_err(refused)?;
            let is_directory = entry.file_type().map_err(refused)?.is_dir();
            let position = entry.file_name().to_str().and_then(Position::of_directory_name);
            // Other entries are not checkpoints; the doctor reports them.
            positions.extend(position.filter(|_| is_directory));
        }
        positions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(positions)
    }

    fn check_place(&self) -> Result<()> {
        self.directory.parent().map_or(Ok(()), |run| files::check_within(run, &self.directory))
    }

    /// Writes a checkpoint, replacing an existing one at the same position.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it cannot be written; the other checkpoints are unchanged.
    pub fn write(&self, position: Position, content: &[(&str, &[u8])]) -> Result<()> {
        let path = self.path(position);
        files::create_directories(&self.directory)?;
        self.check_place()?;
        if path.symlink_metadata().is_ok() {
            // A resumed run never returns to the position of its checkpoint, so this one was rejected as unusable.
            files::remove_directory(&path)?;
        }
        let sums = content.iter().map(|(name, bytes)| ((*name).to_owned(), Checksum::of(bytes)));
        let manifest = versioned::to_json(MANIFEST_VERSION, &Manifest { files: sums.collect() })?;
        // The order does not matter: the directory becomes visible only when all files are complete.
        let mut all = content.to_vec();
        all.push((MANIFEST, manifest.as_bytes()));
        files::write_directory(&path, &all)
    }

    /// Reads a checkpoint whose files have at most `most` bytes each, and verifies their checksums.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if a file is missing or was changed; [`StoreError::Io`], [`StoreError::Malformed`] or
    /// [`StoreError::NewerFormat`] for the manifest.
    pub fn read(&self, position: Position, most: u64) -> Result<CheckpointFiles> {
        let path = self.path(position);
        let mut content = CheckpointFiles::new();
        let manifest = read_manifest(&path)?;
        if manifest.files.len() > MAX_FILES {
            let problem = format!("its manifest has more than {MAX_FILES} files");
            return Err(StoreError::damaged(&path, problem));
        }
        // The manifest may come from anywhere: names must not leave the directory, and sizes are limited.
        for (name, sum) in manifest.files {
            let bytes = read_checked(&plain(&path, &name)?, &sum, most)?;
            content.insert(name, bytes);
        }
        Ok(content)
    }

    /// Reads one file of a checkpoint, of at most `most` bytes, and verifies its checksum; `None` if the file does
    /// not exist.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn read_file(&self, position: Position, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(position);
        let manifest = read_manifest(&path)?;
        let sum = manifest.files.get(name);
        sum.map(|sum| read_checked(&plain(&path, name)?, sum, most)).transpose()
    }

    /// Verifies the checksums of a checkpoint's files without keeping the files in memory.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn check(&self, position: Position) -> Result<()> {
        let path = self.path(position);
        let manifest = read_manifest(&path)?;
        let mut files = manifest.files.iter();
        files.try_for_each(|(name, sum)| sum.check(&plain(&path, name)?))
    }

    /// Removes all checkpoints except those at these positions.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if one cannot be removed.
    pub fn retain(&self, positions: &[Position]) -> Result<()> {
        for position in self.positions()? {
            if !positions.contains(&position) {
                files::remove_directory(&self.path(position))?;
            }
        }
        Ok(())
    }

    /// Removes all checkpoints and the temporary files of a killed process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if something cannot be removed.
    pub fn remove(&self) -> Result<()> {
        files::remove_directory(&self.directory)
    }
}

/// The path of a file in the checkpoint's directory. Names with path separators are an error.
fn plain(checkpoint: &Path, name: &str) -> Result<PathBuf> {
    if !is_plain(name) {
        let problem = format!("its manifest has a file {name:?}, which is not a plain file name");
        return Err(StoreError::damaged(checkpoint, problem));
    }
    Ok(checkpoint.join(name))
}

fn read_manifest(checkpoint: &Path) -> Result<Manifest> {
    let path = checkpoint.join(MANIFEST);
    versioned::parse(&path, &files::read(&path, MAX_MANIFEST_BYTES)?, MANIFEST_VERSION)
}
