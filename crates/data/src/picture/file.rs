//! Converts image files to the shape of a network's input.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::{Fitting, MAX_BYTES, MAX_PIXELS, PictureError, decode, fit};
use crate::{Background, DataError, ImageShape, PictureMode, Resize};

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
    /// Blended the transparent pixels over the background.
    Flattened(Background),
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
        /// How the aspect ratio was handled.
        resize: Resize,
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

/// A reason to doubt a prediction for gray images. Displays as a sentence without its final full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The mean of the border pixels is above 127. Images like those of MNIST have a black background.
    LightBackground,
    /// All pixels have the same value, like those of a black drawing on a transparent background that was blended over
    /// black.
    OnlyBackground,
}

/// Reads an image file and converts it to `shape`, with the default of every other setting; see [`read_image_as`].
///
/// # Errors
///
/// Those of [`read_image_as`].
pub fn read_image(path: &Path, shape: ImageShape) -> Result<ReadImage, DataError> {
    let (resize, background) = (Resize::default(), Background::default());
    read_image_as(path, &Fitting { shape, resize, background })
}

/// Reads an image file and converts it to the shape of `fitting`.
///
/// Makes only the changes that the shape requires and lists them in `adjustments`. It never inverts
/// a picture, even if the picture looks unlike the training images; `hints` says so.
///
/// # Errors
///
/// The file cannot be read or decoded, is larger than 512 MiB or 50 million pixels, or the shape does
/// not have one or three channels.
pub fn read_image_as(path: &Path, fitting: &Fitting) -> Result<ReadImage, DataError> {
    let shape = fitting.shape;
    if !matches!(shape.channels, 1 | 3) || shape.values() == 0 {
        return Err(DataError::ImageShape { path: path.to_owned(), shape });
    }
    let undecodable = |error| match error {
        PictureError::TooManyPixels { width, height } => DataError::ImageTooLarge {
            path: path.to_owned(),
            width,
            height,
            max_pixels: MAX_PIXELS,
        },
        error => DataError::Image { path: path.to_owned(), source: Box::new(error) },
    };
    let picture = decode(&read_bytes(path)?).map_err(undecodable)?;

    let mut adjustments = Vec::new();
    if picture.is_rotated {
        adjustments.push(Adjustment::Rotated);
    }
    if matches!(
        picture.mode,
        PictureMode::Gray16 | PictureMode::GrayAlpha16 | PictureMode::Rgb16 | PictureMode::Rgba16
    ) {
        adjustments.push(Adjustment::ReducedDepth);
    }
    if picture.alpha.is_some() {
        adjustments.push(Adjustment::Flattened(fitting.background));
    }
    let from = PixelSize { height: picture.height, width: picture.width };
    let to = PixelSize { height: shape.height, width: shape.width };
    if from != to {
        adjustments.push(Adjustment::Resized { from, to, resize: fitting.resize });
    }
    match (picture.channels, shape.channels) {
        (3, 1) => adjustments.push(Adjustment::ConvertedToGray),
        (1, 3) => adjustments.push(Adjustment::ConvertedToRgb),
        _ => {}
    }
    let mut pixels = vec![0; shape.values()];
    fit(&picture, fitting, &mut pixels);
    // A photograph may have one color or a light border.
    let hint = if shape.channels > 1 {
        None
    } else if pixels.iter().all(|pixel| *pixel == pixels[0]) {
        Some(Hint::OnlyBackground)
    } else {
        has_light_border(&pixels, to).then_some(Hint::LightBackground)
    };
    Ok(ReadImage { pixels, adjustments, hints: hint.into_iter().collect() })
}

/// Reads an ordinary file up to the size limit. A pipe may never end.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let too_large = || DataError::ImageFileTooLarge { path: path.to_owned(), max_bytes: MAX_BYTES };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(DataError::NotAFile { path: path.to_owned() });
    } else if metadata.len() > MAX_BYTES {
        return Err(too_large());
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // The file may have grown.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
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
            Self::Flattened(Background([0, 0, 0])) => {
                formatter.write_str("blended over black because it is transparent")
            }
            Self::Flattened(Background([red, green, blue])) => write!(
                formatter,
                "blended over the background ({red}, {green}, {blue}) because it is transparent"
            ),
            Self::ConvertedToGray => {
                formatter.write_str("converted from RGB to gray (BT.601 luma)")
            }
            Self::ConvertedToRgb => {
                formatter.write_str("converted from gray to RGB (three equal channels)")
            }
            Self::Resized { from, to, resize } => {
                write!(
                    formatter,
                    "resized from {from} to {to} pixels (width × height, triangle filter)"
                )?;
                if from.height * to.width != from.width * to.height {
                    formatter.write_str(match resize {
                        Resize::Stretch => ", which changes its aspect ratio",
                        Resize::Crop => ", after cropping it to this aspect ratio",
                        Resize::Pad => ", with a border that keeps its aspect ratio",
                    })?;
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
            Self::OnlyBackground => formatter.write_str(
                "nothing but background is visible; if the drawing is black on transparent, save it on white and use \
                 --invert",
            ),
        }
    }
}
