//! Decodes the images of a dataset with all processors, into a file or into memory.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::file::{PIXELS_OFFSET, read_at, row_sum, write_at};
use super::progress::LoadProgress;
use crate::ImageInfo;
use crate::parallel::chunks_in_parallel;

/// The images of a dataset, which are decoded one by one, in any order.
pub(crate) trait Images: Sync {
    /// The number of images.
    fn count(&self) -> usize;

    /// Decodes an image into `[channels, height, width]`, or returns why it cannot be decoded.
    fn decode(&self, row: usize, pixels: &mut [u8]) -> Result<Decoded, String>;
}

/// The results of decoding an image besides its pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoded {
    pub(crate) info: Option<ImageInfo>,
    /// The SHA-256 of the encoded picture.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// A decoded image, or why it could not be decoded.
pub(super) type Outcome = Result<DecodedRow, String>;

pub(super) struct DecodedRow {
    pub(super) decoded: Decoded,
    /// The checksum of the pixels.
    pub(super) sum: u64,
}

/// Where the pixels of images go.
pub(super) enum Target<'a> {
    File(&'a File),
    Memory(Mutex<Vec<u8>>),
}

impl Target<'_> {
    fn write(&self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => write_at(file, bytes, PIXELS_OFFSET + offset as u64),
            Self::Memory(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory[offset..][..bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Removes the rows of which `is_kept` is false. Rows have `values` bytes.
    pub(super) fn retain(&self, values: usize, is_kept: &[bool]) -> io::Result<()> {
        let kept = (0..is_kept.len()).filter(|row| is_kept[*row]);
        let mut row_bytes = vec![0; values];
        // A row only moves to the front, so that no row is overwritten before it has moved.
        for (to, from) in kept.enumerate().filter(|(to, from)| to != from) {
            match self {
                Self::File(file) => {
                    read_at(file, &mut row_bytes, PIXELS_OFFSET + (from * values) as u64)?;
                    self.write(to * values, &row_bytes)?;
                }
                Self::Memory(memory) => {
                    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                    memory.copy_within(from * values..(from + 1) * values, to * values);
                }
            }
        }
        Ok(())
    }
}

/// Decodes all images. Each has `values` bytes. The error is that of writing.
pub(super) fn decode_all(
    images: &dyn Images,
    values: usize,
    target: &Target<'_>,
    progress: &dyn LoadProgress,
) -> io::Result<Vec<Outcome>> {
    /// Rows of small images are written together.
    const CHUNK_BYTES: usize = 256 << 10;
    let chunk = (CHUNK_BYTES / values.max(1)).clamp(1, 64);
    let has_failed = AtomicBool::new(false);
    progress.start(images.count() as u64);
    let chunks = chunks_in_parallel(images.count(), chunk, |start, end| {
        if has_failed.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let mut pixels = vec![0; (end - start) * values];
        let rows = (start..end).zip(pixels.chunks_exact_mut(values));
        let outcomes = rows.map(|(row, pixels)| {
            let decoded = images.decode(row, pixels)?;
            Ok(DecodedRow { decoded, sum: row_sum(pixels) })
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        let written = target.write(start * values, &pixels);
        has_failed.fetch_or(written.is_err(), Ordering::Relaxed);
        progress.advance((end - start) as u64);
        written.map(|()| outcomes)
    });
    progress.finish();
    chunks
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .map(|chunks| chunks.into_iter().flatten().collect())
}
