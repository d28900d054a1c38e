//! The disk operations, one function each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

#[cfg(feature = "faults")]
use super::faults::{Operation, before};

/// Announces an operation before it is done, for tests that inject faults.
macro_rules! about_to {
    ($operation:expr) => {
        #[cfg(feature = "faults")]
        before(&$operation)?;
    };
}

/// Creates a file that must not exist.
pub(super) fn create(path: &Path) -> io::Result<File> {
    about_to!(Operation::Create(path));
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Opens a file for reading and appending; creates it if it is missing.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    about_to!(Operation::Create(path));
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

/// Appends bytes.
pub(super) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    #[cfg(feature = "faults")]
    super::faults::write_half_and_fail(file, path, bytes)?;
    #[cfg(not(feature = "faults"))]
    let _ = path;
    file.write_all(bytes)
}

/// Waits until the content is on the disk.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    about_to!(Operation::Sync(path));
    #[cfg(not(feature = "faults"))]
    let _ = path;
    file.sync_all()
}

pub(super) fn truncate(file: &File, path: &Path, length: u64) -> io::Result<()> {
    about_to!(Operation::Truncate(path, length));
    #[cfg(not(feature = "faults"))]
    let _ = path;
    file.set_len(length)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    about_to!(Operation::Rename(from, to));
    fs::rename(from, to)
}

/// Gives a file a second name.
pub(super) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    about_to!(Operation::Link(from, to));
    fs::hard_link(from, to)
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    about_to!(Operation::CreateDirectory(path));
    fs::create_dir(path)
}

/// Waits until the entries of a directory are on the disk. Only Unix supports this.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    about_to!(Operation::SyncDirectory(path));
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    about_to!(Operation::Remove(path));
    fs::remove_file(path)
}

/// Removes a directory and its content. Symbolic links in it are removed, not followed.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    about_to!(Operation::Remove(path));
    fs::remove_dir_all(path)
}
