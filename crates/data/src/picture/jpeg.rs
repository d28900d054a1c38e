//! JPEG, with zune-jpeg.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{PictureError, PictureFormat};
use crate::PictureMode;

/// A JPEG picture whose header was read.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) mode: PictureMode,
    pub(super) orientation: Orientation,
}

impl<'a> Jpeg<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, PictureError> {
        // Without the strict mode, the decoder fills what it cannot decode with gray.
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|error| match has_end(bytes) {
            true => undecodable(error),
            false => PictureError::CutOff { format: PictureFormat::Jpeg },
        })?;
        let (width, height) = decoder.dimensions().unwrap_or_default();
        let mode = match decoder.input_colorspace() {
            Some(ColorSpace::Luma | ColorSpace::LumaA) => PictureMode::Gray,
            Some(ColorSpace::CMYK | ColorSpace::YCCK) => PictureMode::Cmyk,
            _ => PictureMode::Rgb,
        };
        let exif = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
        let orientation = exif.unwrap_or(Orientation::NoTransforms);
        Ok(Self { bytes, decoder, width, height, mode, orientation })
    }

    /// The picture as the file stores it, gray or RGB. Converts CMYK as Pillow does: inverted, as Adobe writes it.
    pub(super) fn decode(mut self) -> Result<DynamicImage, PictureError> {
        if !has_end(self.bytes) {
            return Err(PictureError::CutOff { format: PictureFormat::Jpeg });
        }
        let is_gray = self.mode == PictureMode::Gray;
        let colors = if is_gray { ColorSpace::Luma } else { ColorSpace::RGB };
        let options = self.decoder.options().jpeg_set_out_colorspace(colors);
        self.decoder.set_options(options);
        let pixels = self.decoder.decode().map_err(undecodable)?;
        let (width, height) = (self.width as u32, self.height as u32);
        let picture = if is_gray {
            GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        } else {
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        };
        picture.ok_or_else(|| undecodable(DecodeErrors::FormatStatic("too few pixels")))
    }
}

fn undecodable(error: DecodeErrors) -> PictureError {
    let reason = match error {
        DecodeErrors::Format(reason) => reason,
        DecodeErrors::FormatStatic(reason) => reason.to_owned(),
        error => error.to_string(),
    };
    PictureError::Undecodable { format: PictureFormat::Jpeg, reason }
}

/// Whether the picture has its end marker (EOI). Follows the segments of the file, because metadata may contain a smaller
/// picture with an end marker of its own. Bytes after the end are ignored.
fn has_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    const SCAN: u8 = 0xda;
    // After the start marker.
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let Some(start) = rest.iter().position(|&byte| byte == 0xff) else { return false };
        rest = &rest[start..];
        // A marker may be preceded by any number of ff.
        let Some(marker) = rest.iter().position(|&byte| byte != 0xff) else { return false };
        let kind = rest[marker];
        rest = &rest[marker + 1..];
        match kind {
            END => return true,
            // An escaped ff between segments, and markers without a segment.
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let &[high, low, ..] = rest else { return false };
        let length = usize::from(u16::from_be_bytes([high, low])).max(2);
        let Some(after) = rest.get(length..) else { return false };
        rest = after;
        if kind == SCAN {
            // In a scan, ff is followed by 00 or the number of a restart, or else it begins the next marker.
            let begins_marker =
                |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7);
            let Some(next) = rest.windows(2).position(begins_marker) else { return false };
            rest = &rest[next..];
        }
    }
}
