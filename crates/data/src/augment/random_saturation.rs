//! Makes colors stronger and weaker.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::color::needs_color;
use super::range::Spread;
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_saturation", factor = 0.2 }`: multiplies the distance of the colors from gray, as torchvision's
/// `ColorJitter`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomSaturation {
    /// How far the multiplier is from 1. At 0, colors become gray.
    pub factor: Spread,
}

impl RandomSaturation {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { factor: table.required("factor")? })
    }
}

impl Transform for RandomSaturation {
    fn check(&self, shape: ImageShape) -> Result<(), String> {
        needs_color(shape)
    }

    #[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        image.saturate(draws.uniform(self.factor.bounds()) as f32);
    }
}
