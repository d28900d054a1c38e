//! A file's content: decompressed where the file is gzip, counted and summed as it is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::DataError;

/// The first two bytes of every gzip member (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads one file's content once, front to back.
///
/// Whether it is compressed is told from its first bytes, never from its name: some programs unpack
/// a `.gz` while downloading and keep the name. Gzip files of several members are one content.
pub(crate) struct Content {
    path: PathBuf,
    reader: Box<dyn Read>,
    compressed: bool,
    offset: u64,
    sum: Sha256,
}

impl Content {
    /// Opens a file, compressed or not.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path).map_err(unreadable)?);
        let compressed = file.fill_buf().map_err(unreadable)?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { path: path.to_owned(), reader, compressed, offset: 0, sum: Sha256::new() })
    }

    /// How many bytes of the content have been read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Fills `buffer` as far as the content goes and returns how far that is.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DataError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
        self.sum.update(&buffer[..filled]);
        Ok(filled)
    }

    /// The SHA-256 of all that was read.
    pub(crate) fn into_sum(self) -> [u8; 32] {
        self.sum.finalize().into()
    }

    /// Tells damage in the container from a disk that does not answer: the decompressor reports
    /// damage as one of these three kinds, the operating system does not.
    fn failure(&self, source: io::Error) -> DataError {
        let damage =
            [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
        if self.compressed && damage.contains(&source.kind()) {
            DataError::Gzip { path: self.path.clone(), offset: self.offset, source }
        } else {
            DataError::Read { path: self.path.clone(), source }
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
