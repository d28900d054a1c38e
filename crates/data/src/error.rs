//! The errors of this crate.

use std::io;
use std::path::PathBuf;

use kiln_config::printable;

use crate::picture::PictureFormat;
use crate::{FormatName, ImageShape, Part, PictureError, SkippedFile, SplitSize};

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

    /// The source is neither the name of a listed dataset nor a directory.
    #[error(
        "no dataset is called `{name}`{suggestion}; known: {known}. \
         For a directory or file of your own, give its path, such as `./{name}`",
        suggestion = did_you_mean(.nearest)
    )]
    UnknownDataset {
        /// The source as written.
        name: String,
        /// The most similar listed name, if one is similar.
        nearest: Option<&'static str>,
        /// All listed names, separated by commas.
        known: String,
    },

    /// The source is a path at which nothing is.
    #[error("{path} does not exist; give the directory or file of a dataset")]
    NoSuchSource {
        /// The path as written.
        path: PathBuf,
    },

    /// The source does not look like any format.
    #[error("{path} is not a dataset that Kiln knows; known: {known}")]
    UnknownFormat {
        /// The directory or file.
        path: PathBuf,
        /// Descriptions of the sources of each format.
        known: String,
    },

    /// The source is an empty directory.
    #[error("{path} is empty; give the directory or file of a dataset")]
    EmptySource {
        /// The directory.
        path: PathBuf,
    },

    /// The source is a directory of pictures without a directory for each class.
    #[error(
        "{path} has images but no directory for each class; move each image into a directory with the name of its \
         class, or add a table of files and labels, labels.csv"
    )]
    NoClassDirectories {
        /// The directory.
        path: PathBuf,
    },

    /// The source is a file, and `data.format` is a format of directories.
    #[error(
        "{path} is a file, but the format \"{format}\" needs a directory; remove data.format to detect it"
    )]
    NotADirectory {
        /// The file.
        path: PathBuf,
        /// The value of the key.
        format: FormatName,
    },

    /// One of the four files of a dataset does not exist.
    #[error("{path} is missing")]
    MissingFile {
        /// The expected path of the uncompressed file.
        path: PathBuf,
        /// The advice: how to get the file, or which files a directory must have. Not part of the message.
        advice: String,
    },

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

    /// The rows for validation and those for testing would fit, but both together leave no training rows.
    #[error(
        "validation = {validation} and test = {test} take {wanted} images, but there are {rows} training images; \
         lower one of them, so that at least one image is left for training"
    )]
    SplitsTooLarge {
        /// The value of the key `validation`.
        validation: SplitSize,
        /// The value of the key `test`.
        test: SplitSize,
        /// The number of rows to be split from the training images.
        wanted: usize,
        /// The number of training images in the source.
        rows: usize,
    },

    /// The rows for validation or testing would leave no training rows.
    #[error(
        "{part} = {size}: {wanted} images would be split from the {rows} training images; \
         leave at least one for training"
    )]
    SplitTooLarge {
        /// The part that the rows are for, which is the name of the key.
        part: Part,
        /// The value of the key.
        size: SplitSize,
        /// The number of rows to be split from the training images.
        wanted: usize,
        /// The number of training images in the source.
        rows: usize,
    },

    /// A fraction above zero that rounds to zero rows.
    #[error(
        "{part} = {fraction} of {rows} images is less than one image; use a larger fraction, or 0"
    )]
    SplitTooSmall {
        /// The part that the rows are for, which is the name of the key.
        part: Part,
        /// The value of the key.
        fraction: f64,
        /// The number of training images in the source.
        rows: usize,
    },

    /// A fraction that is not in the range 0 ≤ fraction < 1.
    #[error("{part} = {fraction}: a fraction must be at least 0 and below 1")]
    SplitFraction {
        /// The part that the rows are for, which is the name of the key.
        part: Part,
        /// The value of the key.
        fraction: f64,
    },

    /// Rows are to be split for a part that the source provides.
    #[error(
        "{part} = {size}, but the dataset has {provided} {part} images of its own; remove the key to use them"
    )]
    PartProvided {
        /// The part, which is the name of the key.
        part: Part,
        /// The value of the key.
        size: SplitSize,
        /// The number of rows that the source provides for it.
        provided: usize,
    },

    /// The source does not provide a part that the configuration asks for.
    #[error(
        "{part} = \"source\", but the dataset has no {part} images of its own; split some, such as {part} = 0.1"
    )]
    NoPart {
        /// The part, which is the name of the key.
        part: Part,
    },

    /// There are no test rows.
    #[error("the dataset has no test images; split some from the others, such as test = 0.1")]
    NoTestRows,

    // Formats of arrays and tables.
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

    /// Groups with `split = "head"`.
    #[error(
        "`group` needs split = \"shuffled\" or \"stratified\"; \"head\" takes the first images"
    )]
    GroupOfHead,

    /// Groups of images that have no file names.
    #[error(
        "`group` looks for a group in the file name of each image, but the images of this dataset have none"
    )]
    GroupWithoutNames,

    /// No image has a group.
    #[error("`{group}` finds a group in none of the file names, such as {example}")]
    GroupWithoutMatch {
        /// The regular expression.
        group: String,
        /// The first file name.
        example: String,
    },

    /// There is no group left for a part.
    #[error("the training images have too few groups to split some for {part}: {groups}")]
    TooFewGroups {
        /// The part.
        part: Part,
        /// The number of groups before the split for this part.
        groups: usize,
    },

    // Downloads.
    /// The name of a dataset to download is not listed.
    #[error(
        "no dataset is called `{name}`{suggestion}; known: {known}",
        suggestion = did_you_mean(.nearest)
    )]
    NotListed {
        /// The name as written.
        name: String,
        /// The most similar listed name, if one is similar.
        nearest: Option<&'static str>,
        /// All listed names, separated by commas.
        known: String,
    },

    /// No mirror has the published file.
    #[error("cannot download {file} of {name}: {attempts}")]
    Download {
        /// The dataset.
        name: &'static str,
        /// The name of the file.
        file: &'static str,
        /// Each address and the reason, separated by semicolons.
        attempts: String,
    },

    /// Another process downloads the same dataset.
    #[error("another process downloads {name}; wait for it to finish")]
    FetchInProgress {
        /// The dataset.
        name: &'static str,
    },

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

    // Directories of pictures.
    /// There are no images for training.
    #[error(
        "{path} has no images for training; a directory of images needs a directory for each class, such as \
         {path}/cat/1.png, or {path}/train/cat/1.png if there are images for validation or testing, with {names} files",
        names = PictureFormat::NAMES
    )]
    NoImages {
        /// The directory.
        path: PathBuf,
    },

    /// All images have the same class.
    #[error(
        "{path} has only one class, `{class}`; give a directory that has a directory of images for each class"
    )]
    OneClass {
        /// The directory.
        path: PathBuf,
        /// The class.
        class: String,
    },

    /// A class of the validation or test images is not a class of the training images.
    #[error(
        "{path}: the {part} images have a class `{class}`, but no training image has; \
         add training images of this class, rename the directory, or move it elsewhere"
    )]
    ClassNotInTraining {
        /// The directory of the class.
        path: PathBuf,
        /// The part that has the class.
        part: Part,
        /// The class.
        class: String,
    },

    /// There is a directory of a class that `classes.txt` does not list.
    #[error("{path} does not list the class `{class}`, which has a directory; add a line for it")]
    UnlistedClass {
        /// The file.
        path: PathBuf,
        /// The class.
        class: String,
    },

    /// Two directories could be the same part of a dataset.
    #[error(
        "{path} has two directories for the same images, {one} and {other}; move one of them elsewhere"
    )]
    TwoDirectoriesOfPart {
        /// The directory around them.
        path: PathBuf,
        /// One of them.
        one: String,
        /// The other one.
        other: String,
    },

    /// There are more classes than labels can number.
    #[error("{path} has {classes} classes; at most 65,536 are possible")]
    TooManyClasses {
        /// The directory.
        path: PathBuf,
        /// The number of classes.
        classes: usize,
    },

    /// A directory has more files than the limit.
    #[error(
        "{path} has more than {limit} files and directories; give the directory of a smaller dataset"
    )]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },

    /// Directories are nested more deeply than the limit.
    #[error(
        "{path} is more than {limit} directories deep; move its images to a directory nearer to the class"
    )]
    FolderTooDeep {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },

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

    // The cache of decoded datasets.
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

fn did_you_mean(nearest: &Option<&str>) -> String {
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
