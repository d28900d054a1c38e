//! Enlarges and reduces images.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::canvas::{Affine, Fill, FillMode};
use super::range::Span;
use super::{Canvas, Draws, Transform};

/// `{ type = "random_zoom", height_factor = 0.1 }`: zooms in and out around the center, as Keras' `RandomZoom`, with bilinear
/// interpolation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomZoom {
    /// The image shows 1 + factor times its height: −0.2 zooms in, 0.2 zooms out.
    pub height_factor: Span,
    /// The same for the width. Default: the factor that was drawn for the height, which keeps the aspect ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width_factor: Option<Span>,
    /// The pixels from outside of the image. Default: `reflect`.
    #[serde(flatten)]
    pub fill: Fill,
}

impl RandomZoom {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        // At −1, one row would fill the image.
        let limits = (-0.99, 10.0);
        Ok(Self {
            height_factor: Span::required(table, "height_factor", limits)?,
            width_factor: Span::optional(table, "width_factor", limits)?,
            fill: Fill::read(table, FillMode::Reflect)?,
        })
    }
}

impl Transform for RandomZoom {
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        let height = 1.0 + draws.uniform(self.height_factor.bounds());
        let width = self.width_factor.map_or(height, |factor| 1.0 + draws.uniform(factor.bounds()));
        let map = Affine::around_center([[width, 0.0], [0.0, height]], image.shape);
        image.warp(map, self.fill);
    }
}
