//! Changes the contrast of images.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::range::Spread;
use super::{Canvas, Draws, Transform};

/// `{ type = "random_contrast", factor = 0.2 }`: multiplies the distance of the pixels from the mean of their channel, as
/// Keras' `RandomContrast`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomContrast {
    /// How far the multiplier is from 1.
    pub factor: Spread,
}

impl RandomContrast {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { factor: table.required("factor")? })
    }
}

impl Transform for RandomContrast {
    #[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        change(image, draws.uniform(self.factor.bounds()) as f32);
    }
}

/// Multiplies the distance of the pixels from the mean of their channel.
#[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
pub(super) fn change(image: &mut Canvas<'_>, factor: f32) {
    for plane in image.planes_mut() {
        let mean = mean(plane) as f32;
        blend(plane, mean, factor);
    }
}

#[expect(clippy::cast_precision_loss, reason = "images are far smaller than 2^52 pixels")]
pub(super) fn mean(pixels: &[f32]) -> f64 {
    pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels.len() as f64
}

/// Moves each pixel to `other + factor · (pixel − other)`, within 0 and 255.
pub(super) fn blend(pixels: &mut [f32], other: f32, factor: f32) {
    for pixel in pixels {
        *pixel = (other + factor * (*pixel - other)).clamp(0.0, 255.0);
    }
}
