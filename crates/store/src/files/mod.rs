//! All writing of files.
//!
//! A file appears complete or not at all: it is written under a temporary name in its own directory, synced to disk
//! and renamed; then the directory is synced. A directory of files appears in the same way. Only `history.csv` and
//! `log.jsonl` grow in place, by complete lines.
//!
//! The module `disk` has one function per disk operation. With the feature `faults`, which tests enable, each
//! operation can be made to fail or to kill the process.

mod append;
mod disk;
#[cfg(feature = "faults")]
mod faults;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use kiln_config::Unreadable;

use crate::error::{Result, StoreError};

pub use append::{Appender, LineWriter};

/// The prefix of temporary files and directories that are not complete yet.
pub const PARTIAL: &str = ".partial-";

/// Writes `content` to `path`, replacing an existing file.
///
/// # Errors
///
/// [`StoreError::Io`] if the disk is full or the write fails. No part of the new file remains, and an existing file
/// is unchanged.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let refused = |cause| StoreError::io("write", path, cause);
    let partial = Partial::file(parent(path), content.as_ref()).map_err(refused)?;
    partial.rename(path).map_err(refused)?;
    sync_directory(parent(path))
}

/// Writes a file that several processes may write, unless it exists: the first one wins, and the file never changes again.
/// Returns whether this process has written it.
///
/// # Errors
///
/// Those of [`write()`].
pub fn write_once(path: &Path, content: impl AsRef<[u8]>) -> Result<bool> {
    if exists(path)? {
        return Ok(false);
    }
    let refused = |cause| StoreError::io("write", path, cause);
    let partial = Partial::file(parent(path), content.as_ref()).map_err(refused)?;
    match disk::hard_link(&partial.path, path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // Some file systems have no links. There, two processes can write the file at the same moment.
        Err(_) => partial.rename(path).map_err(refused)?,
    }
    sync_directory(parent(path))?;
    Ok(true)
}

/// Writes a directory of files to `path`, which must not exist. One rename makes it visible after its content is
/// synced to disk.
///
/// # Errors
///
/// [`StoreError::Io`] if the disk is full or the write fails; no part of the directory remains.
pub fn write_directory(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let refused = |cause| StoreError::io("write", path, cause);
    let partial = Partial::directory(parent(path), files).map_err(refused)?;
    partial.rename(path).map_err(refused)?;
    sync_directory(parent(path))
}

/// Makes a directory of existing files, as hard links if possible or as copies, and of new ones. `check` examines it before it appears as
/// `path`, complete, in place of a directory that may be there.
///
/// # Errors
///
/// [`StoreError::Io`] if the disk is full or an operation fails, or the error of `check`; no part of the new directory
/// remains, and an existing one is unchanged.
pub(crate) fn link_directory(
    path: &Path,
    linked: &[PathBuf],
    copied: &[PathBuf],
    written: &[(&str, &[u8])],
    check: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let refused = |cause| StoreError::io("write", path, cause);
    let partial = Partial::directory(parent(path), written).map_err(refused)?;
    for (from, link) in
        linked.iter().map(|from| (from, true)).chain(copied.iter().map(|from| (from, false)))
    {
        let to = partial.path.join(from.file_name().unwrap_or_default());
        let is_linked = link && disk::hard_link(from, &to).is_ok();
        // Links are not possible everywhere, such as to another file system.
        if !is_linked {
            copy(from, &to).map_err(|cause| StoreError::io("copy", from, cause))?;
        }
    }
    disk::sync_directory(&partial.path).map_err(refused)?;
    check(&partial.path)?;
    remove_directory(path)?;
    partial.rename(path).map_err(refused)?;
    sync_directory(parent(path))
}

/// Copies a file and syncs it to disk.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.symlink_metadata()?.is_file() {
        // Opening a pipe would block.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut original = File::open(from)?;
    let mut copy = disk::create(to)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match original.read(&mut chunk)? {
            0 => return disk::sync(&copy, to),
            read => disk::write(&mut copy, to, &chunk[..read])?,
        }
    }
}

/// Creates a directory and its missing parents.
///
/// # Errors
///
/// [`StoreError::Io`] if one cannot be created.
pub fn create_directories(path: &Path) -> Result<()> {
    create_all(path).map_err(|cause| StoreError::io("create the directory", path, cause))
}

fn create_all(path: &Path) -> io::Result<()> {
    // Nearly always true, and needs no write.
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_all(above)?;
    }
    match disk::create_directory(path) {
        // Another process created it first.
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
/// Creating a directory is atomic: of several processes that try at the same time, one succeeds.
///
/// # Errors
///
/// [`StoreError::RunExists`] if the path exists, otherwise [`StoreError::Io`].
pub(crate) fn claim_directory(path: &Path) -> Result<()> {
    match disk::create_directory(path) {
        Ok(()) => sync_directory(parent(path)),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::RunExists { path: path.to_owned() })
        }
        Err(cause) => Err(StoreError::io("create the directory", path, cause)),
    }
}

/// Removes a directory and its content, if it exists. It is renamed first, so a partly removed directory is never
/// mistaken for a complete one.
///
/// # Errors
///
/// [`StoreError::Io`] if it cannot be removed.
pub fn remove_directory(path: &Path) -> Result<()> {
    let refused = |cause| StoreError::io("remove", path, cause);
    let aside = loop {
        let aside = partial_name(parent(path));
        match disk::rename(path, &aside) {
            Ok(()) => break aside,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            // Left by an earlier process with the same process id.
            Err(_) if aside.symlink_metadata().is_ok() => {}
            Err(cause) => return Err(refused(cause)),
        }
    };
    disk::remove_tree(&aside).map_err(refused)
}

/// Removes a file, if it exists.
///
/// # Errors
///
/// [`StoreError::Io`] if it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match disk::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, cause))
        }
        _ => Ok(()),
    }
}

/// Removes temporary files that a killed process left here. No other process may be writing in the directory.
///
/// # Errors
///
/// [`StoreError::Io`] if something cannot be removed.
pub fn remove_partial(directory: &Path) -> Result<()> {
    partial(directory).iter().try_for_each(|path| remove_any(path))
}

/// Removes a file, a link, or a directory with its content.
///
/// # Errors
///
/// [`StoreError::Io`] if it cannot be removed.
pub(crate) fn remove_any(path: &Path) -> Result<()> {
    let is_directory = path.is_dir() && !path.is_symlink();
    let removed = if is_directory { disk::remove_tree(path) } else { disk::remove_file(path) };
    removed.map_err(|cause| StoreError::io("remove", path, cause))
}

/// The temporary files in a directory, from a process that is writing now or was killed. Links to directories are not
/// followed.
#[must_use]
pub fn partial(directory: &Path) -> Vec<PathBuf> {
    // Files in the target of a link are not ours to remove.
    if directory.is_symlink() {
        return Vec::new();
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_partial = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(PARTIAL))
    };
    entries.filter(is_partial).map(|entry| entry.path()).collect()
}

/// Whether a path exists. A path that cannot be examined is an error, not a missing file.
///
/// # Errors
///
/// [`StoreError::Io`] if this cannot be determined.
pub fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|cause| StoreError::io("look at", path, cause))
}

/// Reads a text file of at most `most` bytes. Symbolic links are not followed: a run's files are in its own
/// directory.
///
/// # Errors
///
/// [`StoreError::Io`] if it is missing or cannot be read, [`StoreError::Unreadable`] if it is too large or not an
/// ordinary file, [`StoreError::Malformed`] if it is not UTF-8.
pub fn read(path: &Path, most: u64) -> Result<String> {
    kiln_config::read_text(path, most).map_err(|problem| match problem {
        Unreadable::Io(cause) => StoreError::io("read", path, cause),
        Unreadable::NotText { line } => StoreError::malformed(path, line, "this is not UTF-8 text"),
        problem => StoreError::Unreadable { path: path.to_owned(), problem },
    })
}

/// The time by the clock of the file system, which may differ from that of this machine: that of a new file in a directory.
/// `None` if the directory cannot be written to.
#[must_use]
pub fn clock(directory: &Path) -> Option<SystemTime> {
    let probe = partial_name(directory);
    fs::File::create_new(&probe).ok()?;
    let time = fs::metadata(&probe).and_then(|metadata| metadata.modified());
    let _ = fs::remove_file(&probe);
    time.ok()
}

/// Refuses a path that leaves `root` through a symbolic link: writes below `root` must stay there.
///
/// # Errors
///
/// [`StoreError::LeadsOut`]. A missing path is allowed, unless it is a dangling link.
pub fn check_within(root: &Path, path: &Path) -> Result<()> {
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let is_within = match (fs::canonicalize(root), fs::canonicalize(path)) {
        (Ok(root), Ok(path)) => path.starts_with(root),
        (_, Ok(_)) => true,
        // A missing path leads nowhere, but writing to a dangling link creates its target.
        (_, Err(_)) => !path.is_symlink(),
    };
    if is_within {
        return Ok(());
    }
    Err(StoreError::LeadsOut { path: path.to_owned(), root: root.to_owned() })
}

/// A file or directory under a temporary name; removed when dropped unless it was renamed.
struct Partial {
    path: PathBuf,
    is_directory: bool,
}

impl Partial {
    fn file(directory: &Path, content: &[u8]) -> io::Result<Self> {
        let (partial, mut file) = loop {
            let path = partial_name(directory);
            match disk::create(&path) {
                // The name is in use by a process with the same id on another machine or in an earlier boot.
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
                // As for a file.
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
        // The names of the files must be on disk before the rename makes the directory visible.
        disk::sync_directory(&partial.path)?;
        Ok(partial)
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        disk::rename(&self.path, to)?;
        // The temporary name no longer exists.
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        // Report the error that led here, not this one.
        let _ = if self.is_directory {
            disk::remove_tree(&self.path)
        } else {
            disk::remove_file(&self.path)
        };
    }
}

/// A temporary name in `directory`, unique within this process.
fn partial_name(directory: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("{PARTIAL}{}-{number}", std::process::id()))
}

/// Refuses a pipe, because opening it blocks until another process opens its other end.
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

/// Opens a file for reading and appending, creating it if it is missing. Symbolic links are not followed.
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

/// Makes a rename or a new entry durable: on Unix, by syncing its directory.
fn sync_directory(directory: &Path) -> Result<()> {
    sync_entries(directory).map_err(|cause| StoreError::io("sync the directory", directory, cause))
}

fn sync_entries(directory: &Path) -> io::Result<()> {
    match disk::sync_directory(directory) {
        // Some network and shared file systems do not support syncing a directory.
        Err(cause)
            if matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}
