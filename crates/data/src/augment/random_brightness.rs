//! Makes images lighter and darker.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::range::Span;
use super::{Canvas, Draws, Transform};

/// `{ type = "random_brightness", factor = 0.2 }`: adds the same number to all pixels, as Keras' `RandomBrightness`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomBrightness {
    /// The number, as a fraction of 255.
    pub factor: Span,
}

impl RandomBrightness {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { factor: Span::required(table, "factor", (-1.0, 1.0))? })
    }
}

impl Transform for RandomBrightness {
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        add(image, draws.uniform(self.factor.bounds()));
    }
}

/// Adds a fraction of 255.
#[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
pub(super) fn add(image: &mut Canvas<'_>, factor: f64) {
    let added = (255.0 * factor) as f32;
    for pixel in image.pixels.iter_mut() {
        *pixel = (*pixel + added).clamp(0.0, 255.0);
    }
}
