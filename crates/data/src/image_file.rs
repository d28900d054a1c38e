//! A picture from anywhere becomes an image as a network was trained on.

use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, RgbImage, RgbaImage};

use crate::{DataError, ImageShape};

/// The most pixels that are decoded: a photograph of 50 megapixels.
const MOST_PIXELS: u64 = 50_000_000;

/// The most that a decoder may allocate, and the largest file that it is given: 50 million pixels of four 16-bit channels,
/// and some room.
const MOST_BYTES: u64 = 512 << 20;

/// An image file as a network takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadImage {
    /// The bytes of one image: by channel, then by row, then by column.
    pub pixels: Vec<u8>,
    /// What had to be done to the picture, in the order in which it was done.
    pub adjustments: Vec<Adjustment>,
    /// What may make a prediction worth less.
    pub hints: Vec<Hint>,
}

/// One change that was made to a picture. Displays as a sentence without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// The camera noted which way up it was held.
    Turned,
    /// Channels of 16 bits became channels of 8.
    ReducedDepth,
    /// What shines through is black.
    Flattened,
    /// The luma of ITU-R BT.601: 0.299 red + 0.587 green + 0.114 blue.
    Greyed,
    /// Grey became three equal channels.
    Coloured,
    /// A triangle filter as wide as the reduction (bilinear, antialiased), which averages without
    /// overshooting.
    Resized {
        /// Height and width before.
        from: PixelSize,
        /// Height and width after.
        to: PixelSize,
    },
}

/// Height and width. Displays as picture programs do, width × height: `100×30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelSize {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

/// A reason to doubt a prediction. Displays as a sentence without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The mean of the outermost pixels is above 127. MNIST-like images show light things on black.
    LightBackground,
}

/// Reads a PNG or JPEG file as an image of this shape, with as few changes as that takes.
///
/// Nothing is inverted or cropped, even where the picture is unlike the images that a network was
/// trained on; `adjustments` and `hints` say what was done and what was noticed.
///
/// # Errors
///
/// The file cannot be read or decoded, has more than 50 million pixels, or the shape has other than
/// one or three channels.
pub fn read_image(path: &Path, shape: ImageShape) -> Result<ReadImage, DataError> {
    let unusable = || DataError::ImageShape { path: path.to_owned(), shape };
    let width = u32::try_from(shape.width).ok().filter(|&width| width > 0).ok_or_else(unusable)?;
    let height = u32::try_from(shape.height).ok().filter(|&rows| rows > 0).ok_or_else(unusable)?;

    let mut adjustments = Vec::new();
    let picture = decode(path, &mut adjustments)?;
    let from = PixelSize { height: picture.height() as usize, width: picture.width() as usize };
    let to = PixelSize { height: shape.height, width: shape.width };
    let grey = !picture.color().has_color();
    let opaque = flatten(picture, &mut adjustments);
    let resized = if from == to {
        opaque
    } else {
        adjustments.push(Adjustment::Resized { from, to });
        imageops::resize(&opaque, width, height, FilterType::Triangle)
    };
    let pixels: Vec<u8> = match shape.channels {
        1 => {
            if !grey {
                adjustments.push(Adjustment::Greyed);
            }
            resized.pixels().map(|pixel| luma(pixel.0)).collect()
        }
        3 => {
            if grey {
                adjustments.push(Adjustment::Coloured);
            }
            let resized = &resized;
            let channel = |channel| resized.pixels().map(move |pixel| pixel.0[channel]);
            (0..3).flat_map(channel).collect()
        }
        _ => return Err(unusable()),
    };
    let hints =
        if has_light_border(&pixels, to) { vec![Hint::LightBackground] } else { Vec::new() };
    Ok(ReadImage { pixels, adjustments, hints })
}

/// Opens an ordinary file that is not larger than any picture that is decoded: a JPEG is read whole before anything is
/// known of it, and a pipe may never end.
fn open(path: &Path) -> Result<File, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(DataError::NotAFile { path: path.to_owned() });
    } else if kind.len() > MOST_BYTES {
        return Err(DataError::ImageFileTooLarge { path: path.to_owned(), ceiling: MOST_BYTES });
    }
    File::open(path).map_err(unreadable)
}

/// Decodes a file and turns the picture the way up that it was taken.
fn decode(path: &Path, adjustments: &mut Vec<Adjustment>) -> Result<DynamicImage, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let undecodable = |error| match error {
        ImageError::IoError(source) if source.raw_os_error().is_some() => unreadable(source),
        error => DataError::Image { path: path.to_owned(), source: Box::new(error) },
    };
    let file = open(path)?;
    let mut reader =
        ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(unreadable)?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;

    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(DataError::ImageTooLarge {
            path: path.to_owned(),
            width,
            height,
            ceiling: MOST_PIXELS,
        });
    }
    let orientation = decoder.orientation().map_err(undecodable)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    if orientation != Orientation::NoTransforms {
        picture.apply_orientation(orientation);
        adjustments.push(Adjustment::Turned);
    }
    Ok(picture)
}

/// Three opaque channels of 8 bits.
fn flatten(picture: DynamicImage, adjustments: &mut Vec<Adjustment>) -> RgbImage {
    let narrow = [ColorType::L8, ColorType::La8, ColorType::Rgb8, ColorType::Rgba8];
    if !narrow.contains(&picture.color()) {
        adjustments.push(Adjustment::ReducedDepth);
    }
    if !picture.has_alpha() {
        return picture.into_rgb8();
    }
    let picture: RgbaImage = picture.into_rgba8();
    if picture.pixels().any(|pixel| pixel.0[3] < 255) {
        adjustments.push(Adjustment::Flattened);
    }
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        let over_black = |value: u8| ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8;
        image::Rgb([red, green, blue].map(over_black))
    })
}

/// ITU-R BT.601, rounded to the nearest; equal channels stay what they are.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000) as u8
}

fn has_light_border(pixels: &[u8], PixelSize { height, width }: PixelSize) -> bool {
    let on_border = |&(index, _): &(usize, &u8)| {
        let (row, column) = (index / width % height, index % width);
        row == 0 || row == height - 1 || column == 0 || column == width - 1
    };
    let border = pixels.iter().enumerate().filter(on_border);
    let (count, sum) =
        border.fold((0_u64, 0), |(count, sum), (_, &pixel)| (count + 1, sum + u64::from(pixel)));
    sum > 127 * count
}

impl fmt::Display for PixelSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}×{}", self.width, self.height)
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turned => formatter.write_str("turned as its EXIF orientation says"),
            Self::ReducedDepth => formatter.write_str("reduced to 8 bits a channel"),
            Self::Flattened => formatter.write_str("laid over black where it is transparent"),
            Self::Greyed => formatter.write_str("converted from colour to grey (BT.601 luma)"),
            Self::Coloured => formatter.write_str("converted from grey to three equal channels"),
            Self::Resized { from, to } => {
                write!(
                    formatter,
                    "resized from {from} to {to} pixels (width × height, triangle filter)"
                )?;
                if from.height * to.width != from.width * to.height {
                    formatter.write_str(", which changes its proportions")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LightBackground => formatter.write_str(
                "the background is light; where the training images have a dark one, as those of \
                 Fashion-MNIST, the prediction may be off",
            ),
        }
    }
}
