use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read. Its path is not in the message.
#[derive(Debug)]
pub enum Unreadable {
    /// The operating system refused.
    Refused(io::Error),
    /// It is a directory, a pipe, a device or a symbolic link.
    NotAFile(&'static str),
    /// It is larger than anything that it could be.
    TooLarge {
        /// The most bytes that are read.
        most: u64,
    },
    /// It should be text.
    NotText {
        /// The first line that is not UTF-8, counted from 1.
        line: u64,
    },
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(cause) => cause.fmt(formatter),
            Self::NotAFile(what) => {
                write!(formatter, "it is {what} where an ordinary file is expected")
            }
            Self::TooLarge { most } => write!(
                formatter,
                "it is larger than {}, the most that is read of such a file",
                size(*most)
            ),
            Self::NotText { line } => write!(formatter, "line {line} is not UTF-8 text"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// The whole of an ordinary file of at most `most` bytes.
///
/// Nothing else is opened: a pipe may never end, a device may do anything, and a symbolic link may lead anywhere.
///
/// # Errors
///
/// It cannot be read, is no ordinary file, or is larger.
pub fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let kind = fs::symlink_metadata(path).map_err(Unreadable::Refused)?.file_type();
    if kind.is_symlink() {
        return Err(Unreadable::NotAFile("a symbolic link"));
    } else if kind.is_dir() {
        return Err(Unreadable::NotAFile("a directory"));
    } else if !kind.is_file() {
        return Err(Unreadable::NotAFile("a pipe or a device"));
    }
    let file = File::open(path).map_err(Unreadable::Refused)?;
    let length = file.metadata().map_err(Unreadable::Refused)?.len();
    if length > most {
        return Err(Unreadable::TooLarge { most });
    }
    read_to_end(file, length, most)
}

/// As [`read_bytes`], of text.
///
/// # Errors
///
/// Those of [`read_bytes`], or it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, Unreadable> {
    text(read_bytes(path, most)?)
}

/// As [`read_text`], of anything that can be opened: who names a pipe or a link on the command line means it.
pub(crate) fn read_text_of_any(path: &Path, most: u64) -> Result<String, Unreadable> {
    let file = File::open(path).map_err(Unreadable::Refused)?;
    if file.metadata().map_err(Unreadable::Refused)?.is_dir() {
        return Err(Unreadable::Refused(io::ErrorKind::IsADirectory.into()));
    }
    text(read_to_end(file, 0, most)?)
}

/// Reads at most one byte more than `most`: a file may grow, and a pipe has no length.
fn read_to_end(file: File, length: u64, most: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let expected = usize::try_from(length).unwrap_or(usize::MAX);
    bytes
        .try_reserve_exact(expected)
        .map_err(|_| Unreadable::Refused(io::ErrorKind::OutOfMemory.into()))?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Unreadable::Refused)?;
    if bytes.len() as u64 > most {
        return Err(Unreadable::TooLarge { most });
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Unreadable::NotText { line: 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64 }
    })
}

fn size(bytes: u64) -> String {
    match (bytes >> 20, bytes >> 10) {
        (0, 0) => format!("{bytes} bytes"),
        (0, kib) => format!("{kib} KiB"),
        (mib, _) => format!("{mib} MiB"),
    }
}
