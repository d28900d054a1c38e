//! Datasets of four IDX files: images and labels, for training and for testing.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::arrays::{Axes, invalid};
use super::idx_file::{Idx, IdxKind};
use super::{Contents, Format, Location, SourcePixels};
use crate::class_names::{MAX_CLASSES, numbered, read_class_names};
use crate::content::hexadecimal;
use crate::inspect::{FileCheck, VerifiedFile};
use crate::{DataError, FormatName, IdxError, Part};

pub(crate) struct IdxFormat;

impl Format for IdxFormat {
    fn name(&self) -> FormatName {
        FormatName::Idx
    }

    fn description(&self) -> &'static str {
        "a directory with four IDX files"
    }

    fn needs_directory(&self) -> bool {
        true
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
            Self::TrainImages => &[
                "train-images-idx3-ubyte",
                "train-images.idx3-ubyte",
                "train-images-idx4-ubyte",
                "train-images.idx4-ubyte",
            ],
            Self::TrainLabels => &[
                "train-labels-idx1-ubyte",
                "train-labels.idx1-ubyte",
                "train-labels-idx1-int",
                "train-labels.idx1-int",
            ],
            Self::TestImages => &[
                "t10k-images-idx3-ubyte",
                "test-images-idx3-ubyte",
                "t10k-images.idx3-ubyte",
                "test-images.idx3-ubyte",
                "t10k-images-idx4-ubyte",
                "test-images-idx4-ubyte",
                "t10k-images.idx4-ubyte",
                "test-images.idx4-ubyte",
            ],
            Self::TestLabels => &[
                "t10k-labels-idx1-ubyte",
                "test-labels-idx1-ubyte",
                "t10k-labels.idx1-ubyte",
                "test-labels.idx1-ubyte",
                "t10k-labels-idx1-int",
                "test-labels-idx1-int",
                "t10k-labels.idx1-int",
                "test-labels.idx1-int",
            ],
        }
    }

    const fn kind(self) -> IdxKind {
        match self {
            Self::TrainImages | Self::TestImages => IdxKind::Images,
            Self::TrainLabels | Self::TestLabels => IdxKind::Labels,
        }
    }
}

/// The contents of the four files, not yet checked against each other.
struct Files {
    train_images: Idx,
    train_labels: Idx,
    test_images: Idx,
    test_labels: Idx,
}

impl Files {
    /// Combines the four files to a dataset if they fit together.
    fn assemble(self, location: &Location<'_>) -> Result<Contents, DataError> {
        let Self { train_images, train_labels, test_images, test_labels } = self;
        let (axes, test_axes) = (axes(&train_images, location)?, axes(&test_images, location)?);
        if axes.shape != test_axes.shape {
            return Err(DataError::Idx(IdxError::ShapesDiffer {
                train: axes.shape,
                test: test_axes.shape,
                train_path: train_images.path,
                test_path: test_images.path,
            }));
        }
        let class_names = match location.named {
            Some(named) => named.class_names.iter().map(ToString::to_string).collect(),
            None => class_names(location.path, &[&train_labels, &test_labels])?,
        };
        let mut labels = labels(&train_images, &train_labels, class_names.len())?;
        labels.extend(self::labels(&test_images, &test_labels, class_names.len())?);
        let sums =
            [&train_images.sha256, &train_labels.sha256, &test_images.sha256, &test_labels.sha256];
        let fingerprint = fingerprint(sums, &class_names);
        let (training, test) = (train_labels.dimensions[0], test_labels.dimensions[0]);
        let pixels = if axes.shape.channels == 1 {
            let mut pixels = train_images.values;
            pixels.extend(test_images.values);
            pixels
        } else {
            let mut pixels = Vec::new();
            axes.append(&train_images.values, &mut pixels);
            test_axes.append(&test_images.values, &mut pixels);
            pixels
        };
        Ok(Contents {
            class_names,
            labels,
            parts: [vec![Part::Training; training], vec![Part::Test; test]].concat(),
            pixels: SourcePixels::Array { shape: axes.shape, pixels },
            file_names: None,
            notes: Vec::new(),
            fingerprint: Some(fingerprint),
        })
    }
}

/// The path of one of the files. Prefers an uncompressed file, which is faster to read. Some archives unpack to a directory
/// with the name of the file.
pub(crate) fn find(directory: &Path, file: DataFile) -> Option<PathBuf> {
    let plain = file.names().iter().map(|name| directory.join(name));
    let compressed = file.names().iter().map(|name| directory.join(format!("{name}.gz")));
    plain.chain(compressed).find_map(|path| {
        if path.is_file() {
            return Some(path);
        }
        let inside = file.names().iter().map(|name| path.join(name));
        if path.is_dir() { inside.into_iter().find(|path| path.is_file()) } else { None }
    })
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
fn read(location: &Location<'_>, file: DataFile) -> Result<Idx, DataError> {
    let idx = Idx::read(&find_in(location, file)?, file.kind())?;
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
fn check(location: &Location<'_>, file: DataFile, checks: &mut Vec<FileCheck>) -> Option<Idx> {
    let (intact, outcome) = match read(location, file) {
        Ok(idx) => {
            let file = VerifiedFile {
                path: idx.path.clone(),
                dimensions: idx.dimensions.clone(),
                bytes: idx.bytes(),
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
fn class_names(directory: &Path, labels: &[&Idx]) -> Result<Vec<String>, DataError> {
    let path = directory.join("classes.txt");
    if path.is_file() {
        return read_class_names(&path);
    }
    let largest = labels.iter().flat_map(|labels| labels.numbers()).max().unwrap_or(0);
    let largest = usize::try_from(largest).unwrap_or(0);
    Ok(numbered((largest + 1).min(MAX_CLASSES)))
}

/// How the values of an image are arranged.
fn axes(images: &Idx, location: &Location<'_>) -> Result<Axes, DataError> {
    Axes::of(&images.dimensions[1..], location.config)
        .map_err(|problem| invalid(&images.path, "", problem))
}

/// The labels, checked against their images and the number of classes.
fn labels(images: &Idx, labels: &Idx, classes: usize) -> Result<Vec<u16>, DataError> {
    let (image_count, label_count) = (images.dimensions[0], labels.dimensions[0]);
    if image_count != label_count {
        return Err(DataError::Idx(IdxError::LabelCount {
            images_path: images.path.clone(),
            images: image_count,
            labels_path: labels.path.clone(),
            labels: label_count,
        }));
    }
    let label = |(row, label): (usize, i64)| match u16::try_from(label) {
        Ok(label) if usize::from(label) < classes => Ok(label),
        _ => Err(DataError::Idx(IdxError::LabelOutOfRange {
            label,
            path: labels.path.clone(),
            row,
            offset: labels.offset(row),
            classes,
        })),
    };
    labels.numbers().enumerate().map(label).collect()
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
