//! Reads one array of NumPy (`.npy`): a header in the syntax of Python, then the values.
//!
//! ```text
//! byte 0   93 'NUMPY'     magic number
//!      6   major, minor   version: 1.0, 2.0 or 3.0
//!      8   u16 or u32     length of the header, little-endian; u32 from version 2.0
//!          header         {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }
//!          values
//! ```
//!
//! Source: NumPy, `numpy.lib.format`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::arrays::invalid;
use crate::DataError;

/// Bytes that are read at a time, or a single row if it is longer.
const CHUNK: usize = 256 * 1024;

/// The kinds of values that Kiln reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
    /// Texts of 32-bit code points.
    Unicode,
    /// Texts of bytes.
    Bytes,
}

/// The header of an array.
#[derive(Debug, Clone)]
pub(crate) struct Npy {
    pub(crate) path: PathBuf,
    place: String,
    pub(crate) kind: Kind,
    /// The bytes of one value.
    pub(crate) size: usize,
    is_big_endian: bool,
    is_fortran: bool,
    pub(crate) shape: Vec<usize>,
    /// The product of the shape.
    pub(crate) count: usize,
    header_bytes: u64,
}

impl Npy {
    /// The first bytes of a file.
    pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

    /// Reads the header.
    pub(crate) fn read(path: &Path, place: &str, reader: &mut dyn Read) -> Result<Self, DataError> {
        /// Longer than that of any array of numbers.
        const MAX_HEADER_BYTES: usize = 64 << 10;

        let error = |problem: &str| invalid(path, place, problem);
        let mut take = |count: usize| -> Result<Vec<u8>, DataError> {
            let mut bytes = Vec::new();
            let read = reader.take(count as u64).read_to_end(&mut bytes);
            read.map_err(|_| error("the data is damaged; save or download it again"))?;
            if bytes.len() < count {
                return Err(error("the header is cut off; save or download it again"));
            }
            Ok(bytes)
        };
        let start = take(8)?;
        if !start.starts_with(Self::MAGIC) {
            return Err(error("not a NumPy array; save it with np.save or np.savez"));
        }
        let length_bytes = match start[6] {
            1 => 2,
            2 | 3 => 4,
            _ => return Err(error("an unknown version of the NumPy format; save it with np.save")),
        };
        let length =
            take(length_bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length > MAX_HEADER_BYTES {
            return Err(error(
                "the header is longer than 64 KiB; the array is damaged or has fields",
            ));
        }
        let header = String::from_utf8(take(length)?)
            .map_err(|_| error("the header is not text; save the array again"))?;
        let header_bytes = (8 + length_bytes + length) as u64;
        Self::parse(&header, header_bytes, path, place)
            .map_err(|problem| invalid(path, place, problem))
    }

    fn parse(header: &str, header_bytes: u64, path: &Path, place: &str) -> Result<Self, String> {
        let damaged = || "the header is damaged; save the array again".to_owned();
        let after = |key: &str| {
            let (_, rest) = header.split_once(&format!("'{key}':")).ok_or_else(damaged)?;
            Ok::<&str, String>(rest.trim_start())
        };
        let quoted = after("descr")?.strip_prefix('\'');
        let Some((descr, _)) = quoted.and_then(|rest| rest.split_once('\'')) else {
            return Err(
                "the array has named fields; save images and labels as separate arrays of numbers"
                    .to_owned(),
            );
        };
        let is_fortran = match after("fortran_order")? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return Err(damaged()),
        };
        let shape = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (shape, _) = shape.ok_or_else(damaged)?;
        let shape = shape.split(',').map(str::trim).filter(|it| !it.is_empty());
        let shape: Vec<usize> =
            shape.map(|size| size.parse().ok()).collect::<Option<_>>().ok_or_else(damaged)?;

        let (order, rest) = match descr.chars().next() {
            Some(order @ ('<' | '>' | '|' | '=')) => (order, &descr[1..]),
            _ => ('|', descr),
        };
        let mut letters = rest.chars();
        let kind = letters.next();
        let size: Option<usize> = letters.as_str().parse().ok();
        let (kind, size) = match (kind, size) {
            (Some('O'), _) => {
                return Err("it has Python objects, which cannot be read safely; convert it to an array of numbers and save \
                            with allow_pickle=False".to_owned());
            }
            (Some('b'), Some(1)) => (Kind::Bool, 1),
            (Some('u'), Some(size @ (1 | 2 | 4 | 8))) => (Kind::Unsigned, size),
            (Some('i'), Some(size @ (1 | 2 | 4 | 8))) => (Kind::Signed, size),
            (Some('f'), Some(size @ (2 | 4 | 8))) => (Kind::Float, size),
            (Some('U'), Some(size @ 1..=4096)) => (Kind::Unicode, 4 * size),
            (Some('S'), Some(size @ 1..=4096)) => (Kind::Bytes, size),
            _ => {
                return Err(format!(
                    "values of the type `{descr}` are not supported; save them as uint8 or float32"
                ));
            }
        };
        let count = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        let bytes = count.and_then(|count| count.checked_mul(size)).filter(|it| *it < 1 << 62);
        let (Some(count), Some(_)) = (count, bytes) else {
            return Err(
                "the header declares more values than a file can have; the array is damaged"
                    .to_owned(),
            );
        };
        Ok(Self {
            path: path.to_owned(),
            place: place.to_owned(),
            kind,
            size,
            is_big_endian: order == '>',
            is_fortran,
            shape,
            count,
            header_bytes,
        })
    }

    /// Checks the length of the file against the header.
    pub(crate) fn check_length(&self, bytes: u64) -> Result<(), DataError> {
        let expected = self.header_bytes + (self.count * self.size) as u64;
        if bytes == expected {
            return Ok(());
        }
        let problem = if bytes < expected { "is cut off" } else { "has bytes after its end" };
        Err(self.error(format!(
            "the array {problem}: {bytes} bytes, but the shape {} needs {expected}; save or download it again",
            self.shape_text()
        )))
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> DataError {
        invalid(&self.path, self.place.clone(), problem)
    }

    pub(crate) fn place(&self) -> String {
        self.place.clone()
    }

    /// The shape as Python writes it: `(60000, 28, 28)`.
    pub(crate) fn shape_text(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        format!("({})", sizes.join(", "))
    }

    /// Whether the first axis varies fastest, and that makes a difference.
    pub(crate) fn is_column_major(&self) -> bool {
        self.is_fortran && self.shape.iter().filter(|size| **size > 1).count() > 1
    }

    /// Calls `work` with the bytes of the values, a multiple of `row` values at a time. Memory grows with the bytes read.
    pub(crate) fn read_chunks(
        &self,
        reader: &mut dyn Read,
        row: usize,
        mut work: impl FnMut(&[u8]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let row_bytes = row * self.size;
        let chunk = row_bytes * (CHUNK / row_bytes.max(1)).max(1);
        let mut left = self.count * self.size;
        let mut bytes = Vec::new();
        while left > 0 {
            let wanted = chunk.min(left);
            bytes.clear();
            let read = reader.take(wanted as u64).read_to_end(&mut bytes);
            read.map_err(|error| read_error(self, &error))?;
            if bytes.len() < wanted {
                return Err(self.error("the data is cut off; save or download it again"));
            }
            work(&bytes)?;
            left -= wanted;
        }
        // Reading to the end also verifies the checksum of an archive.
        match reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                Err(self.error("the array has bytes after its end; save or download it again"))
            }
            Err(error) => Err(read_error(self, &error)),
        }
    }

    /// Calls `work` with the values, a multiple of `row` at a time. Integers are exact up to 2⁵³.
    pub(crate) fn read_numbers(
        &self,
        reader: &mut dyn Read,
        row: usize,
        mut work: impl FnMut(&[f64]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut numbers = Vec::new();
        self.read_chunks(reader, row, |bytes| {
            numbers.clear();
            numbers.extend(bytes.chunks_exact(self.size).map(|bytes| self.number(bytes)));
            work(&numbers)
        })
    }

    fn number(&self, bytes: &[u8]) -> f64 {
        let mut value = [0; 8];
        value[..self.size].copy_from_slice(bytes);
        if self.is_big_endian {
            value[..self.size].reverse();
        }
        let bits = u64::from_le_bytes(value);
        let unused = 64 - 8 * self.size as u32;
        match (self.kind, self.size) {
            (Kind::Float, 2) => half(bits as u16),
            (Kind::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (Kind::Float, _) => f64::from_bits(bits),
            (Kind::Signed, _) => ((bits << unused) as i64 >> unused) as f64,
            _ => bits as f64,
        }
    }

    /// Calls `work` with each text.
    pub(crate) fn read_texts(
        &self,
        reader: &mut dyn Read,
        mut work: impl FnMut(String) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        if !matches!(self.kind, Kind::Unicode | Kind::Bytes) {
            return Err(self.error("its values must be texts"));
        }
        self.read_chunks(reader, 1, |bytes| {
            for bytes in bytes.chunks_exact(self.size) {
                let text =
                    self.text(bytes).ok_or_else(|| self.error("a text is not valid Unicode"))?;
                work(text)?;
            }
            Ok(())
        })
    }

    fn text(&self, bytes: &[u8]) -> Option<String> {
        let text = if self.kind == Kind::Bytes {
            String::from_utf8(bytes.to_vec()).ok()?
        } else {
            let code_points = bytes.as_chunks::<4>().0.iter().map(|bytes| {
                let order =
                    if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
                char::from_u32(order(*bytes))
            });
            code_points.collect::<Option<String>>()?
        };
        // Shorter texts are filled with zeros.
        Some(text.trim_end_matches('\0').to_owned())
    }

    /// The values of a column-major array in row-major order.
    pub(crate) fn row_major<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let mut strides = Vec::with_capacity(self.shape.len());
        let mut stride = 1;
        for size in &self.shape {
            strides.push(stride);
            stride *= size;
        }
        let mut ordered = Vec::with_capacity(values.len());
        let mut index = vec![0; self.shape.len()];
        let mut offset = 0;
        for _ in values {
            ordered.push(values[offset]);
            // Count up, the last axis first.
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                offset += strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                offset -= strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        ordered
    }
}

/// The value of a 16-bit float (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

/// Maps an error while reading an array.
fn read_error(npy: &Npy, error: &io::Error) -> DataError {
    npy.error(format!("the data is damaged or cut off ({error}); save or download it again"))
}
