//! Changes the hue of images.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::color::needs_color;
use super::range::Span;
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_hue", factor = 0.05 }`: turns all colors around the color circle, as torchvision's `ColorJitter`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomHue {
    /// The angles, as fractions of a full turn, from −0.5 to 0.5.
    pub factor: Span,
}

impl RandomHue {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { factor: Span::required(table, "factor", (-0.5, 0.5))? })
    }
}

impl Transform for RandomHue {
    fn check(&self, shape: ImageShape) -> Result<(), String> {
        needs_color(shape)
    }

    #[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        let turn = draws.uniform(self.factor.bounds()) as f32;
        image.map_colors(|color| turned(color, turn));
    }
}

/// The color with another hue in the HSV model.
pub(super) fn turned([red, green, blue]: [f32; 3], turn: f32) -> [f32; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let chroma = most - least;
    if chroma == 0.0 {
        return [red, green, blue];
    }
    // In sixths of a turn, from red.
    let hue = if most == red {
        (green - blue) / chroma
    } else if most == green {
        2.0 + (blue - red) / chroma
    } else {
        4.0 + (red - green) / chroma
    };
    let hue = hue + 6.0 * turn;
    // How far each of the primary colors is from the largest value.
    [5.0, 3.0, 1.0].map(|offset| {
        let place = (offset + hue).rem_euclid(6.0);
        most - chroma * place.min(4.0 - place).clamp(0.0, 1.0)
    })
}
