//! Lists datasets and verifies their files.

use std::path::{Path, PathBuf};

use crate::cache::default_progress;
use crate::catalog::{DATASETS, NamedDataset};
use crate::formats::verify_files;
use crate::source::Source;
use crate::{DataConfig, DataError, DataFile, Dataset, FormatName};

/// A listed dataset and its missing files.
#[derive(Debug)]
pub struct Listing {
    /// The dataset.
    pub dataset: &'static NamedDataset,
    /// The directory for its files.
    pub directory: PathBuf,
    /// The usual names of the files that do not exist.
    pub missing: Vec<&'static str>,
}

/// All listed datasets, with their missing files. Does not read any file.
#[must_use]
pub fn list(data_directory: &Path) -> Vec<Listing> {
    let listing = |dataset: &'static NamedDataset| {
        let directory = data_directory.join(dataset.name);
        let missing = dataset.missing_files(&directory);
        Listing { dataset, directory, missing }
    };
    DATASETS.iter().map(listing).collect()
}

/// The result of [`verify`].
#[derive(Debug)]
pub struct Verification {
    /// The result for each file, in the order of [`DataFile::ALL`].
    pub files: Vec<FileCheck>,
    /// The result of combining the files, if each of them is intact.
    pub dataset: Option<Result<Dataset, DataError>>,
}

/// The result of verifying one file.
#[derive(Debug)]
pub struct FileCheck {
    /// The role of the file.
    pub file: DataFile,
    /// The published SHA-256 of its content, if there is one.
    pub published_sha256: Option<&'static str>,
    /// The content of the intact file, or the error.
    pub outcome: Result<VerifiedFile, DataError>,
}

/// A file whose content matches its header and, if there is one, its published SHA-256.
#[derive(Debug)]
pub struct VerifiedFile {
    /// The path of the file.
    pub path: PathBuf,
    /// `[n, height, width]` for images, `[n]` for labels.
    pub dimensions: Vec<usize>,
    /// The length of the decompressed content in bytes.
    pub bytes: u64,
    /// The SHA-256 of the decompressed content, in hexadecimal.
    pub sha256: String,
}

impl Verification {
    /// Whether all files are intact and fit together.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        matches!(self.dataset, Some(Ok(_)))
    }
}

/// Checks everything that [`load`](crate::load) checks, without stopping at the first error.
///
/// # Errors
///
/// The source is neither a listed name nor a dataset. All other errors are in the
/// [`Verification`].
pub fn verify(source: &str, data_directory: &Path) -> Result<Verification, DataError> {
    let config = DataConfig::new(source);
    let source = Source::resolve(&config, data_directory)?;
    let (files, contents) = if source.format().name() == FormatName::Idx {
        verify_files(&source.location())
    } else {
        (Vec::new(), Some(source.format().read(&source.location())))
    };
    let dataset = contents
        .map(|contents| contents.and_then(|contents| source.decode(contents, default_progress())));
    Ok(Verification { files, dataset })
}
