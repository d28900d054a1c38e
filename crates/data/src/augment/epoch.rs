//! Makes batches of transformed images.

use rand_core::Rng;

use super::canvas::Canvas;
use super::draws::{Draws, FirstEpoch};
use super::{AugmentConfig, Computation, Transform};
use crate::batch::prefetch;
use crate::{Batch, LabeledImages, Mix, Normalizer};

/// The transforms of an epoch. What happens to an image depends on the generator, the image's row and the position of each
/// transform in the list, and on nothing else: not on the batch, nor on the order of the rows, nor on the thread.
#[derive(Debug, Clone)]
pub struct EpochAugmenter<'a> {
    config: &'a AugmentConfig,
    key: [u64; 2],
    first: FirstEpoch,
}

/// Buffers for one image at a time.
struct Buffers {
    /// The buffer that transforms read while they write.
    spare: Vec<f32>,
    /// The image that is mixed into another one.
    other: Vec<f32>,
    bytes: Vec<u8>,
    spare_bytes: Vec<u8>,
}

impl<'a> EpochAugmenter<'a> {
    /// The transforms of an epoch, numbered from 1. `generator` gives the random numbers of each epoch.
    #[must_use]
    pub fn new<R: Rng>(
        config: &'a AugmentConfig,
        epoch: usize,
        generator: impl Fn(usize) -> R,
    ) -> Self {
        let key = |epoch| {
            let mut rng = generator(epoch);
            [rng.next_u64(), rng.next_u64()]
        };
        let first = FirstEpoch { key: key(1), since: epoch.saturating_sub(1) };
        Self { config, key: key(epoch), first }
    }

    fn draws(&self, row: u32, position: usize) -> Draws {
        Draws::new(self.key, self.first, row, position)
    }

    /// An image after these transforms, the first of the list.
    fn draw_bytes<'b>(
        &self,
        moves: &[&dyn Transform],
        row: u32,
        images: &'b LabeledImages,
        buffers: &'b mut Buffers,
    ) -> &'b [u8] {
        let image = images.image(row as usize);
        if moves.is_empty() {
            return image;
        }
        buffers.bytes.copy_from_slice(image);
        let spare = &mut buffers.spare_bytes;
        let mut canvas = Canvas { shape: images.shape, pixels: &mut buffers.bytes, spare };
        for (position, transform) in moves.iter().enumerate() {
            transform.apply_to_bytes(&mut canvas, &mut self.draws(row, position));
        }
        &buffers.bytes
    }

    /// Writes an image to `pixels` as it is after the first `count` transforms. Returns the label that was mixed in.
    fn draw(
        &self,
        count: usize,
        row: u32,
        source: &Source<'_>,
        pixels: &mut [f32],
        buffers: &mut Buffers,
    ) -> Option<Mix> {
        let images = source.images;
        let moves = &source.moves[..source.moves.len().min(count)];
        let bytes = self.draw_bytes(moves, row, images, buffers);
        for (pixel, byte) in pixels.iter_mut().zip(bytes) {
            *pixel = f32::from(*byte);
        }
        let mut mixed = None;
        let transforms = self.config.transforms()[..count].iter().enumerate();
        for (position, transform) in transforms.skip(moves.len()) {
            let mut draws = self.draws(row, position);
            let mixing = match transform.computation() {
                Computation::Image(computation) => {
                    let spare = &mut buffers.spare;
                    let mut canvas = Canvas { shape: images.shape, pixels: &mut *pixels, spare };
                    computation.apply(&mut canvas, &mut draws);
                    continue;
                }
                Computation::Mixing(mixing) => mixing,
            };
            let other_row = source.candidates[draws.below(source.candidates.len())];
            let mut other = std::mem::take(&mut buffers.other);
            other.resize(pixels.len(), 0.0);
            // A list mixes at most once, so this call does not come here again.
            self.draw(position, other_row, source, &mut other, buffers);
            let spare = &mut buffers.spare;
            let mut canvas = Canvas { shape: images.shape, pixels: &mut *pixels, spare };
            let weight = mixing.mix(&mut canvas, &other, &mut draws);
            mixed = Some(Mix { label: images.labels[other_row as usize], weight });
            buffers.other = other;
        }
        mixed
    }
}

/// Where images come from.
struct Source<'a> {
    images: &'a LabeledImages,
    /// The rows of the images that may be mixed into others.
    candidates: &'a [u32],
    /// The first transforms, as far as they only move pixels.
    moves: Vec<&'a dyn Transform>,
}

/// Replaces the content of `batch` by these rows, in this order, as the augmenter transforms them. `candidates` are the rows
/// whose images may be mixed into these, always in the same order; usually all training rows.
///
/// # Panics
///
/// A row does not exist, `candidates` is empty and the list mixes images, or [`Normalizer::check_size`] or
/// [`AugmentConfig::check`] fails for the images.
pub fn gather_augmented(
    images: &LabeledImages,
    rows: &[u32],
    candidates: &[u32],
    augmenter: &EpochAugmenter<'_>,
    normalizer: &Normalizer,
    batch: &mut Batch,
) {
    if augmenter.config.is_empty() {
        return crate::gather(images, rows, normalizer, batch);
    }
    let values = images.shape.values();
    batch.shape = images.shape;
    batch.labels.clear();
    batch.labels.extend(rows.iter().map(|&row| images.labels[row as usize]));
    batch.mix.clear();
    // Every value is overwritten below.
    batch.pixels.resize(rows.len() * values, 0.0);
    prefetch(images, rows);
    let moves = augmenter.config.transforms().iter().map_while(|it| it.moving(images.shape));
    let source = Source { images, candidates, moves: moves.collect() };
    let mut buffers = Buffers {
        spare: vec![0.0; values],
        other: Vec::new(),
        bytes: vec![0; values],
        spare_bytes: vec![0; values],
    };
    let count = augmenter.config.transforms().len();
    for (&row, pixels) in rows.iter().zip(batch.pixels.chunks_exact_mut(values)) {
        if source.moves.len() == count {
            let bytes = augmenter.draw_bytes(&source.moves, row, images, &mut buffers);
            normalizer.normalize_transformed(bytes, pixels);
            continue;
        }
        let mixed = augmenter.draw(count, row, &source, pixels, &mut buffers);
        batch.mix.extend(mixed);
        normalizer.normalize_in_place(pixels);
    }
}
