//! Datasets of four IDX files: images and labels, for training and for testing.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::idx_file::Idx;
use super::{Contents, Format, Location, SourcePixels};
use crate::class_names::{numbered, read_class_names};
use crate::content::hexadecimal;
use crate::inspect::{FileCheck, VerifiedFile};
use crate::{DataError, FormatName, ImageShape, Part};

pub(crate) struct IdxFormat;

impl Format for IdxFormat {
    fn name(&self) -> FormatName {
        FormatName::Idx
    }

    fn description(&self) -> &'static str {
        "a directory with four IDX files"
    }

    fn detects(&self, path: &Path) -> bool {
        DataFile::ALL.iter().any(|&file| find(path, file).is_some())
    }

    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError> {
        let mut paths = Vec::new();
        for file in DataFile::ALL {
            paths.push(find_in(location, file)?);
        }
        paths.push(location.path.join("classes.txt"));
        Ok(paths)
    }

    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError> {
        Files {
            train_images: read(location, DataFile::TrainImages)?,
            train_labels: read(location, DataFile::TrainLabels)?,
            test_images: read(location, DataFile::TestImages)?,
            test_labels: read(location, DataFile::TestLabels)?,
        }
        .assemble(location)
    }
}

/// The four files of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFile {
    /// The images for training and validation.
    TrainImages,
    /// The labels for training and validation.
    TrainLabels,
    /// The images for testing.
    TestImages,
    /// The labels for testing.
    TestLabels,
}

impl DataFile {
    /// All four files, in the order in which they are read and shown.
    pub const ALL: [Self; 4] =
        [Self::TrainImages, Self::TrainLabels, Self::TestImages, Self::TestLabels];

    /// The possible names of the file without `.gz`, the usual one first.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::TrainImages => &["train-images-idx3-ubyte"],
            Self::TrainLabels => &["train-labels-idx1-ubyte"],
            Self::TestImages => &["t10k-images-idx3-ubyte", "test-images-idx3-ubyte"],
            Self::TestLabels => &["t10k-labels-idx1-ubyte", "test-labels-idx1-ubyte"],
        }
    }
}

/// The contents of the four files, not yet checked against each other.
struct Files {
    train_images: Idx<3>,
    train_labels: Idx<1>,
    test_images: Idx<3>,
    test_labels: Idx<1>,
}

impl Files {
    /// Combines the four files to a dataset if they fit together.
    fn assemble(self, location: &Location<'_>) -> Result<Contents, DataError> {
        let Self { train_images, train_labels, test_images, test_labels } = self;
        let shape = image_shape(&train_images);
        if shape != image_shape(&test_images) {
            return Err(DataError::ShapesDiffer {
                train: shape,
                test: image_shape(&test_images),
                train_path: train_images.path,
                test_path: test_images.path,
            });
        }
        let class_names = match location.named {
            Some(named) => named.class_names.iter().map(ToString::to_string).collect(),
            None => class_names(location.path, &[&train_labels.values, &test_labels.values])?,
        };
        check_labels(&train_images, &train_labels, class_names.len())?;
        check_labels(&test_images, &test_labels, class_names.len())?;
        let sums =
            [&train_images.sha256, &train_labels.sha256, &test_images.sha256, &test_labels.sha256];
        let fingerprint = fingerprint(sums, &class_names);
        let (training, test) = (train_labels.values.len(), test_labels.values.len());
        let mut pixels = train_images.values;
        pixels.extend(test_images.values);
        let labels = train_labels.values.iter().chain(&test_labels.values);
        Ok(Contents {
            class_names,
            labels: labels.map(|label| u16::from(*label)).collect(),
            parts: [vec![Part::Training; training], vec![Part::Test; test]].concat(),
            pixels: SourcePixels::Array { shape, pixels },
            file_names: None,
            notes: Vec::new(),
            fingerprint: Some(fingerprint),
        })
    }
}

/// The path of one of the files. Prefers an uncompressed file, which is faster to read.
pub(crate) fn find(directory: &Path, file: DataFile) -> Option<PathBuf> {
    let plain = file.names().iter().map(|name| directory.join(name));
    let compressed = file.names().iter().map(|name| directory.join(format!("{name}.gz")));
    plain.chain(compressed).find(|path| path.is_file())
}

fn find_in(location: &Location<'_>, file: DataFile) -> Result<PathBuf, DataError> {
    find(location.path, file).ok_or_else(|| DataError::MissingFile {
        path: location.path.join(file.names()[0]),
        advice: match location.named {
            Some(named) => named.how_to_get(),
            None => format!(
                "a directory of IDX files must have {}",
                DataFile::ALL.map(|file| file.names()[0]).join(", ")
            ),
        },
    })
}

/// Reads one of the files and checks it against its published SHA-256.
fn read<const N: usize>(location: &Location<'_>, file: DataFile) -> Result<Idx<N>, DataError> {
    let idx = Idx::read(&find_in(location, file)?)?;
    if let Some(named) = location.named
        && let Some(sums) = &named.sha256
    {
        let (expected, found) = (sums.of(file), hexadecimal(&idx.sha256));
        if found != expected {
            let origin = named.origin;
            return Err(DataError::Checksum { path: idx.path, expected, found, origin });
        }
    }
    Ok(idx)
}

/// Checks everything that reading checks, without stopping at the first error. Returns the result for each file and, if
/// all of them are intact, that of combining them.
pub(crate) fn verify_files(
    location: &Location<'_>,
) -> (Vec<FileCheck>, Option<Result<Contents, DataError>>) {
    // Each file is checked even if another one failed.
    let mut files = Vec::with_capacity(DataFile::ALL.len());
    let train_images = check(location, DataFile::TrainImages, &mut files);
    let train_labels = check(location, DataFile::TrainLabels, &mut files);
    let test_images = check(location, DataFile::TestImages, &mut files);
    let test_labels = check(location, DataFile::TestLabels, &mut files);
    let contents = match (train_images, train_labels, test_images, test_labels) {
        (Some(train_images), Some(train_labels), Some(test_images), Some(test_labels)) => {
            let files = Files { train_images, train_labels, test_images, test_labels };
            Some(files.assemble(location))
        }
        _ => None,
    };
    (files, contents)
}

/// Verifies one file and appends the result to `checks`. Returns the content of an intact file.
fn check<const N: usize>(
    location: &Location<'_>,
    file: DataFile,
    checks: &mut Vec<FileCheck>,
) -> Option<Idx<N>> {
    let (intact, outcome) = match read::<N>(location, file) {
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
    let sums = location.named.and_then(|named| named.sha256.as_ref());
    let published_sha256 = sums.map(|sums| sums.of(file));
    checks.push(FileCheck { file, published_sha256, outcome });
    intact
}

/// The names in `classes.txt`, or else the numbers from 0 to the largest label.
fn class_names(directory: &Path, labels: &[&[u8]]) -> Result<Vec<String>, DataError> {
    let path = directory.join("classes.txt");
    if path.is_file() {
        return read_class_names(&path);
    }
    let max_label = labels.iter().copied().flatten().max().copied().unwrap_or(0);
    Ok(numbered(usize::from(max_label) + 1))
}

fn image_shape(images: &Idx<3>) -> ImageShape {
    let [_, height, width] = images.dimensions;
    ImageShape { channels: 1, height, width }
}

/// Checks labels against their images and the number of classes.
fn check_labels(images: &Idx<3>, labels: &Idx<1>, classes: usize) -> Result<(), DataError> {
    let ([image_count, ..], [label_count]) = (images.dimensions, labels.dimensions);
    if image_count != label_count {
        return Err(DataError::LabelCount {
            images_path: images.path.clone(),
            images: image_count,
            labels_path: labels.path.clone(),
            labels: label_count,
        });
    }
    if let Some(row) = labels.values.iter().position(|&label| usize::from(label) >= classes) {
        return Err(DataError::LabelOutOfRange {
            label: u64::from(labels.values[row]),
            path: labels.path.clone(),
            row,
            offset: Idx::<1>::HEADER_BYTES + row,
            classes,
        });
    }
    Ok(())
}

/// The SHA-256 over the SHA-256 of the four contents (which include their dimensions), the number of
/// classes, and the length and bytes of each class name.
fn fingerprint(sums: [&[u8; 32]; 4], class_names: &[String]) -> String {
    let mut sum = Sha256::new();
    for content in sums {
        sum.update(content);
    }
    sum.update((class_names.len() as u64).to_be_bytes());
    // Lengths separate the names: `a`, `bc` must differ from `ab`, `c`.
    for name in class_names {
        sum.update((name.len() as u64).to_be_bytes());
        sum.update(name);
    }
    hexadecimal(&sum.finalize())
}
