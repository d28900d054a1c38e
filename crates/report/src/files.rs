//! Everything that this crate writes goes through here.
//!
//! A file appears whole or not at all: it is written under a temporary name in its own directory, synced to disk and
//! renamed, and then the directory is synced. Only `history.csv` grows in place, by whole rows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{ReportError, Result};

/// Writes `content` to `path`, replacing what is there.
///
/// # Errors
///
/// [`ReportError::Io`] where the disk is full or refuses; no part of the file is left and an earlier one stays.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    write_with(path, |file| file.write_all(content.as_ref()))
}

/// As [`write`](fn@write), for content too large to be held: `fill` is handed the buffered temporary file.
///
/// # Errors
///
/// As [`write`](fn@write), and whatever `fill` returns.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    let refused = |cause| ReportError::io("write", path, cause);
    let directory = parent(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        // Temporary files are private by default; a report is an ordinary file, as the user's umask has it.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(directory).map_err(refused)?;
    // Dropping the temporary path removes the file, so every early return leaves the directory as it was.
    let (file, temporary) = temporary.into_parts();
    let mut buffered = BufWriter::new(file);
    fill(&mut buffered).map_err(refused)?;
    let file = buffered.into_inner().map_err(|error| refused(error.into_error()))?;
    file.sync_all().map_err(refused)?;
    drop(file);
    temporary.persist(path).map_err(|error| refused(error.error))?;
    sync_directory(directory)
}

/// Reads a whole text file.
///
/// # Errors
///
/// [`ReportError::Io`] where it is missing or cannot be read, [`ReportError::Malformed`] where it is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|cause| ReportError::io("read", path, cause))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64;
        ReportError::malformed(path, line, "this is not UTF-8 text")
    })
}

/// Creates `path`, which must not exist; its parent must.
///
/// Creating a directory either makes it or fails, whoever else tries at the same time, so success is a claim.
///
/// # Errors
///
/// [`ReportError::RunExists`] where something is there already, otherwise [`ReportError::Io`].
pub(crate) fn claim_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Ok(()) => sync_directory(parent(path)),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            Err(ReportError::RunExists { path: path.to_owned() })
        }
        Err(cause) => Err(ReportError::io("create the directory", path, cause)),
    }
}

/// A file that grows by whole records, each on disk before the next.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: File,
    /// Where the last whole record ends.
    length: u64,
}

impl Appender {
    /// Creates `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// [`ReportError::Io`] where it exists or cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(|cause| ReportError::io("create", path, cause))?;
        sync_directory(parent(path))?;
        Ok(Self { path: path.to_owned(), file, length: 0 })
    }

    /// Opens `path` to go on behind what it holds; makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`ReportError::Io`] where it can be neither opened nor created.
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |cause| ReportError::io("open", path, cause);
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(refused)?;
        let length = file.metadata().map_err(refused)?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Adds one record and syncs it to disk. A record that does not fit is taken back whole.
    ///
    /// # Errors
    ///
    /// [`ReportError::Io`] where the disk is full or refuses.
    pub fn append(&mut self, record: impl AsRef<[u8]>) -> Result<()> {
        let record = record.as_ref();
        match self.file.write_all(record).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.length += record.len() as u64;
                Ok(())
            }
            Err(cause) => {
                // The first error is the one to tell; should this fail too, the reader copes with a cut last record.
                let _ = self.file.set_len(self.length);
                Err(ReportError::io("write", &self.path, cause))
            }
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Makes a rename or a new entry last: on Unix it is the directory that holds it.
fn sync_directory(directory: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(directory)
            .and_then(|opened| opened.sync_all())
            .map_err(|cause| ReportError::io("sync the directory", directory, cause))?;
    }
    Ok(())
}
