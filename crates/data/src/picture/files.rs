use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::PictureFormat;
use crate::{DataError, natural_order};

/// The picture files of a directory and of the directories in it, in natural order. Hidden files and directories and
/// files that are no pictures by their first bytes are skipped; links are not followed.
///
/// # Errors
///
/// A directory cannot be listed, or a file cannot be opened.
pub fn picture_files(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    let is_hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    let entries = WalkDir::new(directory).min_depth(1).into_iter();
    for entry in entries.filter_entry(|entry| !is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| DataError::Read {
            path: error.path().unwrap_or(directory).to_owned(),
            source: error.into(),
        })?;
        if entry.file_type().is_file() && starts_like_a_picture(entry.path())? {
            files.push(entry.into_path());
        }
    }
    files.sort_by(|one, other| {
        natural_order::compare_paths(&one.to_string_lossy(), &other.to_string_lossy())
    });
    Ok(files)
}

fn starts_like_a_picture(path: &Path) -> Result<bool, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let mut start = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(PictureFormat::SIGNATURE_BYTES as u64).read_to_end(&mut start).map_err(unreadable)?;
    Ok(PictureFormat::of(&start).is_some())
}
