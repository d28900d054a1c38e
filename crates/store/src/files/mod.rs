//! Everything that Kiln writes goes through here.
//!
//! A file appears whole or not at all: it is written under a temporary name in its own directory, synced to disk and
//! renamed, and then the directory is synced. A directory of files appears the same way. Only `history.csv` and
//! `log.jsonl` grow in place, by whole lines.
//!
//! What is done to the disk is in the module `disk`, one function an operation. With the feature `faults`, which tests
//! turn on, each of these can be made to fail, or the process to die at it.

mod append;
mod disk;
#[cfg(feature = "faults")]
mod faults;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use kiln_config::Unreadable;

use crate::error::{Result, StoreError};

pub use append::{Appender, LineWriter};

/// What the names of files and directories begin with that are not whole yet.
pub const PARTIAL: &str = ".partial-";

/// Writes `content` to `path`, replacing what is there.
///
/// # Errors
///
/// [`StoreError::Io`] where the disk is full or refuses; no part of the file is left and an earlier one stays.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let refused = |cause| StoreError::io("write", path, cause);
    let partial = Partial::file(parent(path), content.as_ref()).map_err(refused)?;
    partial.rename(path).map_err(refused)?;
    sync_directory(parent(path))
}

/// Writes a directory of files to `path`, where nothing may be. One rename makes it valid, when all that is in it is
/// safe on disk.
///
/// # Errors
///
/// [`StoreError::Io`] where the disk is full or refuses; no part of it is left.
pub fn write_directory(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let refused = |cause| StoreError::io("write", path, cause);
    let partial = Partial::directory(parent(path), files).map_err(refused)?;
    partial.rename(path).map_err(refused)?;
    sync_directory(parent(path))
}

/// Creates a directory and those above it, where they are missing.
///
/// # Errors
///
/// [`StoreError::Io`] where one cannot be created.
pub fn create_directories(path: &Path) -> Result<()> {
    create_all(path).map_err(|cause| StoreError::io("create the directory", path, cause))
}

fn create_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_all(above)?;
    }
    match disk::create_directory(path) {
        // Somebody else was quicker.
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        Err(cause) => Err(cause),
        Ok(()) => sync_entries(above),
    }
}

/// Creates `path`, which must not exist; its parent must.
///
/// Creating a directory either makes it or fails, whoever else tries at the same time, so success is a claim.
///
/// # Errors
///
/// [`StoreError::RunExists`] where something is there already, otherwise [`StoreError::Io`].
pub(crate) fn claim_directory(path: &Path) -> Result<()> {
    match disk::create_directory(path) {
        Ok(()) => sync_directory(parent(path)),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::RunExists { path: path.to_owned() })
        }
        Err(cause) => Err(StoreError::io("create the directory", path, cause)),
    }
}

/// Removes a directory and all that is in it, if it is there. It is renamed first: half of it is never taken for all.
///
/// # Errors
///
/// [`StoreError::Io`] where it cannot be removed.
pub fn remove_directory(path: &Path) -> Result<()> {
    let refused = |cause| StoreError::io("remove", path, cause);
    let aside = loop {
        let aside = partial_name(parent(path));
        match disk::rename(path, &aside) {
            Ok(()) => break aside,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            // What an earlier process of this number left.
            Err(_) if aside.symlink_metadata().is_ok() => {}
            Err(cause) => return Err(refused(cause)),
        }
    };
    disk::remove_tree(&aside).map_err(refused)
}

/// Removes a file, if it is there.
///
/// # Errors
///
/// [`StoreError::Io`] where it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match disk::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, cause))
        }
        _ => Ok(()),
    }
}

/// Removes what a process that was killed here left half written. Nobody else may be writing in the directory.
///
/// # Errors
///
/// [`StoreError::Io`] where something cannot be removed.
pub fn remove_partial(directory: &Path) -> Result<()> {
    partial(directory).iter().try_for_each(|path| remove_any(path))
}

/// Removes a file, a link, or a directory with all that is in it.
///
/// # Errors
///
/// [`StoreError::Io`] where it cannot be removed.
pub(crate) fn remove_any(path: &Path) -> Result<()> {
    let is_directory = path.is_dir() && !path.is_symlink();
    let removed = if is_directory { disk::remove_tree(path) } else { disk::remove_file(path) };
    removed.map_err(|cause| StoreError::io("remove", path, cause))
}

/// What is half written in a directory, be it that somebody writes it at this moment or that one who did was killed.
/// A link to a directory holds nothing of ours.
#[must_use]
pub fn partial(directory: &Path) -> Vec<PathBuf> {
    if directory.is_symlink() {
        return Vec::new();
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_partial = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(PARTIAL))
    };
    entries.filter(is_partial).map(|entry| entry.path()).collect()
}

/// Whether something is there. What cannot be looked at is not missing.
///
/// # Errors
///
/// [`StoreError::Io`] where that cannot be told.
pub fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|cause| StoreError::io("look at", path, cause))
}

/// Reads a whole text file of at most `most` bytes. A symbolic link is not followed: a run's files lie in its directory.
///
/// # Errors
///
/// [`StoreError::Io`] where it is missing or cannot be read, [`StoreError::Unreadable`] where it is larger or no ordinary
/// file, [`StoreError::Malformed`] where it is not UTF-8.
pub fn read(path: &Path, most: u64) -> Result<String> {
    kiln_config::read_text(path, most).map_err(|problem| match problem {
        Unreadable::Io(cause) => StoreError::io("read", path, cause),
        Unreadable::NotText { line } => StoreError::malformed(path, line, "this is not UTF-8 text"),
        problem => StoreError::Unreadable { path: path.to_owned(), problem },
    })
}

/// Refuses a path that a symbolic link takes out of `root`: nobody who writes below `root` means to write elsewhere.
///
/// # Errors
///
/// [`StoreError::LeadsOut`]. What is not there leads nowhere, unless a link to it is.
pub fn check_within(root: &Path, path: &Path) -> Result<()> {
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let is_within = match (fs::canonicalize(root), fs::canonicalize(path)) {
        (Ok(root), Ok(path)) => path.starts_with(root),
        (_, Ok(_)) => true,
        (_, Err(_)) => !path.is_symlink(),
    };
    if is_within {
        return Ok(());
    }
    Err(StoreError::LeadsOut { path: path.to_owned(), root: root.to_owned() })
}

/// A file or directory under a temporary name, gone when dropped unless it was renamed.
struct Partial {
    path: PathBuf,
    is_directory: bool,
}

impl Partial {
    fn file(directory: &Path, content: &[u8]) -> io::Result<Self> {
        let (partial, mut file) = loop {
            let path = partial_name(directory);
            match disk::create(&path) {
                // A process of this number on another machine, or one of a former boot.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                created => break (Self { path, is_directory: false }, created?),
            }
        };
        disk::write(&mut file, &partial.path, content)?;
        disk::sync(&file, &partial.path)?;
        Ok(partial)
    }

    fn directory(above: &Path, files: &[(&str, &[u8])]) -> io::Result<Self> {
        let partial = loop {
            let path = partial_name(above);
            match disk::create_directory(&path) {
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                created => break created.map(|()| Self { path, is_directory: true })?,
            }
        };
        for (name, content) in files {
            let path = partial.path.join(name);
            let mut file = disk::create(&path)?;
            disk::write(&mut file, &path, content)?;
            disk::sync(&file, &path)?;
        }
        disk::sync_directory(&partial.path)?;
        Ok(partial)
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        disk::rename(&self.path, to)?;
        // It has another name now.
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        // The error that led here is the one to tell.
        let _ = if self.is_directory {
            disk::remove_tree(&self.path)
        } else {
            disk::remove_file(&self.path)
        };
    }
}

/// A name in `directory` that no other call of this process gives.
fn partial_name(directory: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("{PARTIAL}{}-{number}", std::process::id()))
}

/// Refuses a pipe: to open it is to wait for somebody at its other end.
pub(crate) fn check_no_pipe(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            return Err(StoreError::damaged(path, "it is a pipe, not a file"));
        }
    }
    Ok(())
}

/// Opens a file to read it and to go on behind what it holds, made where it is missing; not one that a link in its
/// place leads to.
pub(crate) fn open_to_append(path: &Path) -> Result<File> {
    check_within(parent(path), path)?;
    check_no_pipe(path)?;
    disk::open_to_append(path).map_err(|cause| StoreError::io("open", path, cause))
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Makes a rename or a new entry last: on Unix it is the directory that holds it.
fn sync_directory(directory: &Path) -> Result<()> {
    sync_entries(directory).map_err(|cause| StoreError::io("sync the directory", directory, cause))
}

fn sync_entries(directory: &Path) -> io::Result<()> {
    match disk::sync_directory(directory) {
        // Some network and shared file systems have no such thing as syncing a directory.
        Err(cause)
            if matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}
