use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size16;

/// The height of a line of text, in pixels.
pub(crate) const LINE_HEIGHT: u32 = SIZE.val() as u32;

/// The width of each character, in pixels.
pub(crate) const CHARACTER_WIDTH: u32 = get_raster_width(WEIGHT, SIZE) as u32;

/// Draws a line of text over the picture; whatever exceeds the picture is cut off.
///
/// The font has Latin letters for the languages of western and central Europe. Other characters become `?`.
pub(crate) fn draw(picture: &mut RgbImage, left: u32, top: u32, color: [u8; 3], text: &str) {
    for (place, character) in (0..).zip(text.chars()) {
        let left = left + place * CHARACTER_WIDTH;
        if character == '…' {
            draw_ellipsis(picture, left, top, color);
            continue;
        }
        let Some(glyph) =
            get_raster(character, WEIGHT, SIZE).or_else(|| get_raster('?', WEIGHT, SIZE))
        else {
            continue;
        };
        for (y, row) in (top..).zip(glyph.rows()) {
            for (x, ink) in (left..).zip(row) {
                blend(picture, x, y, color, *ink);
            }
        }
    }
}

/// The font has no `…`, so three dots on the baseline replace it.
fn draw_ellipsis(picture: &mut RgbImage, left: u32, top: u32, color: [u8; 3]) {
    let base_line = top + LINE_HEIGHT * 3 / 4;
    for dot in 0..3 {
        blend(picture, left + 1 + dot * 2, base_line, color, u8::MAX);
    }
}

fn blend(picture: &mut RgbImage, x: u32, y: u32, color: [u8; 3], ink: u8) {
    let Some(pixel) = picture.get_pixel_mut_checked(x, y) else {
        return;
    };
    let ink = u16::from(ink);
    let mixed = |below: u8, above: u8| {
        let sum = u16::from(below) * (255 - ink) + u16::from(above) * ink;
        // The quotient is at most 255.
        (sum / 255) as u8
    };
    let Rgb(below) = *pixel;
    *pixel = Rgb(std::array::from_fn(|channel| mixed(below[channel], color[channel])));
}
