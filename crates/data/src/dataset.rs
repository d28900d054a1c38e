//! Images and labels in memory.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::path::PathBuf;
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::image_info::{self, ImageInfo};

/// The shape of one image. Displays as `28×28`, or as `3×32×32` with more than one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for gray images, 3 for RGB.
    pub channels: usize,
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
}

impl ImageShape {
    /// The number of values in one image: channels × height × width.
    #[must_use]
    pub const fn values(self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.channels != 1 {
            write!(formatter, "{}×", self.channels)?;
        }
        write!(formatter, "{}×{}", self.height, self.width)
    }
}

/// The pixels of images: bytes, row-major. Dereferences to a slice.
#[derive(Clone)]
pub struct Pixels(Storage);

#[derive(Clone)]
enum Storage {
    Memory(Vec<u8>),
    /// A part of a file that is mapped into memory.
    Map(Arc<Mmap>, Range<usize>),
}

impl Pixels {
    /// A part of a mapped file.
    ///
    /// # Panics
    ///
    /// The file does not have these bytes.
    pub(crate) fn mapped(map: Arc<Mmap>, bytes: Range<usize>) -> Self {
        assert!(map.get(bytes.clone()).is_some(), "the file is too short");
        Self(Storage::Map(map, bytes))
    }

    /// Whether the pixels are in a file that is mapped into memory, and not in memory of this process.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Storage::Map(..))
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Storage::Memory(bytes))
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Storage::Memory(bytes) => bytes,
            Storage::Map(map, range) => &map[range.clone()],
        }
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Pixels {}

/// Images of one shape and their labels.
///
/// Pixels stay bytes, which take a quarter of the memory of `f32`. [`gather`](crate::gather) converts
/// one batch at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabeledImages {
    /// The shape of every image.
    pub shape: ImageShape,
    /// `[n, channels, height, width]`, row-major.
    pub pixels: Pixels,
    /// `[n]`: the label of each image, an index into the class names of the dataset.
    pub labels: Vec<u16>,
}

impl LabeledImages {
    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of one image: `[channels, height, width]`, row-major.
    ///
    /// # Panics
    ///
    /// The row does not exist.
    #[must_use]
    pub fn image(&self, row: usize) -> &[u8] {
        let values = self.shape.values();
        &self.pixels[row * values..][..values]
    }
}

/// The purpose for which the source of a dataset provides an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Training; validation and test rows may be split from it.
    Training,
    /// Validation.
    Validation,
    /// Testing.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Training => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// The rows of each part of a dataset. Together, they are all rows, in this order. A part that the source does not have is
/// empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Never empty.
    pub training: Range<u32>,
    /// The rows that the source provides for validation.
    pub validation: Range<u32>,
    /// The rows that the source provides for testing.
    pub test: Range<u32>,
}

impl Parts {
    /// Parts with these numbers of rows.
    ///
    /// # Panics
    ///
    /// The sum is above `u32::MAX`.
    #[must_use]
    pub fn new(training: usize, validation: usize, test: usize) -> Self {
        let row = |row: usize| u32::try_from(row).expect("a dataset has at most u32::MAX rows");
        let (first, second) = (row(training), row(training + validation));
        Self {
            training: 0..first,
            validation: first..second,
            test: second..row(training + validation + test),
        }
    }

    /// The rows of a part.
    #[must_use]
    pub fn of(&self, part: Part) -> Range<u32> {
        match part {
            Part::Training => self.training.clone(),
            Part::Validation => self.validation.clone(),
            Part::Test => self.test.clone(),
        }
    }

    /// The part of a row.
    #[must_use]
    pub fn part_of(&self, row: u32) -> Part {
        if row < self.training.end {
            Part::Training
        } else if row < self.validation.end {
            Part::Validation
        } else {
            Part::Test
        }
    }
}

/// A complete, checked dataset: each image has a label, each label has a class name, and all images have the same shape.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The name of a listed dataset, or else of the directory or file.
    pub name: String,
    /// The full name and the subject of a listed dataset.
    pub title: Option<&'static str>,
    /// The format that it was read as: a value of `data.format`.
    pub format: &'static str,
    /// The class of each label, in order.
    pub class_names: Vec<String>,
    /// All images, part by part.
    pub images: LabeledImages,
    /// Which of the images belong to which part.
    pub parts: Parts,
    /// The file of each image, relative to the dataset; `None` for arrays of pixels.
    pub file_names: Option<Vec<String>>,
    /// Facts about each image, if it was decoded from a file. See [`info`](Self::info).
    pub info: Option<Vec<ImageInfo>>,
    /// Images that could not be read and are not part of the dataset, with `data.broken = "skip"`.
    pub skipped: Vec<SkippedFile>,
    /// Notes for the user about how the dataset was read, as sentences without a final full stop.
    pub notes: Vec<String>,
    /// A SHA-256 over all images, labels and class names, in hexadecimal. It does not depend on the
    /// directory, the file names of arrays or their compression.
    pub fingerprint: String,
}

impl Dataset {
    /// Facts about each image. For arrays, it is computed by this call.
    #[must_use]
    pub fn info(&self) -> Cow<'_, [ImageInfo]> {
        match &self.info {
            Some(info) => Cow::Borrowed(info),
            None => Cow::Owned(image_info::of_arrays(self.images.shape, &self.images.pixels)),
        }
    }
}

/// An image that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// The file, relative to the dataset.
    pub path: PathBuf,
    /// Why, as a phrase without a final full stop.
    pub reason: String,
}
