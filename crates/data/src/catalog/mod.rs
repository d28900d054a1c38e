//! The listed datasets. To add one, add an entry to [`DATASETS`] in `datasets.rs` and its checksums to the test in
//! `tests/data/catalog.rs`.
//!
//! Checksums and sizes of downloads are those of torchvision 0.29 (`torchvision/datasets/mnist.py`, MD5) and of TensorFlow
//! Datasets 4.9.10 (`url_checksums/*.txt`, SHA-256). Those of the contents of MNIST and Fashion-MNIST were computed from the
//! published files.

mod classes;
mod datasets;

use std::path::Path;

use crate::formats;
use crate::{DataFile, FormatName, ImageShape};

pub use datasets::DATASETS;

/// A dataset that experiments refer to by name.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedDataset {
    /// The name in `data.source` and of the dataset's directory in the data directory.
    pub name: &'static str,
    /// The full name and the subject.
    pub title: &'static str,
    /// The class of each label, in order.
    pub class_names: &'static [&'static str],
    /// The format of its files in the data directory.
    pub format: FormatName,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The number of rows in the training files.
    pub training_examples: usize,
    /// The number of rows in the test files.
    pub test_examples: usize,
    /// The checksums of the contents of the four IDX files, if they are known.
    pub sha256: Option<ContentSums>,
    /// The license of the data.
    pub license: &'static str,
    /// The web page of the dataset.
    pub origin: &'static str,
    /// Where the files can be downloaded, in the order in which they are tried: addresses that end in `/`.
    pub mirrors: &'static [&'static str],
    /// The files to download.
    pub downloads: &'static [Download],
}

/// A file to download.
#[derive(Debug, PartialEq, Eq)]
pub struct Download {
    /// The name of the file on a mirror.
    pub file: &'static str,
    /// Its size, if it was published.
    pub bytes: Option<u64>,
    /// Its published checksum.
    pub checksum: FileSum,
    /// The treatment of it.
    pub unpack: Unpack,
}

/// The checksum of a file, in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSum {
    /// SHA-256.
    Sha256(&'static str),
    /// MD5, if nothing better was published.
    Md5(&'static str),
}

/// How a download becomes the files of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpack {
    /// It is one of the files, with this name.
    As(&'static str),
    /// A `.tar.gz` archive with these files, in any of its directories.
    TarGz(&'static [&'static str]),
    /// The `.zip` archive of EMNIST. Its images are transposed, which is undone.
    Emnist {
        /// The part of its file names that identifies the variant, such as `letters`.
        variant: &'static str,
        /// The lowest label in the archive; it becomes 0.
        first_label: u8,
    },
    /// Labels of QMNIST: 32-bit integers in eight columns, the first of which is the class. They become a file of bytes with
    /// this name.
    QmnistLabels(&'static str),
}

impl Unpack {
    /// The files in the directory of the dataset.
    pub(crate) fn files(self) -> Vec<&'static str> {
        match self {
            Self::As(file) | Self::QmnistLabels(file) => vec![file],
            Self::TarGz(files) => files.to_vec(),
            Self::Emnist { .. } => IDX_FILES.to_vec(),
        }
    }
}

/// The files of EMNIST, as they are written.
pub(crate) const IDX_FILES: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];

impl NamedDataset {
    /// The files that are missing in its directory.
    #[must_use]
    pub fn missing_files(&self, directory: &Path) -> Vec<&'static str> {
        if self.format == FormatName::Idx {
            // Other names and uncompressed files are as good.
            let missing =
                DataFile::ALL.into_iter().filter(|&file| formats::find(directory, file).is_none());
            return missing.map(|file| file.names()[0]).collect();
        }
        let files = self.downloads.iter().flat_map(|download| download.unpack.files());
        files.filter(|file| !directory.join(file).is_file()).collect()
    }

    /// The advice for a user who does not have it.
    pub(crate) fn how_to_get(&self) -> String {
        format!(
            "to download it: kiln data fetch {}; or give the directory that contains it with --data",
            self.name
        )
    }

    /// The number of bytes to download, if it is known.
    #[must_use]
    pub fn download_bytes(&self) -> Option<u64> {
        self.downloads.iter().map(|download| download.bytes).sum()
    }
}

/// The SHA-256 of the content of each file, in lower-case hexadecimal, as printed by
/// `gzip -dc FILE | sha256sum`.
///
/// The checksums are of the decompressed content, because copies of a dataset are often compressed
/// again, with another name or date in the gzip header, or not compressed.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentSums {
    /// Of `train-images-idx3-ubyte`.
    pub train_images: &'static str,
    /// Of `train-labels-idx1-ubyte`.
    pub train_labels: &'static str,
    /// Of `t10k-images-idx3-ubyte`.
    pub test_images: &'static str,
    /// Of `t10k-labels-idx1-ubyte`.
    pub test_labels: &'static str,
}

impl ContentSums {
    /// The checksum of one of the files.
    pub fn of(&self, file: DataFile) -> &'static str {
        match file {
            DataFile::TrainImages => self.train_images,
            DataFile::TrainLabels => self.train_labels,
            DataFile::TestImages => self.test_images,
            DataFile::TestLabels => self.test_labels,
        }
    }
}

/// The listed dataset of this name.
pub(crate) fn find(name: &str) -> Option<&'static NamedDataset> {
    DATASETS.iter().find(|dataset| dataset.name == name)
}
