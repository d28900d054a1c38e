//! Reads the IDX format: a magic number, the dimensions, then the values.
//!
//! ```text
//! byte 0   00 00        magic number
//!      2   08           element type: unsigned byte, the only supported one
//!      3   N            number of dimensions
//!      4   N × u32      dimensions, big-endian
//!  4+4N    values       row-major, up to the end of the file
//! ```
//!
//! Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", which defines the format.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::content::{Content, hexadecimal};

/// Limit for the values of one file. Real files have tens of millions; a header that declares more is
/// damaged or malicious.
const MAX_VALUES: u64 = 2 << 30;

/// Bytes that are read, decompressed and hashed at a time: few enough to stay in the cache.
const CHUNK: usize = 256 * 1024;

const UNSIGNED_BYTE: u8 = 0x08;

/// The content of an IDX file of unsigned bytes with `N` dimensions, none of them zero.
#[derive(Debug)]
pub(crate) struct Idx<const N: usize> {
    pub(crate) path: PathBuf,
    pub(crate) dimensions: [usize; N],
    /// Row-major. The length is the product of the dimensions.
    pub(crate) values: Vec<u8>,
    /// The SHA-256 of the decompressed file, including the header.
    pub(crate) sha256: [u8; 32],
}

impl<const N: usize> Idx<N> {
    /// The length of the header in bytes.
    pub(crate) const HEADER_BYTES: usize = 4 + 4 * N;

    /// Reads a file, compressed with gzip or not, and checks its header against its content.
    ///
    /// Safe for untrusted files: memory grows with the bytes read, not with the size in the header,
    /// and at most one byte more than the header declares is decompressed.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let mut content = Content::open(path)?;
        let header = IdxHeader::<N>::read(path, &mut content)?;
        let values = read_values(path, &mut content, &header)?;
        Ok(Self {
            path: path.to_owned(),
            dimensions: header.dimensions.map(|dimension| dimension as usize),
            values,
            sha256: content.into_sha256(),
        })
    }
}

/// The header of an IDX file whose dimensions are within the limits.
struct IdxHeader<const N: usize> {
    dimensions: [u32; N],
    /// The product of the dimensions.
    values: usize,
}

impl<const N: usize> IdxHeader<N> {
    fn read(path: &Path, content: &mut Content) -> Result<Self, DataError> {
        let truncated = |content: &Content| DataError::TruncatedHeader {
            path: path.to_owned(),
            offset: content.offset(),
        };
        let mut magic = [0; 4];
        let read = content.read(&mut magic)?;
        // Checked before the length, so that a short file of another format is reported as such.
        if !magic[..read.min(2)].iter().all(|&byte| byte == 0) {
            return Err(DataError::NotIdx {
                path: path.to_owned(),
                found: hexadecimal(&magic[..read]),
            });
        }
        if read < magic.len() {
            return Err(truncated(content));
        }
        let [_, _, element_type, dimension_count] = magic;
        if element_type != UNSIGNED_BYTE {
            return Err(DataError::ElementType { path: path.to_owned(), code: element_type });
        }
        if usize::from(dimension_count) != N {
            return Err(DataError::DimensionCount {
                path: path.to_owned(),
                found: dimension_count,
                expected: N,
            });
        }
        let mut dimensions = [0; N];
        for dimension in &mut dimensions {
            let mut bytes = [0; 4];
            if content.read(&mut bytes)? < bytes.len() {
                return Err(truncated(content));
            }
            *dimension = u32::from_be_bytes(bytes);
        }
        Self::new(path, dimensions)
    }

    fn new(path: &Path, dimensions: [u32; N]) -> Result<Self, DataError> {
        if let Some(zero) = dimensions.iter().position(|&dimension| dimension == 0) {
            return Err(DataError::EmptyDimension {
                path: path.to_owned(),
                offset: 4 + 4 * zero as u64,
                dimensions: describe(dimensions),
            });
        }
        let values = dimensions.iter().try_fold(1_u64, |product, &dimension| {
            product.checked_mul(u64::from(dimension)).filter(|&values| values <= MAX_VALUES)
        });
        match values.and_then(|values| usize::try_from(values).ok()) {
            Some(values) => Ok(Self { dimensions, values }),
            None => Err(DataError::HeaderTooLarge {
                path: path.to_owned(),
                dimensions: describe(dimensions),
                max_values: MAX_VALUES,
            }),
        }
    }
}

/// Formats dimensions for messages: `60000 × 28 × 28`.
fn describe<const N: usize>(dimensions: [u32; N]) -> String {
    dimensions.map(|dimension| dimension.to_string()).join(" × ")
}

fn read_values<const N: usize>(
    path: &Path,
    content: &mut Content,
    header: &IdxHeader<N>,
) -> Result<Vec<u8>, DataError> {
    let end = content.offset() + header.values as u64;
    let mut values = Vec::new();
    while values.len() < header.values {
        let start = values.len();
        let wanted = CHUNK.min(header.values - start);
        if values.capacity() < start + wanted {
            // Doubles the capacity as `Vec` does, but not beyond the size in the header, so that the
            // complete buffer has no unused memory.
            let additional = start.max(wanted).min(header.values - start);
            values
                .try_reserve_exact(additional)
                .map_err(|_| DataError::OutOfMemory { path: path.to_owned(), bytes: end })?;
        }
        values.resize(start + wanted, 0);
        if content.read(&mut values[start..])? < wanted {
            return Err(DataError::Truncated {
                path: path.to_owned(),
                offset: content.offset(),
                dimensions: describe(header.dimensions),
                expected: end,
            });
        }
    }
    // Reading to the end also makes the decompressor verify the checksum of the gzip container.
    if content.read(&mut [0])? > 0 {
        return Err(DataError::TrailingBytes {
            path: path.to_owned(),
            offset: end,
            dimensions: describe(header.dimensions),
        });
    }
    Ok(values)
}
