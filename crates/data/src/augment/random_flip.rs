//! Mirrors images.

use kiln_config::{ConfigError, Table, keywords};
use serde::Serialize;

use super::canvas::Pixel;
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_flip" }`: mirrors half of the images, as Keras' `RandomFlip`.
///
/// With `alternate`, chance decides only in the first epoch (Jordan 2024, arXiv 2404.00498, section 3.6). After it, an image that
/// is mirrored in one epoch is not in the next, so that two epochs in a row show both forms of every image; four epochs show all
/// four forms if both directions are mirrored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomFlip {
    /// Default: `horizontal_and_vertical`.
    pub mode: FlipMode,
    /// Default: `false`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alternate: bool,
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
        Ok(Self {
            mode: table.default("mode", FlipMode::HorizontalAndVertical)?,
            alternate: table.default("alternate", false)?,
        })
    }
}

impl RandomFlip {
    fn mirror<T: Pixel>(&self, image: &mut Canvas<'_, T>, draws: &mut Draws) {
        let (mut draws, epochs) =
            if self.alternate { draws.of_first_epoch() } else { (draws.clone(), 0) };
        if self.mode != FlipMode::Vertical && draws.chance(0.5) != is_odd(epochs) {
            image.mirror_horizontally();
        }
        // With both directions, this one changes in every second epoch.
        let changes = if self.mode == FlipMode::Vertical { epochs } else { epochs / 2 };
        if self.mode != FlipMode::Horizontal && draws.chance(0.5) != is_odd(changes) {
            image.mirror_vertically();
        }
    }
}

const fn is_odd(number: usize) -> bool {
    number % 2 == 1
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
