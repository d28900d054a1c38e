//! Images and labels in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The shape of one image. Displays as `28×28`, with more than one channel as `3×32×32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for grey images, 3 for colour.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
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

/// Images of one shape, and the class of each.
///
/// Images stay the bytes that they were in the file, a quarter of what they take as `f32`; a
/// [`Batch`](crate::Batch) becomes `f32` when it is gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    /// The shape of every image.
    pub shape: ImageShape,
    /// One image after another, each by channel, then by row, then by column.
    pub pixels: Vec<u8>,
    /// The label of each image: an index into the dataset's class names.
    pub labels: Vec<u8>,
}

impl LabelledImages {
    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of one image.
    ///
    /// # Panics
    ///
    /// There is no such row.
    #[must_use]
    pub fn image(&self, row: usize) -> &[u8] {
        let values = self.shape.values();
        &self.pixels[row * values..][..values]
    }
}

/// A dataset that was read and checked: as many labels as images, a class name for every label, and
/// test images of the same shape as the training images.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The listed name, or the name of the directory.
    pub name: String,
    /// The name and the subject, where the dataset is a listed one.
    pub title: Option<&'static str>,
    /// The class of each label, in order.
    pub class_names: Vec<String>,
    /// What is trained and validated on.
    pub train: LabelledImages,
    /// What is tested on, once.
    pub test: LabelledImages,
    /// A SHA-256, in hexadecimal, that is the same for the same images, labels and class names,
    /// wherever and however they are stored, and another for any other.
    pub fingerprint: String,
}
