//! `filters.png`: the filters of the first convolution.

use kiln_store::number::significant;

use crate::error::{ReportError, Result};
use crate::image_grid::{CaptionLine, CaptionedImage, ImageShape, Tone, image_grid};

/// The number of filters in the picture, and in one row of it.
const SHOWN: usize = 64;
const COLUMNS: usize = 8;

/// The longest side of a filter, in pixels.
const SIDE: usize = 64;

/// The weights of a convolution that gets the images.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    /// The name of the layer.
    pub layer: &'a str,
    /// `[filters, channels, height, width]`, row-major.
    pub weights: &'a [f32],
    /// The number of filters and of their channels, rows and columns.
    pub shape: [usize; 4],
}

impl Filters<'_> {
    /// A caption: the content of the picture, and how the weights became colors.
    pub(crate) fn caption(&self) -> String {
        let [filters, channels, height, width] = self.shape;
        let shown = match filters {
            1 => "The filter".to_owned(),
            filters if filters > SHOWN => format!("The first {SHOWN} of {filters} filters"),
            filters => format!("The {filters} filters"),
        };
        let channel = match channels {
            1 | 3 => "",
            _ => ", of which the first channel is shown",
        };
        let largest = significant(f64::from(self.largest()));
        format!(
            "{shown} of the first layer with weights, {}, of {height}×{width} pixels{channel}. Middle gray is 0, black is \
             −{largest} and white {largest}, the largest absolute weight of all filters. The numbers are the places in \
             the weights file, from 0.",
            self.layer
        )
    }

    /// The largest absolute weight; 0 if none is finite.
    fn largest(&self) -> f32 {
        let finite = self.weights.iter().filter(|weight| weight.is_finite());
        finite.fold(0.0, |largest, weight| largest.max(weight.abs()))
    }
}

/// Draws each filter as an image: gray for one channel, in color for three, otherwise the first channel in gray. All
/// filters have the same scale, and 0 is middle gray.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] if there are no filters, or the number of weights does not match their shape.
pub fn filters_picture(filters: &Filters<'_>) -> Result<Vec<u8>> {
    let [count, channels, height, width] = filters.shape;
    let shape = ImageShape { channels, height, width };
    let size = shape.size();
    if size == 0 || count.checked_mul(size) != Some(filters.weights.len()) {
        return Err(ReportError::Inconsistent(format!(
            "filters: {} weights of the shape {:?}",
            filters.weights.len(),
            filters.shape
        )));
    }
    let largest = filters.largest();
    let bytes: Vec<u8> =
        filters.weights.iter().take(SHOWN * size).map(|weight| byte(*weight, largest)).collect();
    let images: Vec<CaptionedImage<'_>> = bytes
        .chunks_exact(size)
        .enumerate()
        .map(|(index, pixels)| CaptionedImage {
            pixels,
            shape,
            caption: vec![CaptionLine::new(index.to_string(), Tone::Plain)],
        })
        .collect();
    image_grid(&images, COLUMNS, SIDE)
}

/// −`largest` is 1, 0 is 128 and `largest` is 255.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between 1 and 255"
)]
fn byte(weight: f32, largest: f32) -> u8 {
    if largest == 0.0 || !weight.is_finite() {
        return 128;
    }
    (128.0 + 127.0 * (weight / largest).clamp(-1.0, 1.0)).round() as u8
}
