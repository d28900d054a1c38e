//! The images of a source, decoded one by one and brought to one shape.

use std::borrow::Cow;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::cache::{Decoded, Images};
use crate::formats::{Encoded, SourcePixels};
use crate::image_info;
use crate::parallel::in_parallel;
use crate::picture::{self, Fitting, Picture, PictureFormat, PictureInfo, fit, read_bytes};
use crate::{Broken, Channels, DataConfig, DataError, ImageShape, PictureMode};

/// The images of a source, and the shape to which they are brought.
pub(crate) struct SourceImages {
    pixels: SourcePixels,
    fitting: Fitting,
}

impl SourceImages {
    /// Completes what `config` says about the shape by what the images have. `name` is that of a row, for messages.
    ///
    /// # Errors
    ///
    /// The images differ in size, and `config` has none.
    pub(crate) fn new(
        mut pixels: SourcePixels,
        name: impl Fn(usize) -> String,
        config: &DataConfig,
    ) -> Result<Self, DataError> {
        let shape = match &mut pixels {
            SourcePixels::Array { shape, .. } => wanted_shape(*shape, config),
            SourcePixels::Encoded(pictures) => common_shape(pictures, name, config)?,
        };
        let fitting = Fitting { shape, resize: config.resize, background: config.background };
        Ok(Self { pixels, fitting })
    }

    /// The shape of the decoded images.
    pub(crate) fn shape(&self) -> ImageShape {
        self.fitting.shape
    }
}

impl Images for SourceImages {
    fn count(&self) -> usize {
        match &self.pixels {
            SourcePixels::Array { shape, pixels } => pixels.len() / shape.values(),
            SourcePixels::Encoded(pictures) => pictures.len(),
        }
    }

    fn decode(&self, row: usize, target: &mut [u8]) -> Result<Decoded, String> {
        match &self.pixels {
            SourcePixels::Array { shape, pixels } => {
                let planes = &pixels[row * shape.values()..][..shape.values()];
                if *shape == self.fitting.shape {
                    target.copy_from_slice(planes);
                    return Ok(Decoded { info: None, sha256: None });
                }
                fit(&picture_of_planes(*shape, planes), &self.fitting, target);
                let info = image_info::of_planes(*shape, planes);
                Ok(Decoded { info: Some(info), sha256: None })
            }
            SourcePixels::Encoded(pictures) => {
                let bytes = content(&pictures[row]).map_err(|error| reason(&error))?;
                let picture = picture::decode(&bytes).map_err(|error| reason(&error))?;
                fit(&picture, &self.fitting, target);
                let info = image_info::of_picture(&picture, bytes.len() as u64);
                Ok(Decoded { info: Some(info), sha256: Some(Sha256::digest(&bytes).into()) })
            }
        }
    }
}

/// The shape that `config` wants for images of this shape.
pub(crate) fn wanted_shape(shape: ImageShape, config: &DataConfig) -> ImageShape {
    let (height, width) =
        config.image.map_or((shape.height, shape.width), |size| (size.height, size.width));
    let channels = config.channels.map_or(shape.channels, |channels| channels.count());
    ImageShape { channels, height, width }
}

/// An image of an array, `[channels, height, width]`.
fn picture_of_planes(shape: ImageShape, planes: &[u8]) -> Picture {
    let ImageShape { channels, height, width } = shape;
    let plane = height * width;
    let pixels =
        (0..plane).flat_map(|at| (0..channels).map(move |channel| planes[at + channel * plane]));
    Picture {
        width,
        height,
        // The format matters only for messages about encoded pictures.
        format: PictureFormat::Bmp,
        mode: if channels == 1 { PictureMode::Gray } else { PictureMode::Rgb },
        channels,
        pixels: pixels.collect(),
        alpha: None,
        is_rotated: false,
    }
}

/// Files that were read for their headers stay in memory up to this size, so that they are not read again.
const MAX_KEPT_BYTES: usize = 256 << 20;

/// The shape that `config` wants, completed by what the pictures have. The content of small files replaces their paths.
fn common_shape(
    pictures: &mut [Encoded],
    name: impl Fn(usize) -> String,
    config: &DataConfig,
) -> Result<ImageShape, DataError> {
    if let (Some(size), Some(channels)) = (config.image, config.channels) {
        let channels = channels.count();
        return Ok(ImageShape { channels, height: size.height, width: size.width });
    }
    // Pictures that cannot be read are reported when they are decoded.
    let kept_bytes = AtomicUsize::new(0);
    let has_color = AtomicBool::new(false);
    let is_decodable = |bytes: &[u8]| picture::decode(bytes).is_ok();
    // A picture that will be skipped decides nothing.
    let counts = |bytes: &[u8]| config.broken == Broken::Error || is_decodable(bytes);
    let headers = in_parallel(pictures.len(), 16, |row| {
        if config.image.is_some() && has_color.load(Ordering::Relaxed) {
            // There is nothing more to find out.
            return None;
        }
        let bytes = content(&pictures[row]).ok()?;
        let info = picture::size(&bytes).ok()?;
        if info.has_color && !has_color.load(Ordering::Relaxed) && counts(&bytes) {
            has_color.store(true, Ordering::Relaxed);
        }
        let keep = |bytes: &Vec<u8>| {
            kept_bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() <= MAX_KEPT_BYTES
        };
        let kept = match bytes {
            Cow::Owned(bytes) => Some(bytes).filter(keep),
            Cow::Borrowed(_) => None,
        };
        Some((info, kept))
    });
    let mut known: Vec<(usize, PictureInfo)> = Vec::with_capacity(pictures.len());
    for (row, header) in headers.into_iter().enumerate() {
        let Some((info, kept)) = header else { continue };
        known.push((row, info));
        if let Some(bytes) = kept {
            pictures[row] = Encoded::Bytes(bytes);
        }
    }
    let pictures = &*pictures;
    let found = if has_color.into_inner() { 3 } else { 1 };
    let channels = config.channels.map_or(found, Channels::count);
    if let Some(size) = config.image {
        return Ok(ImageShape { channels, height: size.height, width: size.width });
    }
    let differ = |known: &[(usize, PictureInfo)]| {
        known.windows(2).any(|pair| {
            let [one, other] = [pair[0].1, pair[1].1].map(|info| (info.height, info.width));
            one != other
        })
    };
    if differ(&known) {
        let counts = in_parallel(known.len(), 16, |at| {
            content(&pictures[known[at].0]).is_ok_and(|bytes| counts(&bytes))
        });
        let mut counts = counts.into_iter();
        known.retain(|_| counts.next() == Some(true));
    }
    let Some((_, first)) = known.first() else {
        // Nothing can be decoded.
        return Ok(ImageShape { channels, height: 1, width: 1 });
    };
    if differ(&known) {
        let pixels = |(_, info): &&(usize, PictureInfo)| info.height * info.width;
        let described = |(row, info): &(usize, PictureInfo)| {
            format!("{}×{} ({})", info.width, info.height, name(*row))
        };
        return Err(DataError::SizesDiffer {
            smallest: known.iter().min_by_key(pixels).map(described).unwrap_or_default(),
            largest: known.iter().max_by_key(pixels).map(described).unwrap_or_default(),
        });
    }
    Ok(ImageShape { channels, height: first.height, width: first.width })
}

fn content(encoded: &Encoded) -> Result<Cow<'_, [u8]>, DataError> {
    match encoded {
        Encoded::File(path) => read_bytes(path).map(Cow::Owned),
        Encoded::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
    }
}

/// An error and its causes, in one line.
fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
