//! What can be wrong with data, each with its place and a way out.

use std::io;
use std::path::PathBuf;

use crate::{ImageShape, Validation};

/// Why data could not be read, split or normalised.
///
/// A message names the file, the place in it where there is one, and what to do. Offsets count the
/// bytes of a file's content: where the file is compressed, of what `gzip -dc` prints. Causes (an
/// I/O error, a decoder's complaint) are not in the message: they follow in the chain of
/// [`source`](std::error::Error::source)s.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// The source is neither a listed name nor a directory.
    #[error(
        "no dataset is called `{name}`{suggestion}; known: {known}. \
         A directory of IDX files is given by its path, such as `./{name}`",
        suggestion = did_you_mean(.nearest)
    )]
    UnknownDataset {
        /// The source as it was written.
        name: String,
        /// The listed name most like it, if one is like it at all.
        nearest: Option<&'static str>,
        /// All listed names, separated by commas.
        known: String,
    },

    /// The source is written as a path, and no directory is there.
    #[error("{path} is not a directory; give the directory that holds the four IDX files")]
    NotADirectory {
        /// The path as it was written.
        path: PathBuf,
    },

    /// One of the four files of a dataset is not there.
    #[error("{path} is missing (so is {path}.gz); {advice}")]
    MissingFile {
        /// Where the uncompressed file would be.
        path: PathBuf,
        /// Where to get it, or what a directory must hold.
        advice: String,
    },

    /// The content does not begin with an IDX magic number.
    #[error("{path}: not an IDX file: bytes 0 and 1 should be 00 00, found {found}")]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// The first bytes, in hexadecimal.
        found: String,
    },

    /// The values are not unsigned bytes.
    #[error(
        "{path}: byte 2 gives the element type 0x{code:02x}; \
         only 0x08 (unsigned bytes) can be read"
    )]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The type code found.
        code: u8,
    },

    /// An image file that is not three-dimensional, or a label file that is not a list.
    #[error(
        "{path}: byte 3 gives {found} dimension(s), expected {expected} \
         (3 for images: count, height, width; 1 for labels: count)"
    )]
    DimensionCount {
        /// The file.
        path: PathBuf,
        /// The number of dimensions that the header gives.
        found: u8,
        /// The number that this kind of file has.
        expected: usize,
    },

    /// A dimension is zero: no images, or images without pixels.
    #[error(
        "{path}: the header claims {claim} values; the dimension at byte {offset} must be at least 1"
    )]
    EmptyDimension {
        /// The file.
        path: PathBuf,
        /// Where the zero stands.
        offset: u64,
        /// The dimensions, such as `0 × 28 × 28`.
        claim: String,
    },

    /// The header claims more than is ever read.
    #[error(
        "{path}: the header claims {claim} values, at byte 4; at most {ceiling} are read from one \
         file, so the header is damaged or this is not the file it should be"
    )]
    ClaimTooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions, such as `4294967295 × 28 × 28`.
        claim: String,
        /// The largest number of values that is read.
        ceiling: u64,
    },

    /// The content ends before the header does.
    #[error(
        "{path}: the content ends at byte {offset}, inside the header; \
         the file is cut off, get it again"
    )]
    TruncatedHeader {
        /// The file.
        path: PathBuf,
        /// Where the content ends.
        offset: u64,
    },

    /// The content ends before the values that the header claims.
    #[error(
        "{path}: the content ends at byte {offset}, but the header claims {claim} values, \
         up to byte {expected}; the file is cut off or its header is damaged, get it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where the content ends.
        offset: u64,
        /// The dimensions that the header gives.
        claim: String,
        /// Where the content should end.
        expected: u64,
    },

    /// The content goes on behind the values that the header claims.
    #[error(
        "{path}: the content goes on after byte {offset}, where the {claim} values that the header \
         claims end; the header is damaged or files were joined, get it again"
    )]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Where the content should end.
        offset: u64,
        /// The dimensions that the header gives.
        claim: String,
    },

    /// The gzip container is damaged or cut off.
    #[error(
        "{path}: the gzip data is damaged or cut off, after {offset} decompressed bytes; \
         get the file again"
    )]
    Gzip {
        /// The file.
        path: PathBuf,
        /// How many bytes were decompressed before.
        offset: u64,
        /// What the decompressor said.
        source: io::Error,
    },

    /// There is no memory for a file's content.
    #[error("{path}: not enough memory for its content of {bytes} bytes")]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// The size of the content.
        bytes: u64,
    },

    /// A file of a named dataset is not the published one.
    #[error(
        "{path} is not the published file: the SHA-256 of its content is {found}, not {expected}; \
         get it again from {origin}"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published sum.
        expected: &'static str,
        /// The sum of what was read.
        found: String,
        /// Where the dataset is published.
        origin: &'static str,
    },

    /// Images and labels do not pair up.
    #[error(
        "{labels_path} holds {labels} labels for the {images} images in {images_path}; \
         the two do not belong together"
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

    /// A label has no class.
    #[error(
        "{path}: row {row} (byte {offset}) has label {label}, \
         but there are {classes} classes, numbered from 0"
    )]
    LabelOutOfRange {
        /// The file of labels.
        path: PathBuf,
        /// The row, counted from 0.
        row: usize,
        /// Where the label stands in the content.
        offset: usize,
        /// The label.
        label: u8,
        /// The number of classes.
        classes: usize,
    },

    /// Training and test images are of different sizes.
    #[error(
        "{test_path} holds images of {test}, {train_path} of {train}; both must be of one size"
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

    /// `classes.txt` cannot name the classes.
    #[error(
        "{path}:{line}: {problem}; write one distinct class name a line, the first for label 0"
    )]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },

    /// The validation rows would leave nothing to train on.
    #[error(
        "validation = {validation} is {wanted} rows, but the training files hold {rows}; \
         leave at least one for training"
    )]
    ValidationTooLarge {
        /// What was asked for.
        validation: Validation,
        /// The rows that it comes to.
        wanted: usize,
        /// The rows that there are.
        rows: usize,
    },

    /// A fraction above zero that comes to no row.
    #[error(
        "validation = {fraction} of {rows} rows comes to none; ask for a larger fraction, or for 0"
    )]
    ValidationTooSmall {
        /// What was asked for.
        fraction: f64,
        /// The rows that there are.
        rows: usize,
    },

    /// A fraction that is none.
    #[error("validation = {fraction}: a fraction must be at least 0 and below 1")]
    ValidationFraction {
        /// What was asked for.
        fraction: f64,
    },

    /// Statistics were asked of no rows.
    #[error("there are no training rows to fit the normalisation on")]
    NothingToFit,

    /// A normaliser that was read back does not normalise.
    #[error("the stored normaliser is unusable: {problem}")]
    InvalidNormalizer {
        /// What is wrong with its numbers.
        problem: &'static str,
    },

    /// A normaliser fitted on images of another size.
    #[error("the normaliser was fitted on images of {fitted} pixels, these have {found}")]
    NormalizerSize {
        /// The pixels of the images that it was fitted on.
        fitted: usize,
        /// The pixels of the images at hand.
        found: usize,
    },

    /// An image file cannot be decoded.
    #[error("cannot read {path} as a PNG or JPEG image")]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: Box<image::ImageError>,
    },

    /// An image that is a directory, a pipe or a device.
    #[error("{path} is not an ordinary file; give a PNG or JPEG file")]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
    },

    /// An image file takes more room than any image that is decoded.
    #[error("{path} is larger than {ceiling} bytes, the most that is read of an image file")]
    ImageFileTooLarge {
        /// The file.
        path: PathBuf,
        /// The largest number of bytes that is read.
        ceiling: u64,
    },

    /// An image has more pixels than are ever decoded.
    #[error(
        "{path}: {width}×{height} is more than the {ceiling} pixels that are decoded; \
         make the image smaller"
    )]
    ImageTooLarge {
        /// The file.
        path: PathBuf,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// The largest number of pixels that is decoded.
        ceiling: u64,
    },

    /// An image file cannot become what the network takes.
    #[error(
        "{path}: an image file becomes 1 (grey) or 3 (RGB) channels of at least one pixel, not {shape}"
    )]
    ImageShape {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        shape: ImageShape,
    },
}

fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
