//! The common part of the formats of arrays: the axes of an image, labels that become classes, and the fingerprint.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Contents, SourcePixels};
use crate::class_names::{MAX_CLASSES, numbered, read_class_names};
use crate::content::hexadecimal;
use crate::natural_order;
use crate::{Channels, DataConfig, DataError, ImageShape, Layout, Part};

/// Limit for the bytes of the pixels of a dataset.
pub(crate) const MAX_PIXEL_BYTES: u64 = 64 << 30;

/// Limit for the rows of a dataset, which are numbered with 32 bits.
pub(crate) const MAX_ROWS: usize = u32::MAX as usize;

/// An error about the content of a file. `place` is the position in the file: empty, `:LINE`, or `, array NAME`.
pub(crate) fn invalid(
    path: &Path,
    place: impl Into<String>,
    problem: impl Into<String>,
) -> DataError {
    DataError::InvalidContent {
        path: path.to_owned(),
        place: place.into(),
        problem: problem.into(),
    }
}

/// How the values of one image are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axes {
    pub(crate) shape: ImageShape,
    /// Whether the channels of a pixel are next to each other, as in Keras; else each channel is a plane, as in PyTorch.
    pub(crate) channels_last: bool,
}

impl Axes {
    /// The axes of images with these dimensions, without the number of images.
    ///
    /// # Errors
    ///
    /// The problem, and the key that decides it.
    pub(crate) fn of(dimensions: &[usize], config: &DataConfig) -> Result<Self, String> {
        if dimensions.contains(&0) {
            return Err("an image has no pixels".to_owned());
        }
        let axes = |channels, height, width, channels_last| Self {
            shape: ImageShape { channels, height, width },
            channels_last,
        };
        match (dimensions, config.layout) {
            (&[height, width], None | Some(Layout::Nhw)) => Ok(axes(1, height, width, true)),
            (&[_, _], Some(layout)) => Err(format!(
                "the images have two axes, so layout = \"{layout}\" does not apply; remove data.layout"
            )),
            (&[first, middle, last], layout) => {
                let is_channels = |size| matches!(size, 1 | 3);
                let nhwc = is_channels(last).then(|| axes(last, first, middle, true));
                let nchw = is_channels(first).then(|| axes(first, middle, last, false));
                let dimensions = format!("{first}×{middle}×{last}");
                let wrong = |layout: Layout, channels| {
                    format!(
                        "layout = \"{layout}\" does not fit images of {dimensions}: it gives {channels} channels, not 1 or 3"
                    )
                };
                match (layout, nhwc, nchw) {
                    (Some(Layout::Nhwc), nhwc, _) => nhwc.ok_or_else(|| wrong(Layout::Nhwc, last)),
                    (Some(Layout::Nchw), _, nchw) => nchw.ok_or_else(|| wrong(Layout::Nchw, first)),
                    (Some(Layout::Nhw), ..) => Err(format!(
                        "layout = \"nhw\" does not fit images of {dimensions}, which have three axes; \
                         set data.layout = \"nhwc\" or \"nchw\""
                    )),
                    (None, Some(axes), None) | (None, None, Some(axes)) => Ok(axes),
                    (None, Some(last), Some(first)) => Err(format!(
                        "images of {dimensions} can be {} or {}; set data.layout = \"nhwc\" (height, width, channels) \
                         or data.layout = \"nchw\" (channels, height, width)",
                        describe(last.shape),
                        describe(first.shape),
                    )),
                    (None, None, None) => Err(format!(
                        "images of {dimensions} have neither 1 nor 3 channels; \
                         convert them to gray (1 channel) or RGB (3 channels)"
                    )),
                }
            }
            (dimensions, _) => Err(format!(
                "an image must have 2 axes (height, width) or 3 (with channels), found {}",
                dimensions.len()
            )),
        }
    }

    /// The axes of images that are rows of `values` numbers: those of `image` and `channels` if they fit, or else square.
    ///
    /// # Errors
    ///
    /// The problem, and the key that decides it.
    pub(crate) fn of_row(values: usize, config: &DataConfig) -> Result<Self, String> {
        let channels = config.channels.map(Channels::count);
        let asked = config.image.and_then(|size| {
            let pixels = size.height * size.width;
            let fits = |count: &usize| {
                pixels * count == values && (channels.is_none() || channels == Some(*count))
            };
            // A dataset of gray images can be converted to RGB, and the other way around.
            let channels = [1, 3].into_iter().find(fits);
            let channels = channels.or([1, 3].into_iter().find(|count| pixels * count == values));
            channels.map(|channels| ImageShape { channels, height: size.height, width: size.width })
        });
        let square = |channels: usize| {
            let side = (values / channels).isqrt();
            let fits = values > 0 && side * side * channels == values;
            fits.then_some(ImageShape { channels, height: side, width: side })
        };
        // No number is both a square and three times a square.
        let Some(shape) = asked.or_else(|| square(1)).or_else(|| square(3)) else {
            return Err(format!(
                "rows of {values} values are not square images; set data.image = [height, width] and data.channels = 1 or 3"
            ));
        };
        match (shape.channels, config.layout) {
            (1, _) => Ok(Self { shape, channels_last: true }),
            (_, Some(Layout::Nhwc)) => Ok(Self { shape, channels_last: true }),
            (_, Some(Layout::Nchw)) => Ok(Self { shape, channels_last: false }),
            _ => Err(format!(
                "rows of {values} values are RGB images of {}×{}; set data.layout = \"nhwc\" if the three colors of a pixel \
                 are next to each other, or data.layout = \"nchw\" if each color is a plane",
                shape.height, shape.width
            )),
        }
    }

    /// Appends images to `pixels` as planes. `values` are complete images.
    pub(crate) fn append(self, values: &[u8], pixels: &mut Vec<u8>) {
        let ImageShape { channels, height, width } = self.shape;
        if channels == 1 || !self.channels_last {
            pixels.extend_from_slice(values);
            return;
        }
        for image in values.chunks_exact(channels * height * width) {
            for channel in 0..channels {
                pixels.extend(image.iter().skip(channel).step_by(channels));
            }
        }
    }
}

/// "28×28 gray" or "32×32 RGB".
pub(crate) fn describe(shape: ImageShape) -> String {
    let color = if shape.channels == 1 { "gray" } else { "RGB" };
    format!("{}×{} {color}", shape.height, shape.width)
}

/// Reserves memory for more pixels, as `Vec` does, but without a panic.
pub(crate) fn reserve(pixels: &mut Vec<u8>, more: usize, path: &Path) -> Result<(), DataError> {
    let total = pixels.len() as u64 + more as u64;
    if total > MAX_PIXEL_BYTES {
        return Err(invalid(path, "", "the images have more than 64 GiB of pixels"));
    }
    pixels
        .try_reserve(more)
        .map_err(|_| DataError::OutOfMemory { path: path.to_owned(), bytes: total })
}

/// The labels of one part as they are in the source: numbers, or texts that are class names.
pub(crate) struct PartLabels {
    pub(crate) part: Part,
    /// The file, and the place in it, for messages.
    pub(crate) path: PathBuf,
    pub(crate) place: String,
    pub(crate) labels: Labels,
}

/// Labels of rows.
pub(crate) enum Labels {
    /// Indices into the class names.
    Numbers(Vec<i64>),
    /// Texts.
    Texts(Texts),
}

impl Labels {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.rows.len(),
        }
    }
}

/// Texts of rows, each distinct one stored once.
#[derive(Default)]
pub(crate) struct Texts {
    distinct: Vec<String>,
    index: HashMap<String, u32>,
    rows: Vec<u32>,
}

impl Texts {
    /// Appends the text of a row. Returns `false` if there are too many distinct ones.
    pub(crate) fn push(&mut self, text: &str) -> bool {
        let index = match self.index.get(text) {
            Some(index) => *index,
            None if self.distinct.len() == MAX_CLASSES => return false,
            None => {
                let index = self.distinct.len() as u32;
                self.distinct.push(text.to_owned());
                self.index.insert(text.to_owned(), index);
                index
            }
        };
        self.rows.push(index);
        true
    }

    /// The number of each row if all texts are whole numbers.
    pub(crate) fn numbers(&self) -> Option<Vec<i64>> {
        let numbers: Vec<i64> =
            self.distinct.iter().map(|text| whole_number(text)).collect::<Option<_>>()?;
        Some(self.rows.iter().map(|row| numbers[*row as usize]).collect())
    }
}

/// The value of a text such as `7` or `7.0`.
pub(crate) fn whole_number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

/// The labels of all rows as indices into class names.
pub(crate) struct Classes {
    pub(crate) names: Vec<String>,
    pub(crate) labels: Vec<u16>,
    pub(crate) parts: Vec<Part>,
}

impl Classes {
    /// Classes for the labels of the parts, which are in the order of [`Part`]. `names` are those that the source states.
    pub(crate) fn new(parts: &[PartLabels], names: Option<Vec<String>>) -> Result<Self, DataError> {
        let rows: Vec<Part> = parts
            .iter()
            .flat_map(|part| std::iter::repeat_n(part.part, part.labels.len()))
            .collect();
        let numbers: Option<Vec<Vec<i64>>> = parts
            .iter()
            .map(|part| match &part.labels {
                Labels::Numbers(numbers) => Some(numbers.clone()),
                Labels::Texts(texts) => texts.numbers(),
            })
            .collect();
        // Texts such as `4` are names if the source states names like this.
        let is_named = |numbers: &Vec<Vec<i64>>| {
            names.as_ref().is_some_and(|names| {
                let largest = numbers.iter().flatten().max();
                largest.is_some_and(|largest| *largest >= names.len() as i64)
                    && numbers.iter().flatten().all(|n| names.contains(&n.to_string()))
            })
        };
        match numbers.filter(|numbers| !is_named(numbers)) {
            Some(numbers) => {
                let (names, labels) = numbered_classes(parts, &numbers, names)?;
                Ok(Self { names, labels, parts: rows })
            }
            None => {
                let (names, labels) = named_classes(parts, names)?;
                Ok(Self { names, labels, parts: rows })
            }
        }
    }

    /// The contents of a dataset of arrays. `pixels` are planes.
    pub(crate) fn with_pixels(
        self,
        shape: ImageShape,
        pixels: Vec<u8>,
        notes: Vec<String>,
    ) -> Contents {
        debug_assert_eq!(pixels.len(), self.labels.len() * shape.values());
        let fingerprint = self.fingerprint(shape, &pixels);
        Contents {
            class_names: self.names,
            labels: self.labels,
            parts: self.parts,
            pixels: SourcePixels::Array { shape, pixels },
            file_names: None,
            notes,
            fingerprint: Some(fingerprint),
        }
    }

    /// A SHA-256 over class names, labels, parts, shape and pixels. It is the same for the same images in another format.
    fn fingerprint(&self, shape: ImageShape, pixels: &[u8]) -> String {
        let mut sum = Sha256::new();
        sum.update(b"kiln arrays 1");
        let mut number = |number: usize| sum.update((number as u64).to_be_bytes());
        number(self.names.len());
        [shape.channels, shape.height, shape.width].into_iter().for_each(&mut number);
        for part in [Part::Training, Part::Validation, Part::Test] {
            number(self.parts.iter().filter(|of| **of == part).count());
        }
        // Lengths separate the names: `a`, `bc` must differ from `ab`, `c`.
        for name in &self.names {
            sum.update((name.len() as u64).to_be_bytes());
            sum.update(name);
        }
        let labels: Vec<u8> = self.labels.iter().flat_map(|label| label.to_be_bytes()).collect();
        sum.update(&labels);
        sum.update(pixels);
        hexadecimal(&sum.finalize())
    }
}

fn numbered_classes(
    parts: &[PartLabels],
    numbers: &[Vec<i64>],
    names: Option<Vec<String>>,
) -> Result<(Vec<String>, Vec<u16>), DataError> {
    let classes = match &names {
        Some(names) => names.len(),
        None => {
            let largest = numbers.iter().flatten().max().copied().unwrap_or(0);
            usize::try_from(largest).unwrap_or(0).saturating_add(1).min(MAX_CLASSES)
        }
    };
    let mut labels = Vec::new();
    for (part, numbers) in parts.iter().zip(numbers) {
        for (row, number) in numbers.iter().enumerate() {
            match u16::try_from(*number) {
                Ok(label) if usize::from(label) < classes => labels.push(label),
                _ => {
                    let stated = if names.is_some() {
                        format!("there are {classes} class names, numbered from 0")
                    } else {
                        "labels are whole numbers from 0 to 65535".to_owned()
                    };
                    let problem = format!("row {row} (from 0) has label {number}, but {stated}");
                    return Err(invalid(&part.path, part.place.clone(), problem));
                }
            }
        }
    }
    Ok((names.unwrap_or_else(|| numbered(classes)), labels))
}

fn named_classes(
    parts: &[PartLabels],
    names: Option<Vec<String>>,
) -> Result<(Vec<String>, Vec<u16>), DataError> {
    /// The distinct texts of the labels, and the index of each row's text among them.
    fn indexed(labels: &Labels) -> (Vec<String>, Vec<u32>) {
        let mut of_numbers = Texts::default();
        let texts = match labels {
            Labels::Texts(texts) => texts,
            Labels::Numbers(numbers) => {
                // Stops at the limit, which is an error below.
                let _ = numbers.iter().all(|number| of_numbers.push(&number.to_string()));
                &of_numbers
            }
        };
        (texts.distinct.clone(), texts.rows.clone())
    }

    let indexed: Vec<(Vec<String>, Vec<u32>)> =
        parts.iter().map(|part| indexed(&part.labels)).collect();
    let (names, stated) = match names {
        Some(names) => (names, "the list of classes does not have it"),
        None => {
            let of_part = parts.iter().zip(&indexed);
            let training = of_part.filter(|(part, _)| part.part == Part::Training);
            let mut names: Vec<String> =
                training.flat_map(|(_, (texts, _))| texts.iter().cloned()).collect();
            names.sort_unstable();
            names.dedup();
            names.sort_by(|left, right| natural_order::compare(left, right));
            (names, "no training image has it")
        }
    };
    let index: HashMap<&str, u16> =
        names.iter().zip(0..=u16::MAX).map(|(name, label)| (name.as_str(), label)).collect();
    let mut labels = Vec::new();
    for (part, (texts, rows)) in parts.iter().zip(&indexed) {
        if rows.len() < part.labels.len() {
            let problem = "more than 65,536 different labels";
            return Err(invalid(&part.path, part.place.clone(), problem));
        }
        let known: Vec<Option<u16>> =
            texts.iter().map(|text| index.get(text.as_str()).copied()).collect();
        for (row, text) in rows.iter().enumerate() {
            let Some(label) = known[*text as usize] else {
                let text = &texts[*text as usize];
                let problem = format!("row {row} (from 0) has the class `{text}`, but {stated}");
                return Err(invalid(&part.path, part.place.clone(), problem));
            };
            labels.push(label);
        }
    }
    Ok((names, labels))
}

/// The names in `classes.txt` in the directory, if it is there.
pub(crate) fn class_list(directory: &Path) -> Result<Option<Vec<String>>, DataError> {
    let path = directory.join("classes.txt");
    if path.is_file() { read_class_names(&path).map(Some) } else { Ok(None) }
}
