//! The common part of the transforms of colors.

use super::Canvas;
use crate::ImageShape;

/// The error for images without color.
pub(super) fn needs_color(shape: ImageShape) -> Result<(), String> {
    match shape.channels {
        3 => Ok(()),
        _ => Err("the images are gray, so they have no color to change; remove this entry, \
                  or set data.channels to 3"
            .to_owned()),
    }
}

/// The weights of red, green and blue in the luma (Rec. 601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

pub(super) fn luma([red, green, blue]: [f32; 3]) -> f32 {
    LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
}

impl Canvas<'_> {
    /// Replaces each color by another one.
    pub(super) fn map_colors(&mut self, map: impl Fn([f32; 3]) -> [f32; 3]) {
        let plane = self.shape.height * self.shape.width;
        let (red, rest) = self.pixels.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            [*red, *green, *blue] = map([*red, *green, *blue]);
        }
    }

    pub(super) fn remove_color(&mut self) {
        self.map_colors(|color| [luma(color); 3]);
    }

    /// Moves each color away from the gray of the same luma, or toward it.
    pub(super) fn saturate(&mut self, factor: f32) {
        self.map_colors(|color| {
            let gray = luma(color);
            color.map(|value| (gray + factor * (value - gray)).clamp(0.0, 255.0))
        });
    }
}
