//! Checksums that detect later changes of a file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use kiln_config::Unreadable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Result, StoreError};

/// The number of bytes read at a time.
const CHUNK: usize = 64 << 10;

/// The checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The size in bytes.
    pub bytes: u64,
    /// The SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Checksum {
    /// The checksum of a file's content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self { bytes: content.len() as u64, sha256: hexadecimal(&Sha256::digest(content)) }
    }

    /// The checksum of a file, read in pieces.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it cannot be read, [`StoreError::Damaged`] if it is not a file.
    pub fn of_file(path: &Path) -> Result<Self> {
        let refused = |cause| StoreError::io("read", path, cause);
        let (mut file, _) = kiln_config::open_file(path).map_err(|problem| match problem {
            Unreadable::Io(cause) => refused(cause),
            Unreadable::NotAFile(kind) => {
                StoreError::damaged(path, format!("it is {kind}, not a file"))
            }
            problem => StoreError::Unreadable { path: path.to_owned(), problem },
        })?;
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(Self { bytes, sha256: hexadecimal(&digest.finalize()) }),
                Ok(read) => {
                    digest.update(&chunk[..read]);
                    bytes += read as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(refused(cause)),
            }
        }
    }

    /// Verifies a file against the checksum.
    ///
    /// # Errors
    ///
    /// Those of [`of_file`](Self::of_file); [`StoreError::Damaged`] if the file has changed.
    pub fn check(&self, path: &Path) -> Result<()> {
        // Comparing the size first avoids hashing most damaged files.
        let metadata =
            path.symlink_metadata().map_err(|cause| StoreError::io("read", path, cause))?;
        if metadata.is_file() {
            self.check_size(path, metadata.len())?;
        }
        self.check_equal(path, &Self::of_file(path)?)
    }

    /// Verifies the content of a file, which was read already, against the checksum.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the file has changed.
    pub fn check_content(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.check_size(path, content.len() as u64)?;
        self.check_equal(path, &Self::of(content))
    }

    fn check_size(&self, path: &Path, bytes: u64) -> Result<()> {
        if bytes == self.bytes {
            return Ok(());
        }
        let problem = format!("it has {bytes} bytes, but {} were written", self.bytes);
        Err(StoreError::damaged(path, problem))
    }

    fn check_equal(&self, path: &Path, found: &Self) -> Result<()> {
        if found == self {
            return Ok(());
        }
        Err(StoreError::damaged(path, "its content has changed (the SHA-256 differs)"))
    }
}

/// Says what something is that is not an ordinary file.
fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_symlink() {
        "it is a symbolic link, not a file"
    } else if metadata.is_dir() {
        "it is a directory, not a file"
    } else {
        "it is a pipe or a device, not a file"
    }
}

/// Whether a name in a list of checksums is a plain file name, without path separators.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Reads a file and verifies its checksum.
pub(crate) fn read_checked(path: &Path, sum: &Checksum, most: u64) -> Result<Vec<u8>> {
    let damaged = |problem: String| Err(StoreError::damaged(path, problem));
    let refused = |cause| StoreError::io("read", path, cause);
    let metadata = path.symlink_metadata().map_err(refused)?;
    if !metadata.is_file() {
        return damaged(kind_of(&metadata).to_owned());
    }
    if metadata.len() != sum.bytes {
        return damaged(format!("it has {} bytes, but {} were written", metadata.len(), sum.bytes));
    }
    if sum.bytes > most {
        return damaged(format!("it has {} bytes; at most {most} are expected", sum.bytes));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refused)?;
    // One byte more than expected, so that a file that grew in the meantime is noticed.
    file.take(sum.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(refused)?;
    if Checksum::of(&bytes) != *sum {
        return damaged("its content has changed (the SHA-256 differs)".to_owned());
    }
    Ok(bytes)
}

/// Two digits per byte.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
