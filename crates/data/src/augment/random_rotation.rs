//! Turns images.

use std::f64::consts::TAU;

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::canvas::{Affine, Fill, FillMode};
use super::range::Span;
use super::{Canvas, Draws, Transform};

/// `{ type = "random_rotation", factor = 0.05 }`: turns images around their center, as Keras' `RandomRotation`, with bilinear
/// interpolation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomRotation {
    /// The angles, as fractions of a full turn; counterclockwise if positive.
    pub factor: Span,
    /// The pixels from outside of the image. Default: `reflect`.
    #[serde(flatten)]
    pub fill: Fill,
}

impl RandomRotation {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            factor: Span::required(table, "factor", (-1.0, 1.0))?,
            fill: Fill::read(table, FillMode::Reflect)?,
        })
    }
}

impl Transform for RandomRotation {
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        image.rotate(TAU * draws.uniform(self.factor.bounds()), self.fill);
    }
}

impl Canvas<'_> {
    /// Turns the image around its center, counterclockwise by an angle in radians.
    pub(super) fn rotate(&mut self, angle: f64, fill: Fill) {
        let (sin, cos) = libm::sincos(angle);
        // From the output to the input: clockwise on a screen, where y points down.
        self.warp(Affine::around_center([[cos, -sin], [sin, cos]], self.shape), fill);
    }
}
