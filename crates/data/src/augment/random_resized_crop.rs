//! Cuts out a part of a random size.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::canvas::{Fill, Region};
use super::random_erasing::draw_size;
use super::range::positive_pair;
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_resized_crop" }`: cuts out a part of a random size and shape, and enlarges it to the size of the image
/// (Szegedy et al. 2015), as torchvision's `RandomResizedCrop`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomResizedCrop {
    /// The area of the part as a share of the image. Default: 0.08 to 1.
    pub scale: (f64, f64),
    /// Its width divided by its height. Default: 3/4 to 4/3.
    pub ratio: (f64, f64),
}

impl RandomResizedCrop {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            scale: positive_pair(table, "scale", (0.08, 1.0), 1.0)?,
            ratio: positive_pair(table, "ratio", (0.75, 4.0 / 3.0), 100.0)?,
        })
    }

    /// The largest central part whose ratio is allowed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "images are far smaller than 2^52 pixels"
    )]
    fn central(&self, ImageShape { height, width, .. }: ImageShape) -> (usize, usize) {
        let (low, high) = self.ratio;
        let ratio = width as f64 / height as f64;
        if ratio < low {
            (((width as f64 / low).round() as usize).clamp(1, height), width)
        } else if ratio > high {
            (height, ((height as f64 * high).round() as usize).clamp(1, width))
        } else {
            (height, width)
        }
    }
}

impl Transform for RandomResizedCrop {
    #[expect(clippy::cast_possible_wrap, reason = "images are far smaller than 2^63 pixels")]
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        let ImageShape { height, width, .. } = image.shape;
        // `draw_size` takes the ratio of height to width.
        let ratio = (1.0 / self.ratio.1, 1.0 / self.ratio.0);
        let fits = |rows, columns| rows <= height && columns <= width;
        let size = draw_size(image.shape, self.scale, ratio, draws, fits);
        let (rows, columns) = size.unwrap_or_else(|| self.central(image.shape));
        let (top, left) = match size {
            Some(_) => (draws.below(height - rows + 1), draws.below(width - columns + 1)),
            None => ((height - rows) / 2, (width - columns) / 2),
        };
        let (top, left) = (top as isize, left as isize);
        image.crop(Region { top, left, height: rows, width: columns }, Fill::BLACK);
    }
}
