//! The errors of this crate.

use std::io;
use std::path::PathBuf;

use kiln_config::printable;

use crate::{
    FetchError, FolderError, IdxError, ImageShape, PictureError, SkippedFile, SourceError,
    SplitError,
};

/// Why data could not be read, split or normalized.
///
/// Messages name the file, the byte or line if there is one, and what to do. Byte offsets refer to
/// the decompressed content, as printed by `gzip -dc`. Underlying errors (of I/O, of a decoder) are
/// not part of the message; they are in the chain of [`source`](std::error::Error::source)s.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The source is not a dataset.
    #[error(transparent)]
    Source(#[from] SourceError),

    /// One of the four files of a dataset does not exist.
    #[error("{path} is missing")]
    MissingFile {
        /// The expected path of the uncompressed file.
        path: PathBuf,
        /// The advice: how to get the file, or which files a directory must have. Not part of the message.
        advice: String,
    },

    /// IDX files cannot be read.
    #[error(transparent)]
    Idx(#[from] IdxError),

    /// The gzip container is damaged or truncated.
    #[error(
        "{path}: the gzip data is damaged or truncated after {offset} decompressed bytes; \
         download the file again"
    )]
    Gzip {
        /// The file.
        path: PathBuf,
        /// The number of bytes decompressed before the error.
        offset: u64,
        /// The error of the decompressor.
        source: io::Error,
    },

    /// There is not enough memory for the content of a file.
    #[error("{path}: not enough memory for its content of {bytes} bytes")]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// The length of the content in bytes.
        bytes: u64,
    },

    /// A file of a listed dataset differs from the published one.
    #[error(
        "{path} is not the published file: the SHA-256 of its content is {found}, not {expected}; \
         remove it and download it again: {origin}"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of the content.
        found: String,
        /// The web page of the dataset.
        origin: &'static str,
    },

    /// `classes.txt` is not a list of class names.
    #[error(
        "{path}:{line}: {problem}; write one distinct class name per line, starting with label 0"
    )]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem in this line.
        problem: &'static str,
    },

    /// The images cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),

    /// The content of a file is not that of a dataset.
    #[error("{path}{place}: {problem}")]
    InvalidContent {
        /// The file.
        path: PathBuf,
        /// The place in the file: empty, `:LINE`, or `, array NAME`.
        place: String,
        /// The problem there, and the advice.
        problem: String,
    },

    /// The program was built without the reader of Parquet files.
    #[error(
        "{path}: this build of Kiln cannot read Parquet files; build it with `cargo build --release --features parquet`"
    )]
    NoParquet {
        /// The file or directory.
        path: PathBuf,
    },

    /// Image files that a table names do not exist.
    #[error(
        "{path}: {count} of its images do not exist: {shown}{more}; paths are relative to the directory of the table, \
         or to images/ in it",
        more = if .missing.len() > 20 { ", …" } else { "" }
    )]
    MissingImages {
        /// The table.
        path: PathBuf,
        /// The number of missing files.
        count: usize,
        /// The first of them, separated by commas.
        shown: String,
        /// All of them, with their lines.
        missing: Vec<String>,
    },

    /// A dataset cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),

    /// A downloaded archive cannot be unpacked.
    #[error("cannot unpack {path}: {problem}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The problem.
        problem: String,
    },

    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// Statistics of zero rows were requested.
    #[error("there are no training images to fit the normalization on")]
    NothingToFit,

    /// The parameters of a stored normalizer are invalid.
    #[error("the stored normalizer is invalid: {problem}")]
    InvalidNormalizer {
        /// The problem with its parameters.
        problem: &'static str,
    },

    /// A normalizer was fitted on images of another size.
    #[error("the normalizer was fitted on images of {fitted} pixels, these have {found}")]
    NormalizerSize {
        /// The number of pixels of the images that it was fitted on.
        fitted: usize,
        /// The number of pixels of these images.
        found: usize,
    },

    /// An image file cannot be decoded.
    #[error("cannot read {path} as an image")]
    Image {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: Box<PictureError>,
    },

    /// The path of an image leads to a directory, a pipe or a device.
    #[error("{path} is not an ordinary file; give an image file")]
    NotAFile {
        /// The path as given.
        path: PathBuf,
    },

    /// An image file is larger than the limit.
    #[error("{path} is larger than {max_bytes} bytes, the limit for image files; make it smaller")]
    ImageFileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        max_bytes: u64,
    },

    /// An image has more pixels than the limit.
    #[error(
        "{path}: {width}×{height} pixels are above the limit of {max_pixels}; make the image smaller"
    )]
    ImageTooLarge {
        /// The file.
        path: PathBuf,
        /// Its width in pixels.
        width: usize,
        /// Its height in pixels.
        height: usize,
        /// The limit in pixels.
        max_pixels: u64,
    },

    /// Image files cannot be converted to the requested shape.
    #[error(
        "{path}: cannot convert an image file to {shape}; \
         only 1 (gray) or 3 (RGB) channels of at least one pixel are supported"
    )]
    ImageShape {
        /// The file.
        path: PathBuf,
        /// The requested shape.
        shape: ImageShape,
    },

    /// A directory of pictures cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),

    /// Images differ in size, and the experiment does not say to which size to bring them.
    #[error(
        "the images differ in size: the smallest is {smallest}, the largest {largest}; \
         set the height and width that the network gets, such as data.image = [64, 64]"
    )]
    SizesDiffer {
        /// Width × height and name of the image with the fewest pixels.
        smallest: String,
        /// Width × height and name of the image with the most pixels.
        largest: String,
    },

    /// Images cannot be read.
    #[error(
        "{path}: {} cannot be read; repair or remove {}, or train without them with data.broken = \"skip\":{}",
        count(.files.len(), "image"), if .files.len() == 1 { "it" } else { "them" }, first_files(.files)
    )]
    BrokenImages {
        /// The dataset.
        path: PathBuf,
        /// All of them, relative to the dataset.
        files: Vec<SkippedFile>,
    },

    /// Neither the cache nor the memory can hold the decoded images.
    #[error(
        "{path}: the decoded images take {bytes} bytes, more than the free memory, and are not kept in the cache: {reason}; \
         choose a smaller data.image, or give a data directory on a disk with more space with --data"
    )]
    NoRoom {
        /// The dataset.
        path: PathBuf,
        /// The size of the decoded images.
        bytes: u64,
        /// Why they are not in the cache.
        reason: String,
    },

    /// The cache cannot be removed.
    #[error("cannot remove the cache {path}")]
    RemoveCache {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system, or that another process uses the cache.
        source: io::Error,
    },
}

/// The end of a message about an unknown name.
pub(crate) fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// A number with a noun: `1 image`, `2 images`.
fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The first files with the reasons, one a line, and the number of the others. Line breaks in names are escaped.
fn first_files(files: &[SkippedFile]) -> String {
    const SHOWN: usize = 20;
    let shown = files.iter().take(SHOWN);
    let mut text: String = shown
        .map(|file| {
            format!("\n  {}", printable(&format!("{}: {}", file.path.display(), file.reason)))
        })
        .collect();
    if files.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", files.len() - SHOWN));
    }
    text
}
