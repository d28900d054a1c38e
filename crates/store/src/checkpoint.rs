//! `checkpoints/`: what a run goes on from after it was interrupted.
//!
//! ```text
//! checkpoints/
//!   epoch-00003/              after three epochs
//!     manifest.json           the names, sizes and sums of the files beside it
//!     …                       what the trainer keeps; nothing here looks into it
//!   epoch-00003-step-000120/  in the fourth epoch, after its 120th step
//! ```
//!
//! A checkpoint becomes valid by one rename, when all that is in it is on the disk. An older one is removed only
//! then.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::position::Position;
use crate::run::RunDirectory;
use crate::sum::{Sum, is_plain, read_sum};
use crate::{files, versioned};

/// The version of the manifest that this build writes, and the newest that it reads.
pub const MANIFEST_VERSION: u32 = 1;

const MANIFEST: &str = "manifest.json";

/// The most files that a checkpoint may have.
const MOST_FILES: usize = 4;

/// The largest manifest that is read; one is some hundred bytes.
const MOST_MANIFEST_BYTES: u64 = 64 << 10;

/// The checkpoints of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    directory: PathBuf,
}

/// The files of a checkpoint by name.
pub type CheckpointFiles = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, Sum>,
}

impl Checkpoints {
    /// Those of a run; there need not be any.
    #[must_use]
    pub fn of(run: &RunDirectory) -> Self {
        Self { directory: run.checkpoints_path() }
    }

    /// Where the checkpoint of a position lies.
    #[must_use]
    pub fn path(&self, position: Position) -> PathBuf {
        self.directory.join(position.directory_name())
    }

    /// The positions of all checkpoints, the newest first. They may be damaged.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where they cannot be looked at, [`StoreError::LeadsOut`] where they lie elsewhere: that is
    /// not to say that there are none.
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
            positions.extend(position.filter(|_| is_directory));
        }
        positions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(positions)
    }

    fn check_place(&self) -> Result<()> {
        self.directory.parent().map_or(Ok(()), |run| files::check_within(run, &self.directory))
    }

    /// Writes a checkpoint in place of one that is there already.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where it cannot be written; the others are as they were.
    pub fn write(&self, position: Position, content: &[(&str, &[u8])]) -> Result<()> {
        let path = self.path(position);
        files::create_directories(&self.directory)?;
        self.check_place()?;
        if path.symlink_metadata().is_ok() {
            // One that was refused: a run that goes on from a checkpoint does not come to it again.
            files::remove_directory(&path)?;
        }
        let sums = content.iter().map(|(name, bytes)| ((*name).to_owned(), Sum::of(bytes)));
        let manifest = versioned::to_json(MANIFEST_VERSION, &Manifest { files: sums.collect() })?;
        let mut all = content.to_vec();
        all.push((MANIFEST, manifest.as_bytes()));
        files::write_directory(&path, &all)
    }

    /// Reads a checkpoint whose files are of at most `most` bytes each, and holds them to their sums.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] where a file is missing, or not the one that was written;
    /// [`StoreError::Io`], [`StoreError::Malformed`] or [`StoreError::NewerFormat`] for the manifest.
    pub fn read(&self, position: Position, most: u64) -> Result<CheckpointFiles> {
        let path = self.path(position);
        let mut content = CheckpointFiles::new();
        let manifest = read_manifest(&path)?;
        if manifest.files.len() > MOST_FILES {
            let problem = format!("its manifest has more than {MOST_FILES} files");
            return Err(StoreError::damaged(&path, problem));
        }
        for (name, sum) in manifest.files {
            let bytes = read_sum(&plain(&path, &name)?, &sum, most)?;
            content.insert(name, bytes);
        }
        Ok(content)
    }

    /// Reads one file of a checkpoint, of at most `most` bytes, and holds it to its sum; `None` where there is no such file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_file(&self, position: Position, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(position);
        let manifest = read_manifest(&path)?;
        let sum = manifest.files.get(name);
        sum.map(|sum| read_sum(&plain(&path, name)?, sum, most)).transpose()
    }

    /// Holds the files of a checkpoint to their sums, without keeping them in memory.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn check(&self, position: Position) -> Result<()> {
        let path = self.path(position);
        let manifest = read_manifest(&path)?;
        let mut files = manifest.files.iter();
        files.try_for_each(|(name, sum)| sum.check(&plain(&path, name)?))
    }

    /// Removes all checkpoints but those of these positions.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where one cannot be removed.
    pub fn retain(&self, positions: &[Position]) -> Result<()> {
        for position in self.positions()? {
            if !positions.contains(&position) {
                files::remove_directory(&self.path(position))?;
            }
        }
        Ok(())
    }

    /// Removes all of them, and what a process that was killed left half written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where something cannot be removed.
    pub fn remove(&self) -> Result<()> {
        files::remove_directory(&self.directory)
    }
}

/// The file of that name in a checkpoint's directory, and nowhere else.
fn plain(checkpoint: &Path, name: &str) -> Result<PathBuf> {
    if !is_plain(name) {
        let problem = format!("its manifest has a file {name:?}, which is no plain name");
        return Err(StoreError::damaged(checkpoint, problem));
    }
    Ok(checkpoint.join(name))
}

fn read_manifest(checkpoint: &Path) -> Result<Manifest> {
    let path = checkpoint.join(MANIFEST);
    versioned::parse(&path, &files::read(&path, MOST_MANIFEST_BYTES)?, MANIFEST_VERSION)
}
