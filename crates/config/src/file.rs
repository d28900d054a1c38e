use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Why a file could not be read. The message does not include the path.
#[derive(Debug)]
pub enum Unreadable {
    /// An operation of the operating system failed.
    Io(io::Error),
    /// The path is not an ordinary file but this: `a directory`, `a symbolic link`, …
    NotAFile(&'static str),
    /// The file is larger than the limit for its kind.
    TooLarge {
        /// The limit in bytes.
        max_bytes: u64,
    },
    /// The file is not UTF-8 text.
    NotText {
        /// The first line that is not UTF-8, from 1.
        line: u64,
    },
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::NotAFile(kind) => write!(formatter, "it is {kind}, not an ordinary file"),
            Self::TooLarge { max_bytes } => {
                write!(formatter, "it is larger than {}, the limit for this file", size(*max_bytes))
            }
            Self::NotText { line } => write!(formatter, "line {line} is not UTF-8 text"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads an ordinary file of at most `max_bytes` bytes.
///
/// Other kinds of files are not opened: a pipe may never end, reading a device may have side effects,
/// and a symbolic link may lead out of the run directory.
///
/// # Errors
///
/// The file cannot be read, is not an ordinary file, or is larger than `max_bytes`.
pub fn read_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Unreadable> {
    let (file, length) = open_file(path)?;
    if length > max_bytes {
        return Err(Unreadable::TooLarge { max_bytes });
    }
    read_to_end(file, length, max_bytes)
}

/// Opens an ordinary file to read it; the result has its length. Other kinds of files are refused as by [`read_bytes`], also if
/// one replaces the file at this moment.
///
/// # Errors
///
/// The file cannot be opened, or is not an ordinary file.
pub fn open_file(path: &Path) -> Result<(File, u64), Unreadable> {
    let expected = fs::symlink_metadata(path).map_err(Unreadable::Io)?;
    check_kind(&expected)?;
    let mut options = File::options();
    options.read(true);
    // Opening a pipe would wait for a writer.
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, O_NONBLOCK);
    let file = options.open(path).map_err(Unreadable::Io)?;
    let opened = file.metadata().map_err(Unreadable::Io)?;
    check_kind(&opened)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // A link to a file is a file once it is open.
        let is_link = || fs::symlink_metadata(path).is_ok_and(|now| now.file_type().is_symlink());
        if (opened.dev(), opened.ino()) != (expected.dev(), expected.ino()) && is_link() {
            return Err(Unreadable::NotAFile("a symbolic link"));
        }
    }
    Ok((file, opened.len()))
}

/// The flag of Linux, which is the same on x86-64 and aarch64.
#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;

fn check_kind(metadata: &fs::Metadata) -> Result<(), Unreadable> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Err(Unreadable::NotAFile("a symbolic link"))
    } else if kind.is_dir() {
        Err(Unreadable::NotAFile("a directory"))
    } else if !kind.is_file() {
        Err(Unreadable::NotAFile("a pipe or a device"))
    } else {
        Ok(())
    }
}

/// Like [`read_bytes`], for a text file.
///
/// # Errors
///
/// The errors of [`read_bytes`], or the file is not UTF-8.
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String, Unreadable> {
    text(read_bytes(path, max_bytes)?)
}

/// Like [`read_text`], but also reads pipes, devices and symbolic links, because the user named this
/// file on the command line.
pub(crate) fn read_named_text(path: &Path, max_bytes: u64) -> Result<String, Unreadable> {
    let file = File::open(path).map_err(Unreadable::Io)?;
    if file.metadata().map_err(Unreadable::Io)?.is_dir() {
        return Err(Unreadable::Io(io::ErrorKind::IsADirectory.into()));
    }
    text(read_to_end(file, 0, max_bytes)?)
}

/// Reads up to the limit. `length` is the expected size, used to reserve memory.
fn read_to_end(file: File, length: u64, max_bytes: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let expected = usize::try_from(length).unwrap_or(usize::MAX);
    // Without `try_reserve`, a failed allocation would abort the process.
    bytes
        .try_reserve_exact(expected)
        .map_err(|_| Unreadable::Io(io::ErrorKind::OutOfMemory.into()))?;
    // One byte above the limit shows that there is more: a file may grow, and a pipe has no length.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > max_bytes {
        return Err(Unreadable::TooLarge { max_bytes });
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
