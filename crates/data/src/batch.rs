//! Makes batches: rows of bytes become rows of `f32`.

use crate::{ImageShape, LabeledImages, Normalizer};

/// Normalized images and their labels. The buffers are reused for the next batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The shape of every image.
    pub shape: ImageShape,
    /// `[n, channels, height, width]`, row-major.
    pub pixels: Vec<f32>,
    /// `[n]`: the class index of each image.
    pub labels: Vec<u16>,
    /// `[n]`: what was mixed into each image; empty if nothing was mixed into any.
    pub mix: Vec<Mix>,
}

/// A second label of an image, after another image was mixed into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// The class index of the other image.
    pub label: u16,
    /// The share of the second label, from 0 to 1; the first label has the rest.
    pub weight: f32,
}

impl Batch {
    /// An empty batch for [`gather`] to fill.
    #[must_use]
    pub const fn new(shape: ImageShape) -> Self {
        Self { shape, pixels: Vec::new(), labels: Vec::new(), mix: Vec::new() }
    }

    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the batch has no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Replaces the content of `batch` by these rows, in this order.
///
/// # Panics
///
/// A row does not exist, or [`Normalizer::check_size`] fails for the images.
pub fn gather(images: &LabeledImages, rows: &[u32], normalizer: &Normalizer, batch: &mut Batch) {
    fill(images, rows, batch, |image, pixels| normalizer.normalize(image, pixels));
}

/// Like [`gather`], for the horizontal mirror images of these rows. They are mirrored before they are normalized, as in
/// augmentation.
///
/// # Panics
///
/// Those of [`gather`].
pub fn gather_mirrored(
    images: &LabeledImages,
    rows: &[u32],
    normalizer: &Normalizer,
    batch: &mut Batch,
) {
    let width = images.shape.width;
    fill(images, rows, batch, |image, pixels| {
        normalizer.normalize(&mirrored(image, width), pixels);
    });
}

/// The horizontal mirror image of an image, which is `[channels, height, width]`.
#[must_use]
pub fn mirrored(image: &[u8], width: usize) -> Vec<u8> {
    // At least 1, because `chunks` panics for 0.
    image.chunks(width.max(1)).flat_map(|row| row.iter().rev()).copied().collect()
}

/// Replaces the content of `batch` by these rows. `normalize` writes the pixels of an image.
fn fill(
    images: &LabeledImages,
    rows: &[u32],
    batch: &mut Batch,
    normalize: impl Fn(&[u8], &mut [f32]),
) {
    let values = images.shape.values();
    batch.shape = images.shape;
    batch.mix.clear();
    batch.labels.clear();
    batch.labels.extend(rows.iter().map(|&row| images.labels[row as usize]));
    // Every value is overwritten below, so the buffer is not cleared; only growth is zeroed.
    batch.pixels.resize(rows.len() * values, 0.0);
    prefetch(images, rows);
    for (&row, pixels) in rows.iter().zip(batch.pixels.chunks_exact_mut(values)) {
        normalize(images.image(row as usize), pixels);
    }
}

/// Loads these rows into the processor's cache by reading one byte of each cache line.
///
/// Shuffled rows are far apart in memory. Independent reads in a tight loop overlap, so the processor
/// waits for memory about once and not once per row.
pub(crate) fn prefetch(images: &LabeledImages, rows: &[u32]) {
    const CACHE_LINE: usize = 64;
    let lines = rows.iter().flat_map(|&row| images.image(row as usize).iter().step_by(CACHE_LINE));
    std::hint::black_box(lines.fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}
