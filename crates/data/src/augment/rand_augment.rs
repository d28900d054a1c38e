//! Some operations of a fixed list, of one strength.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::canvas::{Affine, Fill};
use super::color::luma;
use super::random_contrast::{blend, mean};
use super::{Canvas, Draws, Transform};
use crate::ImageShape;

/// `{ type = "rand_augment" }`: applies operations that are drawn from a fixed list (Cubuk et al. 2020), with torchvision's
/// list and strengths. Differences to torchvision: geometric operations interpolate bilinearly, and images are not rounded
/// between operations, except for `posterize` and `equalize`. On gray images, `color` changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandAugment {
    /// How many operations are applied to each image. Default: 2.
    pub num_ops: usize,
    /// Their strength, from 0 to 30. Default: 9.
    pub magnitude: usize,
}

const MAX_OPERATIONS: usize = 14;
const MAX_MAGNITUDE: usize = 30;

impl RandAugment {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            num_ops: table.checked("num_ops", 2, "a number of operations, from 1 to 14", |n| {
                (1..=MAX_OPERATIONS).contains(n)
            })?,
            magnitude: table
                .checked("magnitude", 9, "a whole number from 0 to 30", |m| *m <= MAX_MAGNITUDE)?,
        })
    }
}

impl Transform for RandAugment {
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws) {
        for _ in 0..self.num_ops {
            let operation = Operation::ALL[draws.below(Operation::ALL.len())];
            operation.apply(image, self.magnitude, draws.chance(0.5));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    Autocontrast,
    Equalize,
}

impl Operation {
    const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::Autocontrast,
        Self::Equalize,
    ];

    /// Applies the operation. `negative` reverses its direction, if it has one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "pixels are f32, and strengths are small"
    )]
    pub(super) fn apply(self, image: &mut Canvas<'_>, magnitude: usize, negative: bool) {
        let share = magnitude as f64 / MAX_MAGNITUDE as f64;
        let signed = |most: f64| if negative { -most * share } else { most * share };
        let factor = (1.0 + signed(0.9)) as f32;
        let ImageShape { height, width, .. } = image.shape;
        match self {
            Self::Identity => {}
            Self::ShearX => image.shear(signed(0.3), 0.0),
            Self::ShearY => image.shear(0.0, signed(0.3)),
            Self::TranslateX => {
                image.shift(0, signed(150.0 / 331.0 * width as f64) as isize, Fill::BLACK);
            }
            Self::TranslateY => {
                image.shift(signed(150.0 / 331.0 * height as f64) as isize, 0, Fill::BLACK);
            }
            Self::Rotate => image.rotate(signed(30.0).to_radians(), Fill::BLACK),
            Self::Brightness => blend(image.pixels, 0.0, factor),
            Self::Color if image.shape.channels == 3 => image.saturate(factor),
            Self::Color => {}
            Self::Contrast => {
                let mean = image.mean_luma() as f32;
                blend(image.pixels, mean, factor);
            }
            Self::Sharpness => image.sharpen(factor),
            Self::Posterize => {
                let bits = 8 - (magnitude as f64 / (MAX_MAGNITUDE as f64 / 4.0)).round() as u32;
                image.posterize(bits);
            }
            Self::Solarize => {
                let threshold = 255.0 * (1.0 - share as f32);
                for pixel in image.pixels.iter_mut().filter(|pixel| **pixel >= threshold) {
                    *pixel = 255.0 - *pixel;
                }
            }
            Self::Autocontrast => image.planes_mut().for_each(autocontrast),
            Self::Equalize => image.planes_mut().for_each(equalize),
        }
    }
}

/// Stretches the values to the range from 0 to 255.
pub(super) fn autocontrast(plane: &mut [f32]) {
    let least = plane.iter().copied().fold(f32::INFINITY, f32::min);
    let most = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most > least {
        let scale = 255.0 / (most - least);
        plane.iter_mut().for_each(|pixel| *pixel = (*pixel - least) * scale);
    }
}

/// Makes all values about equally frequent.
#[expect(clippy::cast_precision_loss, reason = "values are at most 255")]
pub(super) fn equalize(plane: &mut [f32]) {
    let mut histogram = [0_usize; 256];
    plane.iter().for_each(|pixel| histogram[usize::from(byte(*pixel))] += 1);
    let last = histogram.iter().rposition(|count| *count > 0).unwrap_or(0);
    let step = (plane.len() - histogram[last]) / 255;
    if step == 0 {
        return;
    }
    let mut sum = step / 2;
    let table = histogram.map(|count| {
        let value = (sum / step).min(255) as f32;
        sum += count;
        value
    });
    plane.iter_mut().for_each(|pixel| *pixel = table[usize::from(byte(*pixel))]);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates at 0 and 255"
)]
fn byte(pixel: f32) -> u8 {
    pixel.round() as u8
}

impl Canvas<'_> {
    /// Moves the rows or columns in proportion to their distance from the top left corner.
    pub(super) fn shear(&mut self, x: f64, y: f64) {
        // The corner is half a pixel from the center of the first pixel.
        let map = Affine { x: [1.0, x, 0.5 * x], y: [y, 1.0, 0.5 * y] };
        self.warp(map, Fill::BLACK);
    }

    pub(super) fn mean_luma(&self) -> f64 {
        let plane = self.shape.height * self.shape.width;
        match self.shape.channels {
            3 => {
                let [red, green, blue] =
                    [0, 1, 2].map(|channel| mean(&self.pixels[channel * plane..][..plane]) as f32);
                f64::from(luma([red, green, blue]))
            }
            _ => mean(self.pixels),
        }
    }

    /// Moves each pixel away from a smoothed image, or toward it. The pixels at the edges stay.
    pub(super) fn sharpen(&mut self, factor: f32) {
        let width = self.shape.width;
        if self.shape.height < 3 || width < 3 {
            return;
        }
        self.redraw(|before, after| {
            for (y, rows) in before.windows(3 * width).step_by(width).enumerate() {
                for x in 1..width - 1 {
                    let sum = |row: usize| rows[row * width + x - 1..][..3].iter().sum::<f32>();
                    let center = rows[width + x];
                    // A weight of 5 for the center and of 1 for its neighbors.
                    let smooth = (sum(0) + sum(1) + sum(2) + 4.0 * center) / 13.0;
                    let value = smooth + factor * (center - smooth);
                    after[(y + 1) * width + x] = value.clamp(0.0, 255.0);
                }
            }
        });
    }

    /// Keeps the highest bits of each value.
    pub(super) fn posterize(&mut self, bits: u32) {
        let mask = !(0xff_u8.checked_shr(bits).unwrap_or(0));
        self.pixels.iter_mut().for_each(|pixel| *pixel = f32::from(byte(*pixel) & mask));
    }
}
