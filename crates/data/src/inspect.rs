//! Lists datasets and verifies their files.

use std::path::{Path, PathBuf};

use crate::catalog::{DATASETS, NamedDataset};
use crate::content::hexadecimal;
use crate::idx::Idx;
use crate::source::{Contents, Source};
use crate::{DataError, DataFile, Dataset};

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
    let listing = |dataset| {
        let source = Source::listed(dataset, data_directory);
        let missing = DataFile::ALL.into_iter().filter(|&file| source.find(file).is_err());
        Listing {
            dataset,
            directory: source.directory().to_owned(),
            missing: missing.map(|file| file.names()[0]).collect(),
        }
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
/// The source is neither a listed name nor a directory. All other errors are in the
/// [`Verification`].
pub fn verify(source: &str, data_directory: &Path) -> Result<Verification, DataError> {
    let source = Source::resolve(source, data_directory)?;
    // Each file is checked even if another one failed.
    let mut files = Vec::with_capacity(DataFile::ALL.len());
    let train_images = check(&source, DataFile::TrainImages, &mut files);
    let train_labels = check(&source, DataFile::TrainLabels, &mut files);
    let test_images = check(&source, DataFile::TestImages, &mut files);
    let test_labels = check(&source, DataFile::TestLabels, &mut files);
    let dataset = match (train_images, train_labels, test_images, test_labels) {
        (Some(train_images), Some(train_labels), Some(test_images), Some(test_labels)) => {
            let contents = Contents { train_images, train_labels, test_images, test_labels };
            Some(source.assemble(contents))
        }
        _ => None,
    };
    Ok(Verification { files, dataset })
}

/// Verifies one file and appends the result to `checks`. Returns the content of an intact file.
fn check<const N: usize>(
    source: &Source,
    file: DataFile,
    checks: &mut Vec<FileCheck>,
) -> Option<Idx<N>> {
    let (intact, outcome) = match source.read::<N>(file) {
        Ok(idx) => {
            let file = VerifiedFile {
                path: idx.path.clone(),
                dimensions: idx.dimensions.to_vec(),
                bytes: (Idx::<N>::HEADER_BYTES + idx.values.len()) as u64,
                sha256: hexadecimal(&idx.sha256),
            };
            (Some(idx), Ok(file))
        }
        Err(error) => (None, Err(error)),
    };
    let published_sha256 = source.published_sha256(file);
    checks.push(FileCheck { file, published_sha256, outcome });
    intact
}
