//! Images and labels in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// Images of one shape and their labels.
///
/// Pixels stay bytes, which take a quarter of the memory of `f32`. [`gather`](crate::gather) converts
/// one batch at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabeledImages {
    /// The shape of every image.
    pub shape: ImageShape,
    /// `[n, channels, height, width]`, row-major.
    pub pixels: Vec<u8>,
    /// `[n]`: the label of each image, an index into the class names of the dataset.
    pub labels: Vec<u8>,
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

/// A complete, checked dataset: each image has a label, each label has a class name, and training
/// and test images have the same shape.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The name of a listed dataset, or else of the directory.
    pub name: String,
    /// The full name and the subject of a listed dataset.
    pub title: Option<&'static str>,
    /// The class of each label, in order.
    pub class_names: Vec<String>,
    /// The rows for training and validation.
    pub train: LabeledImages,
    /// The rows for testing.
    pub test: LabeledImages,
    /// A SHA-256 over all images, labels and class names, in hexadecimal. It does not depend on the
    /// directory, the file names or the compression.
    pub fingerprint: String,
}
