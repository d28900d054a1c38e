//! Covers a part of images.

use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use serde::{Serialize, Serializer};

use super::range::{positive_pair, probability};
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "random_erasing" }`: covers a rectangle (Zhong et al. 2020), as torchvision's `RandomErasing`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomErasing {
    /// The share of the images that are changed. Default: 0.5.
    pub probability: f64,
    /// The area of the rectangle as a share of the image. Default: 0.02 to 0.33.
    pub scale: (f64, f64),
    /// Its height divided by its width. Default: 0.3 to 3.3.
    pub ratio: (f64, f64),
    /// Its pixels. Default: 0.
    pub value: ErasedValue,
}

/// In TOML, a pixel's value from 0 to 255, or `"random"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErasedValue {
    /// One value for all pixels.
    Constant(f64),
    /// Each value is drawn between 0 and 255.
    Random,
}

impl FromValue for ErasedValue {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let expected = || value.expected("a pixel's value, from 0 to 255, or \"random\"");
        match &value.kind {
            Kind::String(text) if text == "random" => Ok(Self::Random),
            Kind::String(_) => Err(expected()),
            _ => match f64::from_value(value)? {
                number if (0.0..=255.0).contains(&number) => Ok(Self::Constant(number)),
                _ => Err(expected()),
            },
        }
    }
}

impl Serialize for ErasedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(value) => value.serialize(serializer),
            Self::Random => serializer.serialize_str("random"),
        }
    }
}

impl RandomErasing {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            probability: probability(table, 0.5)?,
            scale: positive_pair(table, "scale", (0.02, 0.33), 1.0)?,
            ratio: positive_pair(table, "ratio", (0.3, 3.3), 100.0)?,
            value: table.default("value", ErasedValue::Constant(0.0))?,
        })
    }
}

impl Transform for RandomErasing {
    #[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        if !draws.chance(self.probability) {
            return;
        }
        let ImageShape { height, width, .. } = image.shape;
        let Some((rows, columns)) =
            draw_size(image.shape, self.scale, self.ratio, draws, |h, w| h < height && w < width)
        else {
            return;
        };
        let (top, left) = (draws.below(height - rows + 1), draws.below(width - columns + 1));
        for plane in image.planes_mut() {
            for row in plane.chunks_exact_mut(width).skip(top).take(rows) {
                let erased = &mut row[left..left + columns];
                match self.value {
                    ErasedValue::Constant(value) => erased.fill(value as f32),
                    ErasedValue::Random => {
                        erased.fill_with(|| draws.uniform((0.0, 255.0)) as f32);
                    }
                }
            }
        }
    }
}

/// The height and width of a rectangle with a random area, a share of the image within `scale`, and a random ratio of height
/// to width within `ratio`; `None` if none of ten was accepted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "areas are not negative, and images are far smaller than 2^52 pixels"
)]
pub(super) fn draw_size(
    shape: ImageShape,
    scale: (f64, f64),
    ratio: (f64, f64),
    draws: &mut Draws,
    accept: impl Fn(usize, usize) -> bool,
) -> Option<(usize, usize)> {
    let log_ratio = (libm::log(ratio.0), libm::log(ratio.1));
    (0..10).find_map(|_| {
        let area = (shape.height * shape.width) as f64 * draws.uniform(scale);
        let ratio = libm::exp(draws.uniform(log_ratio));
        let height = (area * ratio).sqrt().round() as usize;
        let width = (area / ratio).sqrt().round() as usize;
        (height > 0 && width > 0 && accept(height, width)).then_some((height, width))
    })
}
