//! Errors of IDX files.

use std::path::PathBuf;

use crate::ImageShape;

/// Why IDX files cannot be read as a dataset. Byte offsets refer to the decompressed content.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The content does not start with an IDX magic number.
    #[error("{path}: not an IDX file: bytes 0 and 1 must be 00 00, found {found}")]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// The first bytes, in hexadecimal.
        found: String,
    },

    /// The values have a type that these files cannot have.
    #[error(
        "{path}: byte 2 declares the element type 0x{code:02x}; images must have 0x08 (unsigned bytes), \
         labels 0x08, 0x0b or 0x0c (also 16- and 32-bit integers)"
    )]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The type code in the header.
        code: u8,
    },

    /// An image file that does not have three or four dimensions, or a label file that does not have one.
    #[error(
        "{path}: byte 3 declares {found} dimension(s), expected {expected} \
         (3 for images: count, height, width; 4 with channels; 1 for labels: count)"
    )]
    DimensionCount {
        /// The file.
        path: PathBuf,
        /// The number of dimensions in the header.
        found: u8,
        /// The number of dimensions of this kind of file.
        expected: usize,
    },

    /// A dimension is zero.
    #[error(
        "{path}: the header declares {dimensions} values; \
         the dimension at byte {offset} must be at least 1"
    )]
    EmptyDimension {
        /// The file.
        path: PathBuf,
        /// The byte offset of the zero.
        offset: u64,
        /// The dimensions in the header, such as `0 × 28 × 28`.
        dimensions: String,
    },

    /// The header declares more values than the limit.
    #[error(
        "{path}: the header declares {dimensions} values, at byte 4; at most {max_values} are \
         supported, so the header is damaged or this is not an IDX file of images or labels"
    )]
    HeaderTooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions in the header, such as `4294967295 × 28 × 28`.
        dimensions: String,
        /// The largest supported number of values.
        max_values: u64,
    },

    /// The content ends inside the header.
    #[error(
        "{path}: the content ends at byte {offset}, inside the header; \
         the file is truncated, download it again"
    )]
    TruncatedHeader {
        /// The file.
        path: PathBuf,
        /// The length of the content in bytes.
        offset: u64,
    },

    /// The content has fewer values than the header declares.
    #[error(
        "{path}: the content ends at byte {offset}, but the header declares {dimensions} values, \
         up to byte {expected}; the file is truncated or its header is damaged, download it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length of the content in bytes.
        offset: u64,
        /// The dimensions in the header.
        dimensions: String,
        /// The length in bytes that the header implies.
        expected: u64,
    },

    /// The content has more bytes than the header declares.
    #[error(
        "{path}: the content continues after byte {offset}, the end of the {dimensions} values \
         that the header declares; the header is damaged or files were concatenated, \
         download it again"
    )]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// The length in bytes that the header implies.
        offset: u64,
        /// The dimensions in the header.
        dimensions: String,
    },

    /// The number of labels is not the number of images.
    #[error(
        "{labels_path} has {labels} labels for the {images} images of {images_path}; \
         use two files of the same dataset"
    )]
    LabelCount {
        /// The file of images.
        images_path: PathBuf,
        /// Its number of images.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Its number of labels.
        labels: usize,
    },

    /// A label is not the index of a class.
    #[error(
        "{path}: row {row} (byte {offset}) has label {label}, \
         but there are {classes} classes, numbered from 0"
    )]
    LabelOutOfRange {
        /// The file of labels.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The byte offset of the label in the content.
        offset: usize,
        /// The label.
        label: i64,
        /// The number of classes.
        classes: usize,
    },

    /// Training and test images have different shapes.
    #[error(
        "{test_path} has images of {test}, {train_path} of {train}; both must have the same size"
    )]
    ShapesDiffer {
        /// The file of training images.
        train_path: PathBuf,
        /// Their shape.
        train: ImageShape,
        /// The file of test images.
        test_path: PathBuf,
        /// Their shape.
        test: ImageShape,
    },
}
