//! The formats of datasets. To add one, write a file with its [`Format`], declare the module, and add an entry to the list
//! below.

pub(crate) mod arrays;
mod cifar;
pub(crate) mod csv;
mod folder;
mod idx;
mod idx_error;
pub(crate) mod idx_file;
mod npy;
mod npz;
mod parquet;
#[cfg(feature = "parquet")]
mod parquet_library;
#[cfg(feature = "parquet")]
mod parquet_pages;
#[cfg(feature = "parquet")]
mod parquet_rows;

use std::path::{Path, PathBuf};

use crate::catalog::NamedDataset;
use crate::{DataConfig, DataError, ImageShape, Part};

pub use folder::FolderError;
pub use idx::DataFile;
pub(crate) use idx::{find, verify_files};
pub use idx_error::IdxError;

/// Generates [`FormatName`] and [`FORMATS`] from the list below.
macro_rules! formats {
    ($($(#[$documentation:meta])* $name:ident = $keyword:literal, $format:expr;)+) => {
        kiln_config::keywords! {
            /// The formats of datasets, in the order in which they are tried.
            pub enum FormatName as "format" {
                $($(#[$documentation])* $name = $keyword,)+
            }
        }

        /// The format of each name, in the same order.
        static FORMATS: &[&dyn Format] = &[$(&$format),+];
    };
}

formats! {
    /// Files of MNIST and its relatives.
    Idx = "idx", idx::IdxFormat;
    /// Arrays of NumPy.
    Npz = "npz", npz::NpzFormat;
    /// The binary files of CIFAR-10 and CIFAR-100.
    Cifar = "cifar", cifar::CifarFormat;
    /// Tables of encoded images, as on Hugging Face.
    Parquet = "parquet", parquet::ParquetFormat;
    /// A table of pixels, or of image files.
    Csv = "csv", csv::CsvFormat;
    /// A directory for each class.
    Folder = "folder", folder::FolderFormat;
}

/// A format of datasets.
pub(crate) trait Format: Sync {
    /// The value of `data.format`.
    fn name(&self) -> FormatName;

    /// A description of a source of this format: "a directory with four IDX files".
    fn description(&self) -> &'static str;

    /// Whether a source of this format is always a directory.
    fn needs_directory(&self) -> bool {
        false
    }

    /// Whether the file or directory looks like this format. Reads directory entries and the first bytes of files at most.
    fn detects(&self, path: &Path) -> bool;

    /// The files that decide whether the dataset is unchanged: if size, times and inode of all of them are the same, the
    /// content is. Includes files whose existence matters only if they exist.
    ///
    /// # Errors
    ///
    /// A file is missing, or a directory cannot be read.
    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError>;

    /// Reads the dataset.
    ///
    /// # Errors
    ///
    /// A file is missing or damaged, or the files do not fit together.
    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError>;
}

/// Where a dataset is, and how it is to be read.
pub(crate) struct Location<'a> {
    /// The directory or file.
    pub(crate) path: &'a Path,
    /// The entry of a listed dataset.
    pub(crate) named: Option<&'static NamedDataset>,
    /// `format`, `labels` and `layout` concern formats; what concerns the decoding of pictures does not.
    pub(crate) config: &'a DataConfig,
}

/// The content that a format read.
pub(crate) struct Contents {
    /// The class of each label, in order.
    pub(crate) class_names: Vec<String>,
    /// The label of each row, below the number of classes.
    pub(crate) labels: Vec<u16>,
    /// The part of each row.
    pub(crate) parts: Vec<Part>,
    /// The pixels of the rows, in the same order.
    pub(crate) pixels: SourcePixels,
    /// The file of each row, relative to the dataset.
    pub(crate) file_names: Option<Vec<String>>,
    /// Notes for the user, as sentences without a final full stop.
    pub(crate) notes: Vec<String>,
    /// The fingerprint, if the format has one of its own.
    pub(crate) fingerprint: Option<String>,
}

/// The pixels that a format found.
pub(crate) enum SourcePixels {
    /// Images of one shape: `[n, channels, height, width]`, row-major.
    Array {
        /// The shape of each image.
        shape: ImageShape,
        /// The bytes of all images.
        pixels: Vec<u8>,
    },
    /// Encoded pictures (PNG, JPEG, …), not read yet.
    Encoded(Vec<Encoded>),
}

/// An encoded picture.
pub(crate) enum Encoded {
    /// The content of a file.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Vec<u8>),
}

/// The format of a name.
pub(crate) fn named(name: FormatName) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// The format that a source looks like.
pub(crate) fn detect(path: &Path) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.detects(path))
}

/// Descriptions of the sources of each format, for messages.
pub(crate) fn descriptions() -> String {
    let of = |format: &&dyn Format| format!("{} ({})", format.description(), format.name());
    FORMATS.iter().map(of).collect::<Vec<_>>().join(", ")
}
