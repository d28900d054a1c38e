//! Everything that this crate writes goes through here.
//!
//! A file appears whole or not at all: it is written under a temporary name in its own directory, synced to disk and
//! renamed, and then the directory is synced. Only `history.csv` grows in place, by whole rows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kiln_config::Unreadable;
use tempfile::TempPath;

use crate::{ReportError, Result};

/// Writes `content` to `path`, replacing what is there.
///
/// # Errors
///
/// [`ReportError::Io`] where the disk is full or refuses; no part of the file is left and an earlier one stays.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let refused = |cause| ReportError::io("write", path, cause);
    let temporary = write_beside(path, content.as_ref()).map_err(refused)?;
    temporary.persist(path).map_err(|error| refused(error.error))?;
    sync_directory(parent(path))
}

/// Writes and syncs a temporary file in the directory of `path`; dropping what is returned removes it.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<TempPath> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        // Temporary files are private by default; a report is an ordinary file, as the user's umask has it.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut temporary = builder.tempfile_in(parent(path))?;
    temporary.as_file_mut().write_all(content)?;
    temporary.as_file().sync_all()?;
    Ok(temporary.into_temp_path())
}

/// Reads a whole text file of at most `most` bytes. A symbolic link is not followed: a run's files lie in its directory.
///
/// # Errors
///
/// [`ReportError::Io`] where it is missing or cannot be read, [`ReportError::Unreadable`] where it is larger or no ordinary
/// file, [`ReportError::Malformed`] where it is not UTF-8.
pub fn read(path: &Path, most: u64) -> Result<String> {
    kiln_config::read_text(path, most).map_err(|problem| match problem {
        Unreadable::Refused(cause) => ReportError::io("read", path, cause),
        Unreadable::NotText { line } => {
            ReportError::malformed(path, line, "this is not UTF-8 text")
        }
        problem => ReportError::Unreadable { path: path.to_owned(), problem },
    })
}

/// Refuses a path that a symbolic link takes out of `root`: nobody who writes below `root` means to write elsewhere.
///
/// # Errors
///
/// [`ReportError::LeadsOut`]. What is not there leads nowhere, unless a link to it is.
pub fn check_within(root: &Path, path: &Path) -> Result<()> {
    let is_within = match (fs::canonicalize(root), fs::canonicalize(path)) {
        (Ok(root), Ok(path)) => path.starts_with(root),
        (_, Ok(_)) => true,
        (_, Err(_)) => !path.is_symlink(),
    };
    if is_within {
        return Ok(());
    }
    Err(ReportError::LeadsOut { path: path.to_owned(), root: root.to_owned() })
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
    /// Creates `path`, which must not exist, with `head` as its first record.
    ///
    /// # Errors
    ///
    /// [`ReportError::Io`] where it exists or cannot be created; no part of it is left.
    pub fn create(path: &Path, head: impl AsRef<[u8]>) -> Result<Self> {
        let refused = |cause| ReportError::io("create", path, cause);
        let temporary = write_beside(path, head.as_ref()).map_err(refused)?;
        temporary.persist_noclobber(path).map_err(|error| refused(error.error))?;
        sync_directory(parent(path))?;
        Self::open(path)
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
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(directory).and_then(|opened| opened.sync_all()) {
        Ok(()) => Ok(()),
        // Some network and shared file systems have no such thing as syncing a directory.
        Err(cause)
            if matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        Err(cause) => Err(ReportError::io("sync the directory", directory, cause)),
    }
}
