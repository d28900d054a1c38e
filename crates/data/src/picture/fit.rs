//! Brings a picture to a shape.

use std::borrow::Cow;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::{Picture, luma};
use crate::{Background, ImageShape, Resize};

/// The shape to which pictures are brought, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fitting {
    /// The shape. The channels are 1 or 3.
    pub shape: ImageShape,
    /// How pictures of another size are resized.
    pub resize: Resize,
    /// The color behind transparent pixels, and of the border of `pad`.
    pub background: Background,
}

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// Writes a picture as `[channels, height, width]`.
///
/// In this order: blends transparent pixels over the background, so that their hidden colors do not leak into visible
/// ones; converts RGB to gray by the luma of ITU-R BT.601, or gray to three equal channels; resizes with a triangle filter
/// whose width grows with the reduction. Resizing uses integers, so the result is the same on every processor. A picture
/// that has the size already is copied unchanged.
///
/// `crop` cuts the picture to the aspect ratio of the shape first, like `crop_to_aspect_ratio` of Keras. `pad` adds the
/// border after resizing.
///
/// # Panics
///
/// The shape has no pixels or neither 1 nor 3 channels, or `output` has another length.
pub fn fit(picture: &Picture, fitting: &Fitting, output: &mut [u8]) {
    let Fitting { shape, resize, background } = *fitting;
    assert!(matches!(shape.channels, 1 | 3), "unsupported number of channels: {}", shape.channels);
    assert_eq!(output.len(), shape.values(), "the output does not have the length of {shape}");
    let full = Area { left: 0, top: 0, width: picture.width, height: picture.height };
    let (from, to) = areas(full, shape, resize);

    let (channels, pixels) = flatten(picture, shape.channels, background);
    let resized = if from == full && (from.width, from.height) == (to.width, to.height) {
        pixels
    } else {
        Cow::Owned(resized(&pixels, channels, full, from, to))
    };

    let Background(rgb) = background;
    let border = if shape.channels == 1 { [luma(rgb); 3] } else { rgb };
    let is_padded = (to.width, to.height) != (shape.width, shape.height);
    for (channel, plane) in output.chunks_exact_mut(shape.height * shape.width).enumerate() {
        if is_padded {
            plane.fill(border[channel]);
        }
        // Gray pictures have one channel for all planes.
        let channel = channel % channels;
        let rows = plane.chunks_exact_mut(shape.width).skip(to.top);
        for (row, values) in rows.zip(resized.chunks_exact(to.width * channels)) {
            let places = row[to.left..][..to.width].iter_mut();
            match channels {
                // The compiler knows the length of a pixel.
                3 => places
                    .zip(values.chunks_exact(3))
                    .for_each(|(place, pixel)| *place = pixel[channel]),
                _ => places.zip(values).for_each(|(place, value)| *place = *value),
            }
        }
    }
}

/// The part of the picture that is used, and the part of the shape that it fills.
fn areas(full: Area, shape: ImageShape, resize: Resize) -> (Area, Area) {
    let all = Area { left: 0, top: 0, width: shape.width, height: shape.height };
    match resize {
        Resize::Stretch => (full, all),
        // The largest part with the aspect ratio of the shape, from the center.
        Resize::Crop => {
            let width = (full.height * shape.width / shape.height).clamp(1, full.width);
            let height = (full.width * shape.height / shape.width).clamp(1, full.height);
            (full.center(width, height), all)
        }
        // The largest part of the shape with the aspect ratio of the picture, in the center.
        Resize::Pad => {
            let rounded = |length: usize, by: usize, over: usize| (length * by + over / 2) / over;
            let width = rounded(shape.height, full.width, full.height).clamp(1, shape.width);
            let height = rounded(shape.width, full.height, full.width).clamp(1, shape.height);
            (full, all.center(width, height))
        }
    }
}

impl Area {
    fn center(self, width: usize, height: usize) -> Self {
        Self { left: (self.width - width) / 2, top: (self.height - height) / 2, width, height }
    }
}

/// The opaque pixels of a picture, with as few channels as resizing can have: `[height, width, channels]`.
fn flatten(
    picture: &Picture,
    wanted: usize,
    Background(background): Background,
) -> (usize, Cow<'_, [u8]>) {
    let gray_background = background == [background[0]; 3];
    let rgb = |pixel: &[u8]| {
        if pixel.len() == 1 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] }
    };
    let pixels = picture.pixels.chunks_exact(picture.channels);
    match (&picture.alpha, picture.channels, wanted) {
        (None, 1, _) | (None, 3, 3) => (picture.channels, Cow::Borrowed(&picture.pixels)),
        (None, ..) => (1, pixels.map(|pixel| luma(rgb(pixel))).collect()),
        (Some(alpha), channels, wanted) => {
            let blended = pixels.zip(alpha).map(|(pixel, &alpha)| {
                let [red, green, blue] = rgb(pixel);
                [(red, 0), (green, 1), (blue, 2)]
                    .map(|(value, channel)| blend(value, background[channel], alpha))
            });
            if wanted == 1 || (channels == 1 && gray_background) {
                (1, blended.map(luma).collect())
            } else {
                (3, blended.flatten().collect())
            }
        }
    }
}

fn blend(value: u8, background: u8, alpha: u8) -> u8 {
    let [value, background, alpha] = [value, background, alpha].map(u32::from);
    // Adding 127 rounds to the nearest integer.
    ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
}

/// Resizes a part of a picture with the size of `full`.
fn resized(pixels: &[u8], channels: usize, full: Area, from: Area, to: Area) -> Vec<u8> {
    let kind = if channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    // Every size is at most the limit for pictures.
    let [width, height] = [full.width, full.height].map(|size| size as u32);
    let source =
        ImageRef::new(width, height, pixels, kind).expect("as many pixels as the size says");
    let mut target = Image::new(to.width as u32, to.height as u32, kind);
    let [left, top, width, height] =
        [from.left, from.top, from.width, from.height].map(|length| length as u32);
    let part = CroppedImage::new(&source, left, top, width, height).expect("a part of the picture");
    let triangle = ResizeAlg::Convolution(FilterType::Bilinear);
    let options = ResizeOptions::new().resize_alg(triangle).use_alpha(false);
    Resizer::new().resize(&part, &mut target, &options).expect("the same type of pixels");
    target.into_vec()
}
