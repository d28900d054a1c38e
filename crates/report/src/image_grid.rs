//! Draws small images in a grid, each with a caption, as PNG.

use image::codecs::png::{self, CompressionType, PngEncoder};
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use kiln_store::escape;

use crate::bitmap_text::{self, CHARACTER_WIDTH, LINE_HEIGHT};
use crate::error::{ReportError, Result};

/// The shape of an image stored as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// 1 for gray, 3 for RGB. With any other number, only the first channel is drawn, as gray.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl ImageShape {
    /// The number of bytes of one image.
    #[must_use]
    pub fn size(self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }
}

/// An image and its caption.
#[derive(Debug, Clone)]
pub struct CaptionedImage<'a> {
    /// `[channels, height, width]`, one plane after another.
    pub pixels: &'a [u8],
    /// The shape of the image.
    pub shape: ImageShape,
    /// The lines of the caption.
    pub caption: Vec<CaptionLine>,
}

/// A line of a caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionLine {
    /// The text. A line that is too long is cut and ends in `…`.
    pub text: String,
    /// Its meaning, shown by its color.
    pub tone: Tone,
}

impl CaptionLine {
    /// Makes a line of text with a tone.
    #[must_use]
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

/// The meaning of a caption line, shown by its color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Black: a neutral fact.
    Plain,
    /// Blue: correct.
    Right,
    /// Red: wrong.
    Wrong,
}

impl Tone {
    /// Blue and vermilion from the palette of Okabe and Ito (2008), darkened for small text on white.
    pub(crate) const fn color(self) -> [u8; 3] {
        match self {
            Tone::Plain => [31, 35, 40],
            Tone::Right => [0, 93, 146],
            Tone::Wrong => [184, 72, 0],
        }
    }
}

/// The default length of an image's longest side, in pixels, in a grid of 25.
pub const IMAGE_SIDE: usize = 140;

// The script of a comparison's page finds the images by these two colors and replaces the background in the dark theme.
pub(crate) const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);
const FRAME: Rgb<u8> = Rgb([208, 213, 219]);
/// Space between images and around the grid, in pixels.
pub(crate) const GAP: u32 = 16;
/// Space between an image and its caption, in pixels.
const CAPTION_GAP: u32 = 5;
/// The number of characters up to which a caption widens its column.
const LONGEST_CAPTION: usize = 26;

/// Draws the images in rows of `columns`. Each image is enlarged by a whole factor to a longest side of at most
/// `side` pixels, or reduced to `side`. The same input gives the same PNG bytes.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] if there are no images or columns, if an image is empty or its number of bytes does
/// not match its shape, or if the picture would be too large.
pub fn image_grid(images: &[CaptionedImage<'_>], columns: usize, side: usize) -> Result<Vec<u8>> {
    let layout = Layout::new(images, columns, side)?;
    let mut picture = RgbImage::from_pixel(layout.width, layout.height, BACKGROUND);
    for (place, image) in images.iter().enumerate() {
        let left = GAP + (place % layout.columns) as u32 * (layout.column_width + GAP);
        let top = GAP + (place / layout.columns) as u32 * (layout.row_height + GAP);
        draw_image(&mut picture, image, left, top, &layout);
        let lines = (top + layout.image_height + CAPTION_GAP..).step_by(LINE_HEIGHT as usize);
        for (line, top) in image.caption.iter().zip(lines) {
            let text = escape::shorten(&line.text, layout.column_characters());
            let width = text.chars().count() as u32 * CHARACTER_WIDTH;
            let left = left + layout.column_width.saturating_sub(width) / 2;
            bitmap_text::draw(&mut picture, left, top, line.tone.color(), &text);
        }
    }
    encode(&picture)
}

/// Draws a picture with a single line of text, used when there are no images to show.
pub(crate) fn words(text: &str) -> Result<Vec<u8>> {
    let width = text.chars().count() as u32 * CHARACTER_WIDTH + 2 * GAP;
    let height = LINE_HEIGHT + 2 * GAP;
    let mut picture = RgbImage::from_pixel(width, height, BACKGROUND);
    bitmap_text::draw(&mut picture, GAP, GAP, Tone::Plain.color(), text);
    encode(&picture)
}

struct Layout {
    columns: usize,
    side: usize,
    column_width: u32,
    row_height: u32,
    /// The height of the tallest drawn image.
    image_height: u32,
    width: u32,
    height: u32,
}

impl Layout {
    fn new(images: &[CaptionedImage<'_>], columns: usize, side: usize) -> Result<Self> {
        let problem = |text: &str| Err(ReportError::Inconsistent(format!("image grid: {text}")));
        if images.is_empty() || columns == 0 || side == 0 {
            return problem("there are no images to draw");
        }
        for image in images {
            if image.shape.size() == 0 || image.pixels.len() != image.shape.size() {
                let bytes = image.pixels.len();
                return problem(&format!("an image of {:?} has {bytes} bytes", image.shape));
            }
        }
        let columns = columns.min(images.len());
        let rows = images.len().div_ceil(columns) as u64;
        let drawn = || images.iter().map(|image| Drawn::new(image.shape, side));
        let longest = images.iter().flat_map(|image| &image.caption);
        let longest = longest.map(|line| line.text.chars().count()).max().unwrap_or(0);
        let lines = images.iter().map(|image| image.caption.len()).max().unwrap_or(0) as u64;

        let caption_width = longest.min(LONGEST_CAPTION) as u64 * u64::from(CHARACTER_WIDTH);
        let column_width = drawn().map(|drawn| drawn.width).max().unwrap_or(0).max(caption_width);
        let image_height = drawn().map(|drawn| drawn.height).max().unwrap_or(0);
        let caption_gap = if lines == 0 { 0 } else { u64::from(CAPTION_GAP) };
        let caption_height = caption_gap + lines * u64::from(LINE_HEIGHT);
        let row_height = image_height.saturating_add(caption_height);
        let gap = u64::from(GAP);
        let places = |each: u64, number: u64| {
            each.saturating_add(gap).saturating_mul(number).saturating_add(gap)
        };
        let (width, height) = (places(column_width, columns as u64), places(row_height, rows));
        if width.saturating_mul(height) > LARGEST_PICTURE {
            return problem("the picture would be too large: use fewer or smaller images");
        }
        // The size was checked above, so the sums below cannot overflow.
        Ok(Self {
            columns,
            side,
            column_width: column_width as u32,
            row_height: row_height as u32,
            image_height: image_height as u32,
            width: width as u32,
            height: height as u32,
        })
    }

    fn column_characters(&self) -> usize {
        (self.column_width / CHARACTER_WIDTH) as usize
    }
}

/// The maximum number of pixels of a picture.
const LARGEST_PICTURE: u64 = 64 << 20;

/// The size of an image in the picture, in pixels.
#[derive(Clone, Copy)]
struct Drawn {
    height: u64,
    width: u64,
}

impl Drawn {
    fn new(shape: ImageShape, side: usize) -> Self {
        let (height, width, side) = (shape.height as u64, shape.width as u64, side as u64);
        let longest = height.max(width).max(1);
        if longest <= side {
            let times = side / longest;
            Self { height: height * times, width: width * times }
        } else {
            let reduced = |length: u64| (length.saturating_mul(side) / longest).max(1);
            Self { height: reduced(height), width: reduced(width) }
        }
    }
}

/// Draws an image with a frame, centered in its column and aligned to the bottom of its row.
fn draw_image(
    picture: &mut RgbImage,
    image: &CaptionedImage<'_>,
    left: u32,
    top: u32,
    layout: &Layout,
) {
    let drawn = Drawn::new(image.shape, layout.side);
    let (height, width) = (drawn.height as u32, drawn.width as u32);
    let left = left + (layout.column_width - width) / 2;
    let top = top + (layout.image_height - height);
    // The frame is outside of the image, in the gap. It shows where a white image ends.
    for y in top - 1..=top + height {
        for x in left - 1..=left + width {
            picture.put_pixel(x, y, FRAME);
        }
    }
    // Enlarged pixels stay sharp squares. In a reduced image, each pixel is the mean of the pixels that it replaces.
    let enlarged = image.shape.height.max(image.shape.width) <= layout.side;
    let filter = if enlarged { FilterType::Nearest } else { FilterType::Triangle };
    let resized = imageops::resize(&in_color(image), width, height, filter);
    imageops::replace(picture, &resized, left.into(), top.into());
}

fn in_color(image: &CaptionedImage<'_>) -> RgbImage {
    let ImageShape { channels, height, width } = image.shape;
    let plane = height * width;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        match channels {
            3 => Rgb([image.pixels[at], image.pixels[at + plane], image.pixels[at + 2 * plane]]),
            _ => Rgb([image.pixels[at]; 3]),
        }
    })
}

pub(crate) fn encode(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, png::FilterType::Adaptive)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|error| ReportError::Inconsistent(format!("cannot encode a picture: {error}")))?;
    Ok(bytes)
}
