//! Converts PNG and JPEG files to the image shape of a network.

use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, RgbImage, RgbaImage};

use crate::{DataError, ImageShape};

/// Limit for the pixels of a file: 50 megapixels, more than most cameras have.
const MAX_PIXELS: u64 = 50_000_000;

/// Limit for the size of a file and for the memory of its decoder, in bytes. 50 million pixels with
/// four 16-bit channels need 400 million.
const MAX_BYTES: u64 = 512 << 20;

/// An image file, converted to the input of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadImage {
    /// `[channels, height, width]`, row-major.
    pub pixels: Vec<u8>,
    /// The changes to the picture in the file, in the order in which they were made.
    pub adjustments: Vec<Adjustment>,
    /// Reasons to doubt a prediction for this image.
    pub hints: Vec<Hint>,
}

/// A change to a picture. Displays as a phrase: `reduced to 8 bits per channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// Rotated or mirrored as the EXIF orientation of the camera requires.
    Rotated,
    /// Reduced from 16 to 8 bits per channel.
    ReducedDepth,
    /// Blended the transparent pixels over black.
    Flattened,
    /// Converted from RGB to gray by the luma of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
    ConvertedToGray,
    /// Converted from gray to RGB with three equal channels.
    ConvertedToRgb,
    /// Resized by bilinear interpolation with antialiasing: a triangle filter whose width grows with
    /// the reduction. It does not overshoot.
    Resized {
        /// The size in the file.
        from: PixelSize,
        /// The size for the network.
        to: PixelSize,
    },
}

/// Height and width in pixels. Displays as width × height, like image editors do: `100×30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelSize {
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
}

/// A reason to doubt a prediction. Displays as a sentence without its final full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The mean of the border pixels is above 127. Images like those of MNIST have a black background.
    LightBackground,
}

/// Reads a PNG or JPEG file and converts it to `shape`.
///
/// Makes only the changes that the shape requires and lists them in `adjustments`. It never inverts
/// or crops a picture, even if the picture looks unlike the training images; `hints` says so.
///
/// # Errors
///
/// The file cannot be read or decoded, is larger than 512 MiB or 50 million pixels, or the shape does
/// not have one or three channels.
pub fn read_image(path: &Path, shape: ImageShape) -> Result<ReadImage, DataError> {
    let unusable = || DataError::ImageShape { path: path.to_owned(), shape };
    let width = u32::try_from(shape.width).ok().filter(|&width| width > 0).ok_or_else(unusable)?;
    let height = u32::try_from(shape.height).ok().filter(|&rows| rows > 0).ok_or_else(unusable)?;

    let mut adjustments = Vec::new();
    let picture = decode(path, &mut adjustments)?;
    let from = PixelSize { height: picture.height() as usize, width: picture.width() as usize };
    let to = PixelSize { height: shape.height, width: shape.width };
    let is_gray = !picture.color().has_color();
    // Before resizing, which would mix the colors of transparent pixels into visible ones.
    let opaque = flatten(picture, &mut adjustments);
    let resized = if from == to {
        opaque
    } else {
        adjustments.push(Adjustment::Resized { from, to });
        imageops::resize(&opaque, width, height, FilterType::Triangle)
    };
    let pixels: Vec<u8> = match shape.channels {
        1 => {
            if !is_gray {
                adjustments.push(Adjustment::ConvertedToGray);
            }
            resized.pixels().map(|pixel| luma(pixel.0)).collect()
        }
        3 => {
            if is_gray {
                adjustments.push(Adjustment::ConvertedToRgb);
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

/// Opens an ordinary file up to the size limit. The JPEG decoder reads the complete file before it
/// knows the size of the picture, and a pipe may never end.
fn open(path: &Path) -> Result<File, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(DataError::NotAFile { path: path.to_owned() });
    } else if metadata.len() > MAX_BYTES {
        return Err(DataError::ImageFileTooLarge { path: path.to_owned(), max_bytes: MAX_BYTES });
    }
    File::open(path).map_err(unreadable)
}

/// Decodes a file and applies its EXIF orientation.
fn decode(path: &Path, adjustments: &mut Vec<Adjustment>) -> Result<DynamicImage, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    // The decoder also reports truncated files as I/O errors, but without an error code.
    let undecodable = |error| match error {
        ImageError::IoError(source) if source.raw_os_error().is_some() => unreadable(source),
        error => DataError::Image { path: path.to_owned(), source: Box::new(error) },
    };
    let file = open(path)?;
    let mut reader =
        ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(unreadable)?;
    // The decoder also allocates buffers for compressed data and metadata.
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;

    // Checked before decoding, which allocates memory for all pixels.
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(DataError::ImageTooLarge {
            path: path.to_owned(),
            width,
            height,
            max_pixels: MAX_PIXELS,
        });
    }
    let orientation = decoder.orientation().map_err(undecodable)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    if orientation != Orientation::NoTransforms {
        picture.apply_orientation(orientation);
        adjustments.push(Adjustment::Rotated);
    }
    Ok(picture)
}

/// Converts a picture to three opaque channels of 8 bits.
fn flatten(picture: DynamicImage, adjustments: &mut Vec<Adjustment>) -> RgbImage {
    let eight_bit = [ColorType::L8, ColorType::La8, ColorType::Rgb8, ColorType::Rgba8];
    if !eight_bit.contains(&picture.color()) {
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
        // Adding 127 rounds to the nearest integer.
        let over_black = |value: u8| ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8;
        image::Rgb([red, green, blue].map(over_black))
    })
}

/// The luma of ITU-R BT.601, rounded to the nearest integer. Gray pixels keep their value.
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
    // The mean is above 127; without a division, an empty border is not light.
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
            Self::Rotated => formatter.write_str("rotated as its EXIF orientation requires"),
            Self::ReducedDepth => formatter.write_str("reduced to 8 bits per channel"),
            Self::Flattened => formatter.write_str("blended over black because it is transparent"),
            Self::ConvertedToGray => {
                formatter.write_str("converted from RGB to gray (BT.601 luma)")
            }
            Self::ConvertedToRgb => {
                formatter.write_str("converted from gray to RGB (three equal channels)")
            }
            Self::Resized { from, to } => {
                write!(
                    formatter,
                    "resized from {from} to {to} pixels (width × height, triangle filter)"
                )?;
                if from.height * to.width != from.width * to.height {
                    formatter.write_str(", which changes its aspect ratio")?;
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
                "the background is light; the prediction may be wrong if the training images have a \
                 dark background, like those of Fashion-MNIST",
            ),
        }
    }
}
