//! Reads the IDX format: a magic number, the dimensions, then the values.
//!
//! ```text
//! byte 0   00 00        magic number
//!      2   08           element type: 08 unsigned byte, 0B 16-bit integer, 0C 32-bit integer
//!      3   N            number of dimensions
//!      4   N × u32      dimensions, big-endian
//!  4+4N    values       row-major, up to the end of the file
//! ```
//!
//! Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", which defines the format.

use std::path::{Path, PathBuf};

use crate::content::{Content, hexadecimal};
use crate::{DataError, IdxError};

/// Limit for the values of one file. Real files have tens of millions; a header that declares more is
/// damaged or malicious.
const MAX_VALUES: u64 = 2 << 30;

/// Bytes that are read, decompressed and hashed at a time: few enough to stay in the cache.
const CHUNK: usize = 256 * 1024;

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdxKind {
    /// Unsigned bytes: images, height, width, and channels if there are several.
    Images,
    /// One integer for each image.
    Labels,
}

impl IdxKind {
    /// The possible numbers of dimensions, the usual one first.
    const fn dimension_counts(self) -> &'static [u8] {
        match self {
            Self::Images => &[3, 4],
            Self::Labels => &[1],
        }
    }
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Unsigned8,
    Signed16,
    Signed32,
}

impl Element {
    /// The type of a code, if files of this kind can have it.
    const fn of(code: u8, kind: IdxKind) -> Option<Self> {
        match (code, kind) {
            (0x08, _) => Some(Self::Unsigned8),
            (0x0b, IdxKind::Labels) => Some(Self::Signed16),
            (0x0c, IdxKind::Labels) => Some(Self::Signed32),
            _ => None,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 => 1,
            Self::Signed16 => 2,
            Self::Signed32 => 4,
        }
    }
}

/// The content of an IDX file. No dimension is zero.
#[derive(Debug)]
pub(crate) struct Idx {
    pub(crate) path: PathBuf,
    pub(crate) dimensions: Vec<usize>,
    element: Element,
    /// The bytes of the values, row-major.
    pub(crate) values: Vec<u8>,
    /// The SHA-256 of the decompressed file, including the header.
    pub(crate) sha256: [u8; 32],
}

impl Idx {
    /// Reads a file, compressed with gzip or not, and checks its header against its content.
    ///
    /// Safe for untrusted files: memory grows with the bytes read, not with the size in the header,
    /// and at most one byte more than the header declares is decompressed.
    pub(crate) fn read(path: &Path, kind: IdxKind) -> Result<Self, DataError> {
        let mut content = Content::open(path)?;
        let header = IdxHeader::read(path, kind, &mut content)?;
        let values = read_values(path, &mut content, &header)?;
        Ok(Self {
            path: path.to_owned(),
            dimensions: header.dimensions.iter().map(|dimension| *dimension as usize).collect(),
            element: header.element,
            values,
            sha256: content.into_sha256(),
        })
    }

    /// The length of the content in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.header_bytes() + self.values.len()) as u64
    }

    /// The position of a value in the content.
    pub(crate) fn offset(&self, index: usize) -> usize {
        self.header_bytes() + index * self.element.bytes()
    }

    fn header_bytes(&self) -> usize {
        4 + 4 * self.dimensions.len()
    }

    /// The values as numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> {
        self.values.chunks_exact(self.element.bytes()).map(|bytes| match (self.element, bytes) {
            (Element::Signed16, &[a, b]) => i64::from(i16::from_be_bytes([a, b])),
            (Element::Signed32, &[a, b, c, d]) => i64::from(i32::from_be_bytes([a, b, c, d])),
            (_, bytes) => i64::from(bytes[0]),
        })
    }
}

/// The header of an IDX file whose dimensions are within the limits.
struct IdxHeader {
    element: Element,
    dimensions: Vec<u32>,
    /// The bytes of all values.
    bytes: usize,
}

impl IdxHeader {
    fn read(path: &Path, kind: IdxKind, content: &mut Content) -> Result<Self, DataError> {
        let truncated = |content: &Content| {
            DataError::Idx(IdxError::TruncatedHeader {
                path: path.to_owned(),
                offset: content.offset(),
            })
        };
        let mut magic = [0; 4];
        let read = content.read(&mut magic)?;
        // Checked before the length, so that a short file of another format is reported as such.
        if !magic[..read.min(2)].iter().all(|&byte| byte == 0) {
            return Err(DataError::Idx(IdxError::NotIdx {
                path: path.to_owned(),
                found: hexadecimal(&magic[..read]),
            }));
        }
        if read < magic.len() {
            return Err(truncated(content));
        }
        let [_, _, element_type, dimension_count] = magic;
        let Some(element) = Element::of(element_type, kind) else {
            return Err(DataError::Idx(IdxError::ElementType {
                path: path.to_owned(),
                code: element_type,
            }));
        };
        if !kind.dimension_counts().contains(&dimension_count) {
            return Err(DataError::Idx(IdxError::DimensionCount {
                path: path.to_owned(),
                found: dimension_count,
                expected: usize::from(kind.dimension_counts()[0]),
            }));
        }
        let mut dimensions = vec![0; usize::from(dimension_count)];
        for dimension in &mut dimensions {
            let mut bytes = [0; 4];
            if content.read(&mut bytes)? < bytes.len() {
                return Err(truncated(content));
            }
            *dimension = u32::from_be_bytes(bytes);
        }
        Self::new(path, element, dimensions)
    }

    fn new(path: &Path, element: Element, dimensions: Vec<u32>) -> Result<Self, DataError> {
        if let Some(zero) = dimensions.iter().position(|&dimension| dimension == 0) {
            return Err(DataError::Idx(IdxError::EmptyDimension {
                path: path.to_owned(),
                offset: 4 + 4 * zero as u64,
                dimensions: describe(&dimensions),
            }));
        }
        let values = dimensions.iter().try_fold(1_u64, |product, &dimension| {
            product.checked_mul(u64::from(dimension)).filter(|&values| values <= MAX_VALUES)
        });
        let bytes =
            values.and_then(|values| usize::try_from(values).ok()?.checked_mul(element.bytes()));
        match bytes {
            Some(bytes) => Ok(Self { element, dimensions, bytes }),
            None => Err(DataError::Idx(IdxError::HeaderTooLarge {
                path: path.to_owned(),
                dimensions: describe(&dimensions),
                max_values: MAX_VALUES,
            })),
        }
    }
}

/// Formats dimensions for messages: `60000 × 28 × 28`.
fn describe(dimensions: &[u32]) -> String {
    let sizes: Vec<String> = dimensions.iter().map(ToString::to_string).collect();
    sizes.join(" × ")
}

fn read_values(
    path: &Path,
    content: &mut Content,
    header: &IdxHeader,
) -> Result<Vec<u8>, DataError> {
    let end = content.offset() + header.bytes as u64;
    let mut values = Vec::new();
    while values.len() < header.bytes {
        let start = values.len();
        let wanted = CHUNK.min(header.bytes - start);
        if values.capacity() < start + wanted {
            // Doubles the capacity as `Vec` does, but not beyond the size in the header, so that the
            // complete buffer has no unused memory.
            let additional = start.max(wanted).min(header.bytes - start);
            values
                .try_reserve_exact(additional)
                .map_err(|_| DataError::OutOfMemory { path: path.to_owned(), bytes: end })?;
        }
        values.resize(start + wanted, 0);
        if content.read(&mut values[start..])? < wanted {
            return Err(DataError::Idx(IdxError::Truncated {
                path: path.to_owned(),
                offset: content.offset(),
                dimensions: describe(&header.dimensions),
                expected: end,
            }));
        }
    }
    // Reading to the end also makes the decompressor verify the checksum of the gzip container.
    if content.read(&mut [0])? > 0 {
        return Err(DataError::Idx(IdxError::TrailingBytes {
            path: path.to_owned(),
            offset: end,
            dimensions: describe(&header.dimensions),
        }));
    }
    Ok(values)
}
