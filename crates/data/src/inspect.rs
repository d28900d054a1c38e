//! Which datasets are there, and whether they are what they should be.

use std::path::{Path, PathBuf};

use crate::catalog::{DATASETS, NamedDataset};
use crate::content::hexadecimal;
use crate::idx::Idx;
use crate::source::{Contents, Source};
use crate::{DataError, DataFile, Dataset};

/// A listed dataset, and which of its files are there.
#[derive(Debug)]
pub struct Listing {
    /// The dataset.
    pub dataset: &'static NamedDataset,
    /// Where its files belong.
    pub directory: PathBuf,
    /// The files that are not there, each under its usual name; empty where all are.
    pub missing: Vec<&'static str>,
}

/// All listed datasets. Looks for their files without reading them.
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

/// What came of verifying a dataset.
#[derive(Debug)]
pub struct Verification {
    /// The four files, in the order of [`DataFile::ALL`].
    pub files: Vec<FileCheck>,
    /// The files taken together; looked at once each is sound by itself.
    pub dataset: Option<Result<Dataset, DataError>>,
}

/// What came of verifying one file.
#[derive(Debug)]
pub struct FileCheck {
    /// Which of the four it is.
    pub file: DataFile,
    /// The published sum of its content, where there is one.
    pub published_sha256: Option<&'static str>,
    /// What was read, or what is wrong.
    pub outcome: Result<SoundFile, DataError>,
}

/// A file whose content is what its header and, where there is one, its published sum say.
#[derive(Debug)]
pub struct SoundFile {
    /// Its path.
    pub path: PathBuf,
    /// Its dimensions: count, and for images height and width.
    pub dimensions: Vec<usize>,
    /// The length of its content, decompressed, in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        matches!(self.dataset, Some(Ok(_)))
    }
}

/// Checks everything that [`load`](crate::load) checks, without stopping at the first fault.
///
/// # Errors
///
/// The source is neither a listed name nor a directory. All other faults are in the
/// [`Verification`].
pub fn verify(source: &str, data_directory: &Path) -> Result<Verification, DataError> {
    let source = Source::resolve(source, data_directory)?;
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

fn check<const N: usize>(
    source: &Source,
    file: DataFile,
    checks: &mut Vec<FileCheck>,
) -> Option<Idx<N>> {
    let (sound, outcome) = match source.read::<N>(file) {
        Ok(idx) => {
            let outcome = SoundFile {
                path: idx.path.clone(),
                dimensions: idx.dimensions.to_vec(),
                bytes: (Idx::<N>::HEADER + idx.values.len()) as u64,
                sha256: hexadecimal(&idx.sha256),
            };
            (Some(idx), Ok(outcome))
        }
        Err(error) => (None, Err(error)),
    };
    let published_sha256 = source.published_sha256(file);
    checks.push(FileCheck { file, published_sha256, outcome });
    sound
}
