//! From encoded bytes to pixels.

use std::io::{self, Cursor};

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageError, Limits};

use super::jpeg::Jpeg;
use super::{MAX_BYTES, MAX_PIXELS, Picture, PictureError, PictureFormat, PictureInfo};
use crate::PictureMode;

/// Decodes a picture and turns it upright, as its Exif orientation requires.
///
/// Bytes after the end of the picture are ignored.
///
/// # Errors
///
/// The bytes are not a picture of a known format, are damaged, end too early, or are above the limits: 512 MiB and 50
/// million pixels.
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    let header = Header::read(bytes)?;
    let info = header.info()?;
    let orientation = header.orientation;
    let mut picture = match header.source {
        Source::Jpeg(jpeg) => jpeg.decode()?,
        Source::Other(decoder) => DynamicImage::from_decoder(decoder)
            .map_err(|error| picture_error(info.format, error))?,
    };
    let is_rotated = orientation != Orientation::NoTransforms;
    if is_rotated {
        picture.apply_orientation(orientation);
    }
    let (channels, pixels, alpha) = channels(picture, info.has_color);
    Ok(Picture {
        width: info.width,
        height: info.height,
        format: info.format,
        mode: info.mode,
        channels,
        pixels,
        alpha: alpha.filter(|alpha| alpha.iter().any(|&alpha| alpha < 255)),
        is_rotated,
    })
}

/// Reads the header of a picture.
///
/// # Errors
///
/// Those of [`decode()`] that the header shows.
pub fn size(bytes: &[u8]) -> Result<PictureInfo, PictureError> {
    Header::read(bytes)?.info()
}

/// The content of the header, and the state that is needed to decode the rest.
struct Header<'a> {
    format: PictureFormat,
    /// As stored.
    width: usize,
    height: usize,
    mode: PictureMode,
    has_color: bool,
    has_alpha: bool,
    orientation: Orientation,
    source: Source<'a>,
}

enum Source<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Other(Box<dyn ImageDecoder + 'a>),
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PictureError> {
        if bytes.is_empty() {
            return Err(PictureError::Empty);
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err(PictureError::TooLong { bytes: bytes.len() as u64 });
        }
        let Some(format) = PictureFormat::of(bytes) else {
            let found = bytes[..bytes.len().min(8)].iter().map(|byte| format!("{byte:02x}"));
            return Err(PictureError::Unknown { found: found.collect::<Vec<_>>().join(" ") });
        };
        if format == PictureFormat::Jpeg {
            let jpeg = Jpeg::new(bytes)?;
            return Ok(Self {
                format,
                width: jpeg.width,
                height: jpeg.height,
                mode: jpeg.mode,
                has_color: jpeg.mode != PictureMode::Gray,
                has_alpha: false,
                orientation: jpeg.orientation,
                source: Source::Jpeg(Box::new(jpeg)),
            });
        }
        let error = |error| picture_error(format, error);
        let reader = Cursor::new(bytes);
        let mut palette = None;
        let mut decoder: Box<dyn ImageDecoder> = match format {
            PictureFormat::Png => {
                palette = png_palette(bytes);
                Box::new(PngDecoder::with_limits(reader, limits()).map_err(error)?)
            }
            PictureFormat::WebP => {
                check_riff_length(bytes)?;
                Box::new(WebPDecoder::new(reader).map_err(error)?)
            }
            PictureFormat::Bmp => {
                let decoder = BmpDecoder::new(reader).map_err(error)?;
                palette = decoder.get_palette().map(|colors| colors.concat());
                Box::new(decoder)
            }
            PictureFormat::Gif => {
                palette = Some(gif_palette(bytes).to_vec());
                Box::new(GifDecoder::new(reader).map_err(error)?)
            }
            PictureFormat::Tiff => Box::new(TiffDecoder::new(reader).map_err(error)?),
            PictureFormat::Jpeg => unreachable!("handled above"),
        };
        decoder.set_limits(limits()).map_err(error)?;
        let (width, height) = decoder.dimensions();
        let color_type = decoder.color_type();
        let has_alpha = color_type.has_alpha();
        let mode = match (color_type, decoder.original_color_type()) {
            _ if palette.is_some() => PictureMode::Palette,
            (_, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16) => PictureMode::Cmyk,
            (ColorType::L8, _) => PictureMode::Gray,
            (ColorType::La8, _) => PictureMode::GrayAlpha,
            (ColorType::Rgb8, _) => PictureMode::Rgb,
            (ColorType::Rgba8, _) => PictureMode::Rgba,
            (ColorType::L16, _) => PictureMode::Gray16,
            (ColorType::La16, _) => PictureMode::GrayAlpha16,
            (ColorType::Rgba16 | ColorType::Rgba32F, _) => PictureMode::Rgba16,
            _ => PictureMode::Rgb16,
        };
        let is_gray = |color: &[u8]| color[0] == color[1] && color[1] == color[2];
        let has_color = match &palette {
            Some(colors) => !colors.chunks_exact(3).all(is_gray),
            None => color_type.has_color(),
        };
        // Damaged metadata is no reason not to show a picture.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        Ok(Self {
            format,
            width: width as usize,
            height: height as usize,
            mode,
            has_color,
            has_alpha,
            orientation,
            source: Source::Other(decoder),
        })
    }

    /// Checks the size and turns it upright.
    fn info(&self) -> Result<PictureInfo, PictureError> {
        let &Self { format, width, height, mode, has_color, has_alpha, .. } = self;
        if width as u64 * height as u64 > MAX_PIXELS {
            return Err(PictureError::TooManyPixels { width, height });
        }
        if width == 0 || height == 0 {
            let reason = "it has no pixels".to_owned();
            return Err(PictureError::Undecodable { format, reason });
        }
        let (width, height) = match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        };
        Ok(PictureInfo { width, height, format, mode, has_color, has_alpha })
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

fn picture_error(format: PictureFormat, error: ImageError) -> PictureError {
    match error {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            PictureError::CutOff { format }
        }
        error => PictureError::Undecodable { format, reason: error.to_string() },
    }
}

/// A WebP file is one RIFF chunk. The decoder of lossy pictures does not notice if its end is missing.
fn check_riff_length(bytes: &[u8]) -> Result<(), PictureError> {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    let is_complete = length.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(length));
    if is_complete { Ok(()) } else { Err(PictureError::CutOff { format: PictureFormat::WebP }) }
}

/// The colors of a PNG picture with a palette.
fn png_palette(bytes: &[u8]) -> Option<Vec<u8>> {
    const INDEXED: u8 = 3;
    // The color type in the first chunk, the header.
    if bytes.get(25) != Some(&INDEXED) {
        return None;
    }
    let mut chunks = &bytes[8..];
    while let Some((head, rest)) = chunks.split_first_chunk::<8>() {
        let &[a, b, c, d, ref kind @ ..] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        match kind {
            b"PLTE" => return Some(rest.get(..length).unwrap_or_default().to_vec()),
            b"IDAT" => break,
            // Skips the checksum after the content, too.
            _ => chunks = rest.get(length.saturating_add(4)..).unwrap_or_default(),
        }
    }
    // The decoder reports the missing palette.
    Some(Vec::new())
}

/// The colors of the first frame of a GIF picture. Empty if the file is damaged, which the decoder reports.
fn gif_palette(bytes: &[u8]) -> &[u8] {
    const EXTENSION: u8 = 0x21;
    const FRAME: u8 = 0x2c;
    /// The colors after a descriptor whose flags are `flags`, and the rest; no colors if it has none.
    fn colors(flags: u8, rest: &[u8]) -> Option<(&[u8], &[u8])> {
        let count = if flags & 0x80 == 0 { 0 } else { 2 << (flags & 7) };
        rest.split_at_checked(3 * count)
    }
    let find = || {
        let (global, mut rest) = colors(*bytes.get(10)?, bytes.get(13..)?)?;
        loop {
            match *rest.first()? {
                EXTENSION => {
                    // Blocks of at most 255 bytes, each after its length. The last one is empty.
                    rest = rest.get(2..)?;
                    while let length @ 1.. = usize::from(*rest.first()?) {
                        rest = rest.get(1 + length..)?;
                    }
                    rest = &rest[1..];
                }
                FRAME => {
                    let (local, _) = colors(*rest.get(9)?, rest.get(10..)?)?;
                    return Some(if local.is_empty() { global } else { local });
                }
                _ => return None,
            }
        }
    };
    find().unwrap_or_default()
}

/// The number of channels without alpha, the pixels, and the alpha of a picture, with 8 bits each.
fn channels(picture: DynamicImage, has_color: bool) -> (usize, Vec<u8>, Option<Vec<u8>>) {
    let (has_alpha, is_gray) = (picture.has_alpha(), !picture.color().has_color());
    let (channels, pixels, alpha) = match (is_gray, has_alpha) {
        (true, false) => (1, picture.into_luma8().into_raw(), None),
        (true, true) => {
            let pixels = picture.into_luma_alpha8().into_raw();
            let (pixels, alpha) = pixels.chunks_exact(2).map(|pixel| (pixel[0], pixel[1])).unzip();
            (1, pixels, Some(alpha))
        }
        (false, false) => (3, picture.into_rgb8().into_raw(), None),
        (false, true) => {
            let pixels = picture.into_rgba8().into_raw();
            let alpha = pixels.chunks_exact(4).map(|pixel| pixel[3]).collect();
            let colors = pixels.chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
            (3, colors, Some(alpha))
        }
    };
    if channels == 3 && !has_color {
        // A palette of grays.
        return (1, pixels.chunks_exact(3).map(|pixel| pixel[0]).collect(), alpha);
    }
    (channels, pixels, alpha)
}
