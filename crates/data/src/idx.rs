//! The IDX format: a magic number, the dimensions, then the values.
//!
//! ```text
//! byte 0   00 00        always
//!      2   08           element type: unsigned byte, the only one read here
//!      3   N            number of dimensions
//!      4   N × u32      the dimensions, big-endian
//!  4+4N    values       row-major, up to the end of the file
//! ```
//!
//! Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", which defines the format.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::content::{Content, hexadecimal};

/// The most values read from one file. Datasets of this kind hold tens of millions; a header that
/// claims more than this is damaged, or made to fill the memory.
const CEILING: u64 = 2 << 30;

/// How much is read, decompressed and summed at a time: small enough to stay in the cache.
const CHUNK: usize = 256 * 1024;

const UNSIGNED_BYTE: u8 = 0x08;

/// An IDX file of unsigned bytes with `N` dimensions, none of them zero.
#[derive(Debug)]
pub(crate) struct Idx<const N: usize> {
    pub(crate) path: PathBuf,
    pub(crate) dimensions: [usize; N],
    /// Row-major, as many as the product of the dimensions.
    pub(crate) values: Vec<u8>,
    /// The SHA-256 of the whole content, header included.
    pub(crate) sha256: [u8; 32],
}

impl<const N: usize> Idx<N> {
    /// The length of the header in bytes: where the values begin.
    pub(crate) const HEADER: usize = 4 + 4 * N;

    /// Reads a file, gzip or plain, and holds its header against its content.
    ///
    /// Whatever the header claims, memory grows with what has arrived; whatever follows, at most one
    /// byte more than claimed is decompressed.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let mut content = Content::open(path)?;
        let dimensions = read_dimensions::<N>(path, &mut content)?;
        let claim = Claim::check(path, dimensions)?;
        let values = read_values(path, &mut content, &claim)?;
        Ok(Self {
            path: path.to_owned(),
            dimensions: dimensions.map(|dimension| dimension as usize),
            values,
            sha256: content.into_sum(),
        })
    }
}

/// What a header promises.
struct Claim {
    dimensions: String,
    values: usize,
}

impl Claim {
    fn check<const N: usize>(path: &Path, dimensions: [u32; N]) -> Result<Self, DataError> {
        let text = dimensions.map(|dimension| dimension.to_string()).join(" × ");
        if let Some(zero) = dimensions.iter().position(|&dimension| dimension == 0) {
            return Err(DataError::EmptyDimension {
                path: path.to_owned(),
                offset: 4 + 4 * zero as u64,
                claim: text,
            });
        }
        let values = dimensions.iter().try_fold(1_u64, |product, &dimension| {
            product.checked_mul(u64::from(dimension)).filter(|&values| values <= CEILING)
        });
        match values.and_then(|values| usize::try_from(values).ok()) {
            Some(values) => Ok(Self { dimensions: text, values }),
            None => Err(DataError::ClaimTooLarge {
                path: path.to_owned(),
                claim: text,
                ceiling: CEILING,
            }),
        }
    }
}

fn read_dimensions<const N: usize>(
    path: &Path,
    content: &mut Content,
) -> Result<[u32; N], DataError> {
    let mut magic = [0; 4];
    let read = content.read(&mut magic)?;
    if !magic[..read.min(2)].iter().all(|&byte| byte == 0) {
        return Err(DataError::NotIdx {
            path: path.to_owned(),
            found: hexadecimal(&magic[..read]),
        });
    }
    let cut_off = |content: &Content| DataError::TruncatedHeader {
        path: path.to_owned(),
        offset: content.offset(),
    };
    if read < magic.len() {
        return Err(cut_off(content));
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
            return Err(cut_off(content));
        }
        *dimension = u32::from_be_bytes(bytes);
    }
    Ok(dimensions)
}

fn read_values(path: &Path, content: &mut Content, claim: &Claim) -> Result<Vec<u8>, DataError> {
    let end = content.offset() + claim.values as u64;
    let mut values = Vec::new();
    while values.len() < claim.values {
        let start = values.len();
        let wanted = CHUNK.min(claim.values - start);
        if values.capacity() < start + wanted {
            // Doubles, as `Vec` does by itself, but stops at the claim, so that nothing is left over.
            let additional = start.max(wanted).min(claim.values - start);
            values
                .try_reserve_exact(additional)
                .map_err(|_| DataError::OutOfMemory { path: path.to_owned(), bytes: end })?;
        }
        values.resize(start + wanted, 0);
        if content.read(&mut values[start..])? < wanted {
            return Err(DataError::Truncated {
                path: path.to_owned(),
                offset: content.offset(),
                claim: claim.dimensions.clone(),
                expected: end,
            });
        }
    }
    // Looking for one byte more also makes the decompressor compare its checksums.
    if content.read(&mut [0])? > 0 {
        return Err(DataError::TrailingBytes {
            path: path.to_owned(),
            offset: end,
            claim: claim.dimensions.clone(),
        });
    }
    Ok(values)
}
