//! Files that grow in place.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};

use super::{disk, open_to_append, write};

/// A file that grows by complete records, each synced to disk before the next.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: File,
    /// The offset after the last complete record.
    length: u64,
}

impl Appender {
    /// Creates `path`, which must not exist, with `head` as its first record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file exists or cannot be created; no part of it remains.
    pub fn create(path: &Path, head: impl AsRef<[u8]>) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::io("create", path, io::ErrorKind::AlreadyExists.into()));
        }
        write(path, head)?;
        Self::open(path)
    }

    /// Opens `path` to append to it; creates it if it is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file can be neither opened nor created.
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |cause| StoreError::io("open", path, cause);
        let file = open_to_append(path)?;
        let length = file.metadata().map_err(refused)?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// The offset after the last complete record, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends one record and syncs it to disk. If a record cannot be written completely, it is removed again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the disk is full or the write fails.
    pub fn append(&mut self, record: impl AsRef<[u8]>) -> Result<()> {
        let record = record.as_ref();
        let written = disk::write(&mut self.file, &self.path, record);
        match written.and_then(|()| disk::sync(&self.file, &self.path)) {
            Ok(()) => {
                self.length += record.len() as u64;
                Ok(())
            }
            Err(cause) => {
                // Report the first error. If truncating fails too, readers ignore an incomplete last record.
                let _ = disk::truncate(&self.file, &self.path, self.length);
                Err(StoreError::io("write", &self.path, cause))
            }
        }
    }
}

/// A file that grows by lines without syncing, for logs: a crash may lose its last lines.
#[derive(Debug)]
pub struct LineWriter {
    path: PathBuf,
    file: File,
}

impl LineWriter {
    /// Opens `path` to append to it; creates it if it is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file can be neither opened nor created.
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
        // `write` buffers nothing.
        Ok(())
    }
}
