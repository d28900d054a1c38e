//! Finds the dataset that `data.source` names and reads it into memory.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::catalog::{self, DATASETS, NamedDataset};
use crate::content::hexadecimal;
use crate::idx::Idx;
use crate::{DataError, Dataset, ImageShape, LabeledImages};

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

/// Reads a complete dataset into memory. Checks every file against its header, against the other
/// files and, for a listed dataset, against its published SHA-256.
///
/// `source` is the name of a listed dataset, whose files are in the directory of that name in
/// `data_directory`; or the path of a directory of IDX files; or the name of such a directory in
/// `data_directory`.
///
/// # Errors
///
/// The source does not exist; a file is missing, damaged or not the published one; or the files do
/// not fit together.
pub fn load(source: &str, data_directory: &Path) -> Result<Dataset, DataError> {
    Source::resolve(source, data_directory)?.load()
}

/// Like [`load`], for a dataset that was read before and may have moved since. If it is not where `source` says, or has
/// another fingerprint there, it is searched in `data_directory`: that directory itself, or any end of the path `source`
/// below it. Only a dataset with the recorded fingerprint is accepted there.
///
/// # Errors
///
/// Those of [`load`]; it may also return the changed dataset that is where `source` says.
pub fn load_recorded(
    source: &str,
    data_directory: &Path,
    fingerprint: &str,
) -> Result<Dataset, DataError> {
    let found = load(source, data_directory);
    if found.as_ref().is_ok_and(|dataset| dataset.fingerprint == fingerprint) {
        return found;
    }
    let moved = Source::moved(source, data_directory).into_iter().filter_map(|it| it.load().ok());
    moved.into_iter().find(|dataset| dataset.fingerprint == fingerprint).map_or(found, Ok)
}

/// The contents of the four files, not yet checked against each other.
pub(crate) struct Contents {
    pub(crate) train_images: Idx<3>,
    pub(crate) train_labels: Idx<1>,
    pub(crate) test_images: Idx<3>,
    pub(crate) test_labels: Idx<1>,
}

/// The location of a dataset.
pub(crate) struct Source {
    name: String,
    /// The entry of a listed dataset.
    listed: Option<&'static NamedDataset>,
    directory: PathBuf,
}

impl Source {
    pub(crate) fn resolve(source: &str, data_directory: &Path) -> Result<Self, DataError> {
        // A listed name wins over a directory of the same name, which needs a path: `./mnist`.
        if let Some(listed) = catalog::find(source) {
            return Ok(Self::listed(listed, data_directory));
        }
        let path = Path::new(source);
        let is_path = source.starts_with('.') || source.contains(std::path::is_separator);
        let in_data = data_directory.join(path);
        let directory = if path.is_dir() {
            path.to_owned()
        } else if is_path {
            return Err(DataError::NotADirectory { path: path.to_owned() });
        } else if !source.is_empty() && in_data.is_dir() {
            in_data
        } else {
            let names = DATASETS.iter().map(|dataset| dataset.name);
            return Err(DataError::UnknownDataset {
                name: source.to_owned(),
                nearest: kiln_config::nearest(source, names.clone()),
                known: names.collect::<Vec<_>>().join(", "),
            });
        };
        let name =
            directory.file_name().map_or_else(|| source.into(), |name| name.to_string_lossy());
        Ok(Self { name: name.into_owned(), listed: None, directory })
    }

    /// Where a dataset may be that is not where `source` says.
    fn moved(source: &str, data_directory: &Path) -> Vec<Self> {
        let listed = catalog::find(source);
        let parts: Vec<Component<'_>> = Path::new(source).components().collect();
        let is_plain = |part: &&Component<'_>| matches!(part, Component::Normal(_));
        let plain = parts.iter().rev().take_while(is_plain).count();
        let name = Path::new(source).file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The longest end of the path is the most specific one; no part is the directory itself.
        let ends = (parts.len() - plain..=parts.len()).map(|start| &parts[start..]);
        let directories = ends.map(|end| data_directory.join(end.iter().collect::<PathBuf>()));
        let directories = directories.filter(|directory| directory.is_dir());
        directories.map(|directory| Self { name: name.clone(), listed, directory }).collect()
    }

    /// Reads the complete dataset.
    fn load(&self) -> Result<Dataset, DataError> {
        self.assemble(Contents {
            train_images: self.read(DataFile::TrainImages)?,
            train_labels: self.read(DataFile::TrainLabels)?,
            test_images: self.read(DataFile::TestImages)?,
            test_labels: self.read(DataFile::TestLabels)?,
        })
    }

    pub(crate) fn listed(listed: &'static NamedDataset, data_directory: &Path) -> Self {
        Self {
            name: listed.name.to_owned(),
            listed: Some(listed),
            directory: data_directory.join(listed.name),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.listed.is_some()
    }

    /// The path of one of the files. Prefers an uncompressed file, which is faster to read.
    pub(crate) fn find(&self, file: DataFile) -> Result<PathBuf, DataError> {
        let plain = file.names().iter().map(|name| self.directory.join(name));
        let compressed = file.names().iter().map(|name| self.directory.join(format!("{name}.gz")));
        plain.chain(compressed).find(|path| path.is_file()).ok_or_else(|| DataError::MissingFile {
            path: self.directory.join(file.names()[0]),
            advice: match self.listed {
                Some(listed) => format!(
                    "give the directory that contains {} with --data, or download its four files from {} into {}",
                    listed.name, listed.origin, self.directory.display()
                ),
                None => format!(
                    "a directory of IDX files must have {}",
                    DataFile::ALL.map(|file| file.names()[0]).join(", ")
                ),
            },
        })
    }

    /// The published SHA-256 of the content of a file, if there is one.
    pub(crate) fn published_sha256(&self, file: DataFile) -> Option<&'static str> {
        self.listed.map(|listed| listed.sha256.of(file))
    }

    /// Reads one of the files and checks it against its published SHA-256.
    pub(crate) fn read<const N: usize>(&self, file: DataFile) -> Result<Idx<N>, DataError> {
        let idx = Idx::read(&self.find(file)?)?;
        if let Some(listed) = self.listed {
            let (expected, found) = (listed.sha256.of(file), hexadecimal(&idx.sha256));
            if found != expected {
                let origin = listed.origin;
                return Err(DataError::Checksum { path: idx.path, expected, found, origin });
            }
        }
        Ok(idx)
    }

    /// Combines the four files to a dataset if they fit together.
    pub(crate) fn assemble(&self, contents: Contents) -> Result<Dataset, DataError> {
        let Contents { train_images, train_labels, test_images, test_labels } = contents;
        if image_shape(&train_images) != image_shape(&test_images) {
            return Err(DataError::ShapesDiffer {
                train: image_shape(&train_images),
                test: image_shape(&test_images),
                train_path: train_images.path,
                test_path: test_images.path,
            });
        }
        let class_names = match self.listed {
            Some(listed) => listed.class_names.iter().map(ToString::to_string).collect(),
            None => self.class_names(&[&train_labels.values, &test_labels.values])?,
        };
        let sums =
            [&train_images.sha256, &train_labels.sha256, &test_images.sha256, &test_labels.sha256];
        Ok(Dataset {
            name: self.name.clone(),
            title: self.listed.map(|listed| listed.title),
            fingerprint: fingerprint(sums, &class_names),
            train: pair(train_images, train_labels, class_names.len())?,
            test: pair(test_images, test_labels, class_names.len())?,
            class_names,
        })
    }

    /// The names in `classes.txt`, or else the numbers from 0 to the largest label.
    fn class_names(&self, labels: &[&[u8]]) -> Result<Vec<String>, DataError> {
        let path = self.directory.join("classes.txt");
        if path.is_file() {
            return read_class_names(&path);
        }
        let max_label = labels.iter().copied().flatten().max().copied().unwrap_or(0);
        Ok((0..=max_label).map(|label| label.to_string()).collect())
    }
}

fn image_shape(images: &Idx<3>) -> ImageShape {
    let [_, height, width] = images.dimensions;
    ImageShape { channels: 1, height, width }
}

/// Combines images with their labels.
fn pair(images: Idx<3>, labels: Idx<1>, classes: usize) -> Result<LabeledImages, DataError> {
    let ([image_count, ..], [label_count]) = (images.dimensions, labels.dimensions);
    if image_count != label_count {
        return Err(DataError::LabelCount {
            images_path: images.path,
            images: image_count,
            labels_path: labels.path,
            labels: label_count,
        });
    }
    if let Some(row) = labels.values.iter().position(|&label| usize::from(label) >= classes) {
        return Err(DataError::LabelOutOfRange {
            label: labels.values[row],
            path: labels.path,
            row,
            offset: Idx::<1>::HEADER_BYTES + row,
            classes,
        });
    }
    Ok(LabeledImages { shape: image_shape(&images), pixels: images.values, labels: labels.values })
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

/// Reads `classes.txt`, which has one name per line.
fn read_class_names(path: &Path) -> Result<Vec<String>, DataError> {
    /// Labels are bytes.
    const MAX_CLASSES: usize = 256;
    /// Limits the memory for a wrong file. 256 names of 1,000 bytes are shorter.
    const MAX_BYTES: u64 = 256 * 1024;

    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let invalid = |line, problem| DataError::ClassNames { path: path.to_owned(), line, problem };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(invalid(1, "the file is longer than 256 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        invalid(line, "the text is not UTF-8")
    })?;

    let mut names: Vec<String> = Vec::new();
    // Some editors start UTF-8 files with a byte order mark.
    for (line, name) in (1..).zip(text.trim_start_matches('\u{feff}').lines().map(str::trim)) {
        if name.is_empty() {
            return Err(invalid(line, "the line is empty"));
        } else if names.iter().any(|earlier| earlier == name) {
            return Err(invalid(line, "another line has the same name"));
        } else if names.len() == MAX_CLASSES {
            return Err(invalid(line, "labels are bytes, so at most 256 classes are possible"));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(invalid(1, "the file is empty"));
    }
    Ok(names)
}
