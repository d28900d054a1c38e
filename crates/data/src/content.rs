//! Reads the content of a file, decompresses gzip, and computes the SHA-256 while reading.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::DataError;

/// The first two bytes of every gzip member (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads the content of one file sequentially.
///
/// The first bytes decide whether the file is compressed, not its name: some programs decompress a
/// `.gz` file during the download and keep its name. The members of a gzip file are concatenated.
pub(crate) struct Content {
    path: PathBuf,
    reader: Box<dyn Read>,
    compressed: bool,
    offset: u64,
    sha256: Sha256,
}

impl Content {
    /// Opens a file, compressed or not.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path).map_err(unreadable)?);
        // Does not consume the bytes.
        let compressed = file.fill_buf().map_err(unreadable)?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { path: path.to_owned(), reader, compressed, offset: 0, sha256: Sha256::new() })
    }

    /// The number of bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads until `buffer` is full or the content ends. Returns the number of bytes read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DataError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                // A signal arrived; the read can be repeated.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        self.sha256.update(&buffer[..filled]);
        Ok(filled)
    }

    /// The SHA-256 of everything read.
    pub(crate) fn into_sha256(self) -> [u8; 32] {
        self.sha256.finalize().into()
    }

    /// Distinguishes damaged gzip data from errors of the operating system.
    fn error(&self, source: io::Error) -> DataError {
        // The decompressor reports damage as one of these kinds; the operating system uses none of
        // them for reads.
        let damage =
            [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
        if self.compressed && damage.contains(&source.kind()) {
            DataError::Gzip { path: self.path.clone(), offset: self.offset, source }
        } else {
            DataError::Read { path: self.path.clone(), source }
        }
    }
}

/// Formats bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
