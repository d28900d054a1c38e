//! Rows of bytes become a batch of numbers.

use crate::{ImageShape, LabelledImages, Normalizer};

/// Normalised images and their labels, in buffers that are used again for the next batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The shape of every image.
    pub shape: ImageShape,
    /// Row-major: image, channel, row, column.
    pub pixels: Vec<f32>,
    /// One label an image.
    pub labels: Vec<u8>,
}

impl Batch {
    /// An empty batch, to be filled by [`gather`].
    #[must_use]
    pub const fn new(shape: ImageShape) -> Self {
        Self { shape, pixels: Vec::new(), labels: Vec::new() }
    }

    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Fills `batch` with these rows, in this order, in place of what it held.
///
/// # Panics
///
/// A row is not among the images, or [`Normalizer::check_size`] fails on them.
pub fn gather(images: &LabelledImages, rows: &[u32], normalizer: &Normalizer, batch: &mut Batch) {
    let values = images.shape.values();
    batch.shape = images.shape;
    batch.labels.clear();
    batch.labels.extend(rows.iter().map(|&row| images.labels[row as usize]));
    // Not cleared first: what is there is written over, and only growth is filled with zeros.
    batch.pixels.resize(rows.len() * values, 0.0);
    touch(images, rows);
    for (&row, pixels) in rows.iter().zip(batch.pixels.chunks_exact_mut(values)) {
        normalizer.normalize(images.image(row as usize), pixels);
    }
}

/// Reads a byte of each cache line of these rows. In a shuffled order each row is far from the one
/// before; read so, the processor waits for memory once and not for every row.
fn touch(images: &LabelledImages, rows: &[u32]) {
    const CACHE_LINE: usize = 64;
    let lines = rows.iter().flat_map(|&row| images.image(row as usize).iter().step_by(CACHE_LINE));
    std::hint::black_box(lines.fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}
