//! Decodes encoded pictures and brings them to the shape of a network's input.
//!
//! [`decode()`] reads PNG, JPEG, WebP, BMP, GIF (the first frame) and TIFF. The content decides which of them it is, not a
//! file name. A file that ends too early is an error, even if a decoder could fill the missing part. [`size`] reads only
//! the header. [`fit()`] blends transparent pixels over a background, converts between gray and RGB, and resizes.

mod decode;
mod file;
mod files;
mod fit;
mod jpeg;

use std::fmt;

use crate::PictureMode;

pub use decode::{decode, size};
pub use file::{Adjustment, Hint, PixelSize, ReadImage, read_image, read_image_as};
pub use files::picture_files;
pub use fit::{Fitting, fit};

pub(crate) use file::read_bytes;

/// Limit for the pixels of a picture: 50 megapixels, more than most cameras have.
pub(crate) const MAX_PIXELS: u64 = 50_000_000;

/// Limit for the length of an encoded picture and for the memory of its decoder, in bytes. 50 million pixels with four
/// 16-bit channels need 400 million.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

/// A decoded picture, upright, with 8 bits per channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row, after the rotation.
    pub width: usize,
    /// Rows of pixels, after the rotation.
    pub height: usize,
    /// The format of the encoded picture.
    pub format: PictureFormat,
    /// The pixels that the file stores.
    pub mode: PictureMode,
    /// The channels of `pixels`: 1 for gray, 3 for RGB. A palette without colors is gray.
    pub channels: usize,
    /// `[height, width, channels]`, row-major.
    pub pixels: Vec<u8>,
    /// `[height, width]`: 0 is transparent, 255 opaque. `None` if all pixels are opaque.
    pub alpha: Option<Vec<u8>>,
    /// Whether the picture was rotated or mirrored as the Exif orientation of the file requires.
    pub is_rotated: bool,
}

/// The content of the header of an encoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureInfo {
    /// Pixels in a row, after the rotation that the Exif orientation requires.
    pub width: usize,
    /// Rows of pixels, after the rotation.
    pub height: usize,
    /// The format of the encoded picture.
    pub format: PictureFormat,
    /// The pixels that the file stores.
    pub mode: PictureMode,
    /// Whether pixels can have a color other than gray: any mode with color, except palettes of grays.
    pub has_color: bool,
    /// Whether pixels can be transparent.
    pub has_alpha: bool,
}

/// The format of an encoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PictureFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// WebP, lossy or lossless.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// Graphics Interchange Format.
    Gif,
    /// Tagged Image File Format.
    Tiff,
}

impl PictureFormat {
    /// The number of bytes from which [`of`](Self::of) detects every format.
    pub const SIGNATURE_BYTES: usize = 18;

    /// The formats, for messages.
    pub const NAMES: &'static str = "PNG, JPEG, WebP, BMP, GIF or TIFF";

    /// The format of a picture that begins with these bytes; `None` if it is none of the known ones.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        /// The lengths of the second header of a BMP file, which follows the first 14 bytes. Its signature has two bytes,
        /// with which a text may begin as well.
        const BMP_HEADERS: [u8; 8] = [12, 16, 40, 52, 56, 64, 108, 124];
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            [b'B', b'M', rest @ ..] => match rest.get(12..16) {
                Some([length, 0, 0, 0]) if BMP_HEADERS.contains(length) => Some(Self::Bmp),
                _ => None,
            },
            _ => None,
        }
    }

    /// The usual name of the format: `PNG`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
        }
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why an encoded picture could not be decoded. Messages do not name the file, which the caller knows.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,

    /// The first bytes are not those of a known format.
    #[error("not a {names} picture: it begins with {found}", names = PictureFormat::NAMES)]
    Unknown {
        /// The first bytes, in hexadecimal.
        found: String,
    },

    /// The bytes end before the picture does.
    #[error("the {format} picture is cut off: its data ends too early")]
    CutOff {
        /// The format of the picture.
        format: PictureFormat,
    },

    /// The decoder found an error, or does not support this kind of picture.
    #[error("the {format} picture cannot be decoded: {reason}")]
    Undecodable {
        /// The format of the picture.
        format: PictureFormat,
        /// The message of the decoder.
        reason: String,
    },

    /// The picture has more pixels than the limit.
    #[error("{width}×{height} pixels are above the limit of {MAX_PIXELS}; make the image smaller")]
    TooManyPixels {
        /// Pixels in a row.
        width: usize,
        /// Rows of pixels.
        height: usize,
    },

    /// The encoded picture is longer than the limit.
    #[error("{bytes} bytes are above the limit of {MAX_BYTES} for an image file; make it smaller")]
    TooLong {
        /// The length of the encoded picture.
        bytes: u64,
    },
}

/// The luma of ITU-R BT.601, rounded to the nearest integer. Gray pixels keep their value.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000) as u8
}
