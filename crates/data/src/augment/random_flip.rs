//! Mirrors images.

use kiln_config::{ConfigError, Table, keywords};
use serde::Serialize;

use super::canvas::Pixel;
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_flip" }`: mirrors half of the images, as Keras' `RandomFlip`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomFlip {
    /// Default: `horizontal_and_vertical`.
    pub mode: FlipMode,
}

keywords! {
    /// The directions in which an image is mirrored.
    pub enum FlipMode as "flip mode" {
        /// Left and right are exchanged, with probability 1/2.
        Horizontal = "horizontal",
        /// Top and bottom are exchanged, with probability 1/2.
        Vertical = "vertical",
        /// Both, independently of each other.
        HorizontalAndVertical = "horizontal_and_vertical",
    }
}

impl RandomFlip {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { mode: table.default("mode", FlipMode::HorizontalAndVertical)? })
    }
}

impl RandomFlip {
    fn mirror<T: Pixel>(&self, image: &mut Canvas<'_, T>, draws: &mut Draws) {
        if self.mode != FlipMode::Vertical && draws.chance(0.5) {
            image.mirror_horizontally();
        }
        if self.mode != FlipMode::Horizontal && draws.chance(0.5) {
            image.mirror_vertically();
        }
    }
}

impl Transform for RandomFlip {
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        self.mirror(image, draws);
    }

    fn only_moves_pixels(&self, _: ImageShape) -> bool {
        true
    }

    fn apply_to_bytes(&self, image: &mut Canvas<'_, u8>, draws: &mut Draws) {
        self.mirror(image, draws);
    }
}

impl<T: Pixel> Canvas<'_, T> {
    fn mirror_horizontally(&mut self) {
        self.pixels.chunks_exact_mut(self.shape.width).for_each(<[T]>::reverse);
    }

    fn mirror_vertically(&mut self) {
        let width = self.shape.width;
        for plane in self.planes_mut() {
            let half = plane.len() / width / 2 * width;
            let (upper, lower) = plane.split_at_mut(half);
            for (top, bottom) in upper.chunks_exact_mut(width).zip(lower.rchunks_exact_mut(width)) {
                top.swap_with_slice(bottom);
            }
        }
    }
}
