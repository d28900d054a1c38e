//! The binary version of CIFAR-10 and CIFAR-100.
//!
//! ```text
//! CIFAR-10    data_batch_1.bin … data_batch_5.bin, test_batch.bin    label, then 3072 pixels
//! CIFAR-100   train.bin, test.bin                                    coarse label, fine label, then 3072 pixels
//! ```
//!
//! The pixels of an image are three planes of 32×32 bytes: red, green, blue. Names of classes are in `batches.meta.txt`, or in
//! `coarse_label_names.txt` and `fine_label_names.txt`, one per line.
//!
//! Source: A. Krizhevsky, "The CIFAR-10 dataset", <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::arrays::{Classes, Labels, MAX_ROWS, PartLabels, class_list, invalid, reserve};
use super::{Contents, Format, Location};
use crate::class_names::read_class_names;
use crate::{Channels, DataConfig, DataError, FormatName, ImageShape, Part};

/// The shape of the published images.
const PUBLISHED: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Limit for the files of training images.
const MAX_BATCHES: usize = 10_000;

pub(crate) struct CifarFormat;

impl Format for CifarFormat {
    fn name(&self) -> FormatName {
        FormatName::Cifar
    }

    fn description(&self) -> &'static str {
        "a directory with data_batch_1.bin and test_batch.bin of CIFAR-10, or train.bin and test.bin of CIFAR-100"
    }

    fn needs_directory(&self) -> bool {
        true
    }

    fn detects(&self, path: &Path) -> bool {
        find(path).is_some()
    }

    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError> {
        let files = Files::find(location)?;
        let mut paths: Vec<PathBuf> = files.batches.into_iter().map(|(path, _)| path).collect();
        for names in NAME_FILES {
            paths.push(files.directory.join(names));
        }
        Ok(paths)
    }

    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError> {
        read(location, &Files::find(location)?)
    }
}

/// The files that can have the names of the classes.
const NAME_FILES: [&str; 4] =
    ["batches.meta.txt", "fine_label_names.txt", "coarse_label_names.txt", "classes.txt"];

/// Which of the two datasets the files look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Cifar10,
    Cifar100,
}

/// The directory of the files and their version. The published archives unpack to directories of their own.
fn find(path: &Path) -> Option<(PathBuf, Version)> {
    let below = ["", "cifar-10-batches-bin", "cifar-100-binary"].map(|name| path.join(name));
    below.into_iter().find_map(|directory| {
        let has = |name: &str| directory.join(name).is_file();
        if has("data_batch_1.bin") {
            Some((directory, Version::Cifar10))
        } else if has("train.bin") {
            Some((directory, Version::Cifar100))
        } else {
            None
        }
    })
}

struct Files {
    directory: PathBuf,
    version: Version,
    /// The files of images, in the order of their parts.
    batches: Vec<(PathBuf, Part)>,
    has_test: bool,
}

impl Files {
    fn find(location: &Location<'_>) -> Result<Self, DataError> {
        let Some((directory, version)) = find(location.path) else {
            return Err(DataError::MissingFile {
                path: location.path.join("data_batch_1.bin"),
                advice: "the directory must have data_batch_1.bin … and test_batch.bin (CIFAR-10), or train.bin and test.bin \
                         (CIFAR-100): the binary version, not that for Python or MATLAB".to_owned(),
            });
        };
        let mut batches = Vec::new();
        let test = match version {
            Version::Cifar10 => {
                let paths =
                    (1..=MAX_BATCHES).map(|n| directory.join(format!("data_batch_{n}.bin")));
                batches
                    .extend(paths.take_while(|path| path.is_file()).map(|it| (it, Part::Training)));
                // The published dataset has five.
                let next = batches.len() + 1;
                let later = (next + 1..=next + 5)
                    .find(|n| directory.join(format!("data_batch_{n}.bin")).is_file());
                if later.is_some() || location.named.is_some() && batches.len() < 5 {
                    return Err(DataError::MissingFile {
                        path: directory.join(format!("data_batch_{next}.bin")),
                        advice: "the files of training images must have consecutive numbers; download the missing one".to_owned(),
                    });
                }
                directory.join("test_batch.bin")
            }
            Version::Cifar100 => {
                batches.push((directory.join("train.bin"), Part::Training));
                directory.join("test.bin")
            }
        };
        let has_test = test.is_file();
        if has_test {
            batches.push((test, Part::Test));
        } else if location.named.is_some() {
            let advice = "download the missing file".to_owned();
            return Err(DataError::MissingFile { path: test, advice });
        }
        Ok(Self { directory, version, batches, has_test })
    }
}

fn read(location: &Location<'_>, files: &Files) -> Result<Contents, DataError> {
    let config = location.config;
    let label_bytes = match files.version {
        Version::Cifar10 => 1,
        Version::Cifar100 => 2,
    };
    // The position of the label in a record, and the file of its names.
    let (position, names_file) = match (files.version, config.labels.as_deref()) {
        (Version::Cifar10, None) => (0, "batches.meta.txt"),
        (Version::Cifar100, None | Some("fine")) => (1, "fine_label_names.txt"),
        (Version::Cifar100, Some("coarse")) => (0, "coarse_label_names.txt"),
        (Version::Cifar10, Some(other)) => {
            let problem = format!(
                "data.labels = \"{other}\": CIFAR-10 has one label for each image; remove the key"
            );
            return Err(invalid(&files.directory, "", problem));
        }
        (Version::Cifar100, Some(other)) => {
            let problem = format!(
                "data.labels = \"{other}\": CIFAR-100 has the labels \"fine\" (the default) and \"coarse\""
            );
            return Err(invalid(&files.directory, "", problem));
        }
    };
    let mut lengths = Vec::new();
    for (path, _) in &files.batches {
        let unreadable = |source| DataError::Read { path: path.clone(), source };
        lengths.push(path.metadata().map_err(unreadable)?.len());
    }
    let shape = image_shape(files, &lengths, label_bytes, config)?;
    let record = label_bytes + shape.values();
    let mut pixels = Vec::new();
    let mut labels: Vec<PartLabels> = Vec::new();
    for (path, part) in &files.batches {
        let mut numbers = Vec::new();
        read_batch(path, record, |bytes| {
            reserve(&mut pixels, bytes.len(), path)?;
            for record in bytes.chunks_exact(record) {
                numbers.push(i64::from(record[position]));
                pixels.extend_from_slice(&record[label_bytes..]);
            }
            Ok(())
        })?;
        let labels_of = Labels::Numbers(numbers);
        labels.push(PartLabels {
            part: *part,
            path: path.clone(),
            place: String::new(),
            labels: labels_of,
        });
        if pixels.len() / shape.values() > MAX_ROWS {
            return Err(invalid(path, "", "more images than the limit of 4,294,967,295"));
        }
    }
    let names_path = files.directory.join(names_file);
    let names = match location.named {
        // The catalog has the names of the fine labels.
        Some(named) if config.labels.as_deref() != Some("coarse") => {
            Some(named.class_names.iter().map(ToString::to_string).collect())
        }
        _ if names_path.is_file() => Some(names(&names_path)?),
        _ => class_list(&files.directory)?,
    };
    let notes = if files.has_test {
        Vec::new()
    } else {
        vec!["there is no file of test images".to_owned()]
    };
    Ok(Classes::new(&labels, names)?.with_pixels(shape, pixels, notes))
}

/// The names in a file of the published archive, which ends with an empty line.
fn names(path: &Path) -> Result<Vec<String>, DataError> {
    match read_class_names(path) {
        Err(DataError::ClassNames { problem: "the line is empty", line, .. }) => {
            let unreadable = |source| DataError::Read { path: path.to_owned(), source };
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
            let is_end = names[line - 1..].iter().all(String::is_empty);
            if line > 1 && is_end {
                return Ok(names[..line - 1].to_vec());
            }
            read_class_names(path)
        }
        result => result,
    }
}

/// The shape of the images: 32×32 in color, or `data.image` and `data.channels` if that does not fit the files.
fn image_shape(
    files: &Files,
    lengths: &[u64],
    label_bytes: usize,
    config: &DataConfig,
) -> Result<ImageShape, DataError> {
    let misfit = |shape: ImageShape| {
        let record = (label_bytes + shape.values()) as u64;
        lengths.iter().position(|length| *length == 0 || length % record != 0)
    };
    let Some(published) = misfit(PUBLISHED) else { return Ok(PUBLISHED) };
    let asked = config.image.map(|size| ImageShape {
        channels: config.channels.map_or(1, Channels::count),
        height: size.height,
        width: size.width,
    });
    let (at, shape) = match asked.map(|shape| (misfit(shape), shape)) {
        Some((None, shape)) => return Ok(shape),
        Some((Some(at), shape)) if config.channels.is_some() => (at, shape),
        _ => (published, PUBLISHED),
    };
    let (path, length) = (&files.batches[at].0, lengths[at]);
    let problem = if length == 0 {
        "the file is empty; download it again".to_owned()
    } else {
        let record = label_bytes + shape.values();
        format!(
            "{length} bytes are not a multiple of {record}, the size of an image of {shape} with its label; the file is cut off, \
             or has images of another size: set data.image = [height, width] and data.channels"
        )
    };
    Err(invalid(path, "", problem))
}

/// Calls `work` with the complete records of a file.
fn read_batch(
    path: &Path,
    record: usize,
    mut work: impl FnMut(&[u8]) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let chunk = record * ((1 << 20) / record).max(1);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        Read::by_ref(&mut reader).take(chunk as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() % record != 0 {
            return Err(invalid(path, "", "the file changed while it was read; try again"));
        }
        work(&bytes)?;
    }
}
