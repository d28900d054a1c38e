//! Takes the color out of images.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::color::needs_color;
use super::range::probability;
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_grayscale" }`: makes some images gray, as torchvision's `RandomGrayscale`. They keep three channels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomGrayscale {
    /// The share of the images that are changed. Default: 0.1.
    pub probability: f64,
}

impl RandomGrayscale {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { probability: probability(table, 0.1)? })
    }
}

impl Transform for RandomGrayscale {
    fn check(&self, shape: ImageShape) -> Result<(), String> {
        needs_color(shape)
    }

    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        if draws.chance(self.probability) {
            image.remove_color();
        }
    }
}
