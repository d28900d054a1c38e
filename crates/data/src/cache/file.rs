//! The file of a decoded dataset.
//!
//! All numbers are little-endian. The file is never changed after it has its final name.
//!
//! | offset | content |
//! |---|---|
//! | 0 | `KILNDATA`, format version (u32), 0 (u32), offset and length of the table (u64 each), XXH3 of the table (u128) |
//! | 4096 | the pixels: `[n, channels, height, width]` |
//! | after the pixels | the table: the length of a JSON text (u64), the text ([`Head`]); for each row the label (u16); the XXH3 of its pixels (u64); if there are infos, [`ImageInfo`] (41 bytes); if there are names, length (u32) and bytes |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::parallel::in_parallel;
use crate::{ImageInfo, ImageShape, Parts, PictureMode, Pixels, SkippedFile};

/// The version that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"KILNDATA";

/// The offset of the pixels: the size of a page on most processors.
pub(super) const PIXELS_OFFSET: u64 = 4096;

const HEADER_BYTES: usize = 48;
const INFO_BYTES: usize = 41;

/// A decoded dataset without its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) shape: ImageShape,
    pub(crate) class_names: Vec<String>,
    pub(crate) labels: Vec<u16>,
    pub(crate) parts: Parts,
    pub(crate) file_names: Option<Vec<String>>,
    pub(crate) info: Option<Vec<ImageInfo>>,
    pub(crate) skipped: Vec<SkippedFile>,
    pub(crate) notes: Vec<String>,
    pub(crate) fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    shape: ImageShape,
    rows: usize,
    class_names: Vec<String>,
    parts: Parts,
    has_names: bool,
    has_info: bool,
    skipped: Vec<SkippedFile>,
    notes: Vec<String>,
    fingerprint: String,
}

/// The checksum of the pixels of a row.
pub(super) fn row_sum(pixels: &[u8]) -> u64 {
    xxh3_64(pixels)
}

/// Appends the table and writes the header of a file whose pixels are written. `sums` are the checksums of the rows.
pub(super) fn finish(file: &File, table: &Table, sums: &[u64]) -> io::Result<()> {
    let head = Head {
        shape: table.shape,
        rows: table.labels.len(),
        class_names: table.class_names.clone(),
        parts: table.parts.clone(),
        has_names: table.file_names.is_some(),
        has_info: table.info.is_some(),
        skipped: table.skipped.clone(),
        notes: table.notes.clone(),
        fingerprint: table.fingerprint.clone(),
    };
    let head = serde_json::to_vec(&head)?;
    let mut bytes = Vec::new();
    bytes.extend((head.len() as u64).to_le_bytes());
    bytes.extend(head);
    bytes.extend(table.labels.iter().flat_map(|label| label.to_le_bytes()));
    bytes.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
    for info in table.info.iter().flatten() {
        bytes.extend(info.width.to_le_bytes());
        bytes.extend(info.height.to_le_bytes());
        bytes.push(info.mode.number());
        bytes.extend(info.bytes.to_le_bytes());
        bytes.extend(info.pixel_hash.to_le_bytes());
        bytes.extend(info.difference_hash.to_le_bytes());
    }
    for name in table.file_names.iter().flatten() {
        let length = u32::try_from(name.len()).map_err(io::Error::other)?;
        bytes.extend(length.to_le_bytes());
        bytes.extend(name.as_bytes());
    }
    let pixels = (table.labels.len() * table.shape.values()) as u64;
    let offset = PIXELS_OFFSET + pixels;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(0_u32.to_le_bytes());
    header.extend(offset.to_le_bytes());
    header.extend((bytes.len() as u64).to_le_bytes());
    header.extend(xxh3_128(&bytes).to_le_bytes());
    file.set_len(offset)?;
    write_at(file, &bytes, offset)?;
    write_at(file, &header, 0)
}

/// An open file of a decoded dataset.
pub(super) struct CacheFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) table: Table,
    sums: Vec<u64>,
    map: Arc<Mmap>,
}

impl CacheFile {
    /// Opens a file and maps it into memory; `None` if it is missing, damaged or of another version. The pixels are not
    /// checked.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        #[expect(unsafe_code, reason = "the only way to map a file into memory")]
        // SAFETY: Kiln writes a cache file under a temporary name and never changes it after it has its final one; it
        // replaces or removes the name, which leaves the content of the mapping as it is.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let (table, sums) = parse(&map)?;
        Some(Self { path: path.to_owned(), file, table, sums, map: Arc::new(map) })
    }

    /// Whether all pixels are as they were written. Reads all of them.
    pub(super) fn is_intact(&self) -> bool {
        let values = self.table.shape.values();
        let pixels = &self.map[PIXELS_OFFSET as usize..];
        let is_intact = |row: usize| row_sum(&pixels[row * values..][..values]) == self.sums[row];
        in_parallel(self.sums.len(), 64, is_intact).into_iter().all(|intact| intact)
    }

    pub(super) fn pixels(&self) -> Pixels {
        let start = PIXELS_OFFSET as usize;
        let length = self.sums.len() * self.table.shape.values();
        Pixels::mapped(Arc::clone(&self.map), start..start + length)
    }
}

/// Reads the bytes of a file. Checks everything that later code relies on.
fn parse(bytes: &[u8]) -> Option<(Table, Vec<u64>)> {
    let mut header = Reader(bytes.get(..HEADER_BYTES)?);
    if header.take(MAGIC.len())? != MAGIC || header.u32()? != VERSION || header.u32()? != 0 {
        return None;
    }
    let (offset, length) = (header.u64()?, header.u64()?);
    let sum = u128::from_le_bytes(header.array()?);
    let end = offset.checked_add(length)?;
    if end != bytes.len() as u64 {
        return None;
    }
    let table = &bytes[usize::try_from(offset).ok()?..];
    if xxh3_128(table) != sum {
        return None;
    }

    let mut table = Reader(table);
    let head = usize::try_from(table.u64()?).ok()?;
    let head: Head = serde_json::from_slice(table.take(head)?).ok()?;
    let Head { shape, rows, parts, .. } = head;
    let values = shape.channels.checked_mul(shape.height)?.checked_mul(shape.width)?;
    let pixels = values.checked_mul(rows)? as u64;
    let is_complete = parts.training.start == 0
        && parts.training.end == parts.validation.start
        && parts.validation.end == parts.test.start
        && parts.training.start < parts.training.end
        && parts.validation.start <= parts.validation.end
        && parts.test.start <= parts.test.end
        && parts.test.end as usize == rows;
    if values == 0 || !is_complete || PIXELS_OFFSET.checked_add(pixels)? != offset {
        return None;
    }
    let labels = table.take(rows.checked_mul(2)?)?.chunks_exact(2);
    let labels: Vec<u16> = labels.map(|label| u16::from_le_bytes([label[0], label[1]])).collect();
    if labels.iter().any(|label| usize::from(*label) >= head.class_names.len()) {
        return None;
    }
    let mut sums = Reader(table.take(rows.checked_mul(8)?)?);
    let sums: Vec<u64> = (0..rows).map(|_| sums.u64()).collect::<Option<_>>()?;
    let info = if head.has_info {
        let mut info = Reader(table.take(rows.checked_mul(INFO_BYTES)?)?);
        Some((0..rows).map(|_| info.info()).collect::<Option<_>>()?)
    } else {
        None
    };
    let file_names = if head.has_names {
        Some((0..rows).map(|_| table.name()).collect::<Option<_>>()?)
    } else {
        None
    };
    let Head { class_names, skipped, notes, fingerprint, .. } = head;
    let table =
        Table { shape, class_names, labels, parts, file_names, info, skipped, notes, fingerprint };
    Some((table, sums))
}

/// The rest of some bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn info(&mut self) -> Option<ImageInfo> {
        Some(ImageInfo {
            width: self.u32()?,
            height: self.u32()?,
            mode: PictureMode::of_number(self.array::<1>()?[0])?,
            bytes: self.u64()?,
            pixel_hash: u128::from_le_bytes(self.array()?),
            difference_hash: self.u64()?,
        })
    }

    fn name(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

/// Writes all bytes at an offset, whatever the position of the file.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let (mut bytes, mut offset) = (bytes, offset);
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
            bytes = &bytes[written..];
            offset += written as u64;
        }
        Ok(())
    }
}

/// Reads all bytes at an offset, whatever the position of the file.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let (mut bytes, mut offset) = (bytes, offset);
        while !bytes.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = &mut bytes[read..];
            offset += read as u64;
        }
        Ok(())
    }
}
