//! Cuts out a part of a fixed size.

use std::num::NonZeroUsize;

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::canvas::{Fill, FillMode, Region};
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_crop", padding = 4 }`: adds a border, and cuts out a part of `height` × `width` at a random place (the
/// recipe of He et al. 2016 for CIFAR, as torchvision's `RandomCrop`). A part that is smaller than the image is enlarged to its
/// size, because validation and test images have that size, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomCrop {
    /// Default: the height of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<NonZeroUsize>,
    /// Default: the width of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<NonZeroUsize>,
    /// The width of the border on each side. Default: 0.
    pub padding: usize,
    /// The pixels of the border. Default: black.
    #[serde(flatten)]
    pub fill: Fill,
}

/// A border that is wider than any image.
const MAX_PADDING: usize = 1 << 20;

impl RandomCrop {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            height: table.optional("height")?,
            width: table.optional("width")?,
            padding: table.checked("padding", 0, "a number of pixels", |p| *p <= MAX_PADDING)?,
            fill: Fill::read(table, FillMode::Constant)?,
        })
    }

    fn size(&self, shape: ImageShape) -> (usize, usize) {
        let height = self.height.map_or(shape.height, NonZeroUsize::get);
        (height, self.width.map_or(shape.width, NonZeroUsize::get))
    }

    #[expect(clippy::cast_possible_wrap, reason = "sizes were checked")]
    fn region(&self, shape: ImageShape, draws: &mut Draws) -> Region {
        let (height, width) = self.size(shape);
        let mut place = |size: usize, part: usize| {
            draws.below(size + 2 * self.padding - part + 1) as isize - self.padding as isize
        };
        let (top, left) = (place(shape.height, height), place(shape.width, width));
        Region { top, left, height, width }
    }
}

impl Transform for RandomCrop {
    fn check(&self, shape: ImageShape) -> Result<(), String> {
        let (height, width) = self.size(shape);
        if height > shape.height || width > shape.width {
            return Err(format!(
                "a crop of {height}×{width} is larger than the images of {}×{}; give at most the size of the images",
                shape.height, shape.width
            ));
        }
        if self.padding >= shape.height.min(shape.width) {
            return Err(format!(
                "with padding = {}, a crop of the images of {}×{} may show nothing but the border; give less",
                self.padding, shape.height, shape.width
            ));
        }
        if self.padding == 0 && (height, width) == (shape.height, shape.width) {
            return Err(format!(
                "a crop of {height}×{width} without padding changes nothing in images of this size; \
                 set padding, such as padding = 4, or a smaller height and width"
            ));
        }
        Ok(())
    }

    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        image.crop(self.region(image.shape, draws), self.fill);
    }

    fn only_moves_pixels(&self, shape: ImageShape) -> bool {
        self.size(shape) == (shape.height, shape.width) && self.fill.is_whole()
    }

    fn apply_to_bytes(&self, image: &mut Canvas<'_, u8>, draws: &mut Draws) {
        let Region { top, left, .. } = self.region(image.shape, draws);
        image.shift(-top, -left, self.fill);
    }
}
