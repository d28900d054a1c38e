//! Decodes all pictures of a dataset.

use std::borrow::Cow;
use std::error::Error;

use sha2::{Digest, Sha256};

use crate::content::hexadecimal;
use crate::formats::Encoded;
use crate::image_info::in_parallel;
use crate::picture::{self, Fitting, PictureInfo, decode, fit, read_bytes};
use crate::{Broken, DataConfig, DataError, ImageShape, Part, SkippedFile};

/// The encoded pictures of a dataset, row by row.
pub(crate) struct EncodedRows {
    pub(crate) pictures: Vec<Encoded>,
    pub(crate) labels: Vec<u16>,
    pub(crate) parts: Vec<Part>,
    /// The file of each row, or empty.
    pub(crate) names: Vec<String>,
}

/// The decoded pictures, without those that were skipped.
pub(crate) struct Decoded {
    pub(crate) shape: ImageShape,
    /// `[n, channels, height, width]`.
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<u16>,
    pub(crate) parts: Vec<Part>,
    pub(crate) names: Vec<String>,
    pub(crate) skipped: Vec<SkippedFile>,
    /// Also depends on the pictures that were skipped.
    pub(crate) fingerprint: String,
}

/// Decodes all pictures and brings them to the shape of `config`.
///
/// # Errors
///
/// The pictures differ in size and `config` has none, or pictures cannot be read and `config` does not skip them.
pub(crate) fn decode_all(
    rows: EncodedRows,
    class_names: &[String],
    config: &DataConfig,
) -> Result<Decoded, DataError> {
    let EncodedRows { pictures, labels, parts, names } = rows;
    let name = |row: usize| names.get(row).cloned().unwrap_or_else(|| format!("row {row}"));
    let fitting = Fitting {
        shape: common_shape(&pictures, &name, config)?,
        resize: config.resize,
        background: config.background,
    };
    let values = fitting.shape.values();
    let results = in_parallel(pictures.len(), |row| {
        let bytes = match content(&pictures[row]) {
            Ok(bytes) => bytes,
            Err(error) => return ([0; 32], Err(reason(&error))),
        };
        let sum: [u8; 32] = Sha256::digest(&bytes).into();
        let pixels = decode(&bytes).map_err(|error| reason(&error)).map(|picture| {
            let mut pixels = vec![0; values];
            fit(&picture, &fitting, &mut pixels);
            pixels
        });
        (sum, pixels)
    });

    let mut sum = Sha256::new();
    sum.update((class_names.len() as u64).to_be_bytes());
    for name in class_names {
        update(&mut sum, name);
    }
    let mut decoded = Decoded {
        shape: fitting.shape,
        pixels: Vec::with_capacity(values * results.len()),
        labels: Vec::with_capacity(results.len()),
        parts: Vec::with_capacity(results.len()),
        names: Vec::with_capacity(results.len()),
        skipped: Vec::new(),
        fingerprint: String::new(),
    };
    for (row, (content, pixels)) in results.into_iter().enumerate() {
        let name = name(row);
        sum.update(labels[row].to_be_bytes());
        sum.update([parts[row] as u8]);
        update(&mut sum, &name);
        sum.update(content);
        match pixels {
            Ok(pixels) => {
                decoded.pixels.extend(pixels);
                decoded.labels.push(labels[row]);
                decoded.parts.push(parts[row]);
                decoded.names.push(name);
            }
            Err(reason) => decoded.skipped.push(SkippedFile { path: name.into(), reason }),
        }
    }
    decoded.fingerprint = hexadecimal(&sum.finalize());
    if config.broken == Broken::Error && !decoded.skipped.is_empty() {
        return Err(DataError::BrokenImages { files: decoded.skipped });
    }
    Ok(decoded)
}

/// A text with its length, which separates it from the next one.
fn update(sum: &mut Sha256, text: &str) {
    sum.update((text.len() as u64).to_be_bytes());
    sum.update(text);
}

/// The shape that `config` wants, completed by what the pictures have.
fn common_shape(
    pictures: &[Encoded],
    name: &(impl Fn(usize) -> String + Sync),
    config: &DataConfig,
) -> Result<ImageShape, DataError> {
    if let (Some(size), Some(channels)) = (config.image, config.channels) {
        let channels = channels.count();
        return Ok(ImageShape { channels, height: size.height, width: size.width });
    }
    // Pictures that cannot be read are reported when they are decoded.
    let infos = in_parallel(pictures.len(), |row| {
        content(&pictures[row]).ok().and_then(|bytes| picture::size(&bytes).ok())
    });
    let known: Vec<(usize, PictureInfo)> = infos
        .into_iter()
        .enumerate()
        .filter_map(|(row, info)| info.map(|info| (row, info)))
        .collect();
    let has_color = known.iter().any(|(_, info)| info.has_color);
    let channels =
        config.channels.map_or(if has_color { 3 } else { 1 }, |channels| channels.count());
    if let Some(size) = config.image {
        return Ok(ImageShape { channels, height: size.height, width: size.width });
    }
    let Some((_, first)) = known.first() else {
        // Nothing can be decoded.
        return Ok(ImageShape { channels, height: 1, width: 1 });
    };
    if known.iter().any(|(_, info)| (info.height, info.width) != (first.height, first.width)) {
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
