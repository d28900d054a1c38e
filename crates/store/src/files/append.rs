//! Files that grow in place.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};

use super::{disk, open_to_append, write};

/// A file that grows by whole records, each on disk before the next.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: File,
    /// Where the last whole record ends.
    length: u64,
}

impl Appender {
    /// Creates `path`, which must not exist, with `head` as its first record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where it exists or cannot be created; no part of it is left.
    pub fn create(path: &Path, head: impl AsRef<[u8]>) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::io("create", path, io::ErrorKind::AlreadyExists.into()));
        }
        write(path, head)?;
        Self::open(path)
    }

    /// Opens `path` to go on behind what it holds; makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where it can be neither opened nor created.
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |cause| StoreError::io("open", path, cause);
        let file = open_to_append(path)?;
        let length = file.metadata().map_err(refused)?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Where the last whole record ends.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds one record and syncs it to disk. A record that does not fit is taken back whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the disk is full or refuses.
    pub fn append(&mut self, record: impl AsRef<[u8]>) -> Result<()> {
        let record = record.as_ref();
        let written = disk::write(&mut self.file, &self.path, record);
        match written.and_then(|()| disk::sync(&self.file, &self.path)) {
            Ok(()) => {
                self.length += record.len() as u64;
                Ok(())
            }
            Err(cause) => {
                // The first error is the one to tell; should this fail too, the reader copes with a cut last record.
                let _ = disk::truncate(&self.file, &self.path, self.length);
                Err(StoreError::io("write", &self.path, cause))
            }
        }
    }
}

/// A file that grows line by line without waiting for the disk: what a crash takes of it is missed by nobody.
#[derive(Debug)]
pub struct LineWriter {
    path: PathBuf,
    file: File,
}

impl LineWriter {
    /// Opens `path` to go on behind what it holds; makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where it can be neither opened nor created.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), file: open_to_append(path)? })
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        disk::write(&mut self.file, &self.path, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
