//! Moves images.

use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use serde::{Serialize, Serializer};

use super::canvas::{Fill, FillMode, Pixel};
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_translation", height = 2, width = 2 }`: moves images up or down and left or right, as Keras'
/// `RandomTranslation`, but by whole pixels, so that nothing is blurred. All distances up to the largest are equally likely.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomTranslation {
    /// The largest distance up or down.
    pub height: Distance,
    /// The largest distance to the left or right.
    pub width: Distance,
    /// The pixels at the edges. Default: `reflect`.
    #[serde(flatten)]
    pub fill: Fill,
}

/// A distance. In TOML, an integer is a number of pixels; a number below 1 is a fraction of the height or width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distance {
    /// In pixels.
    Pixels(usize),
    /// A fraction of the height or width of the image: 0 < fraction < 1.
    Fraction(f64),
}

impl Distance {
    /// In pixels, of `count` pixels.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "the fraction is between 0 and 1"
    )]
    fn pixels(self, count: usize) -> usize {
        match self {
            Self::Pixels(pixels) => pixels,
            Self::Fraction(fraction) => (fraction * count as f64).round() as usize,
        }
    }

    /// A distance in one of the two directions.
    #[expect(clippy::cast_possible_wrap, reason = "images are far smaller than 2^63 pixels")]
    fn draw(self, count: usize, draws: &mut Draws) -> isize {
        let most = self.pixels(count);
        draws.below(2 * most + 1) as isize - most as isize
    }
}

impl FromValue for Distance {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(_) => usize::from_value(value).map(Self::Pixels),
            Kind::Float(0.0) => Ok(Self::Pixels(0)),
            Kind::Float(fraction) if fraction > 0.0 && fraction < 1.0 => {
                Ok(Self::Fraction(fraction))
            }
            _ => Err(value.expected("a number of pixels, or a fraction from 0.0 to below 1.0")),
        }
    }
}

impl Serialize for Distance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pixels(pixels) => pixels.serialize(serializer),
            Self::Fraction(fraction) => fraction.serialize(serializer),
        }
    }
}

impl RandomTranslation {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            height: table.required("height")?,
            width: table.required("width")?,
            fill: Fill::read(table, FillMode::Reflect)?,
        })
    }

    fn shift<T: Pixel>(&self, image: &mut Canvas<'_, T>, draws: &mut Draws) {
        let ImageShape { height, width, .. } = image.shape;
        let (down, right) = (self.height.draw(height, draws), self.width.draw(width, draws));
        image.shift(down, right, self.fill);
    }
}

impl Transform for RandomTranslation {
    fn check(&self, shape: ImageShape) -> Result<(), String> {
        for (key, distance, size) in
            [("height", self.height, shape.height), ("width", self.width, shape.width)]
        {
            if distance.pixels(size) >= size {
                return Err(format!(
                    "{key} moves images of {shape} out of sight; give a distance below {size}"
                ));
            }
        }
        Ok(())
    }

    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        self.shift(image, draws);
    }

    fn only_moves_pixels(&self, _: ImageShape) -> bool {
        self.fill.is_whole()
    }

    fn apply_to_bytes(&self, image: &mut Canvas<'_, u8>, draws: &mut Draws) {
        self.shift(image, draws);
    }
}
