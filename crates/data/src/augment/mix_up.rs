//! Blends two images.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::range::alpha;
use super::{Canvas, Draws, Mixing};

/// `{ type = "mix_up" }`: the weighted mean of two training images and of their labels (Zhang et al. 2018), as Keras' `MixUp`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MixUp {
    /// The weight is drawn from the beta distribution with both parameters at this value. Default: 0.2, which gives most
    /// images almost all of the weight.
    pub alpha: f64,
}

impl MixUp {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { alpha: alpha(table, 0.2)? })
    }
}

impl Mixing for MixUp {
    #[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
    fn mix(&self, image: &mut Canvas<'_>, other: &[f32], draws: &mut Draws) -> f32 {
        let weight = (1.0 - draws.beta(self.alpha)) as f32;
        for (pixel, other) in image.pixels.iter_mut().zip(other) {
            *pixel += (other - *pixel) * weight;
        }
        weight
    }
}
