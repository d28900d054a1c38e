//! Arrays of NumPy: an archive (`.npz`), or a directory of `.npy` files with the same names.
//!
//! The names are those of Keras (`x_train`, `y_train`, …) and MedMNIST (`train_images`, `train_labels`, …), or `images` and
//! `labels` for a dataset without parts.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::arrays::{
    Axes, Classes, Labels, MAX_ROWS, PartLabels, Texts, class_list, invalid, reserve,
};
use super::npy::{Kind, Npy};
use super::{Contents, Format, Location};
use crate::class_names::{MAX_CLASSES, numbered};
use crate::{DataConfig, DataError, FormatName, Part};

pub(crate) struct NpzFormat;

impl Format for NpzFormat {
    fn name(&self) -> FormatName {
        FormatName::Npz
    }

    fn description(&self) -> &'static str {
        "a NumPy archive with arrays such as x_train and y_train, or a directory with x_train.npy and y_train.npy"
    }

    fn detects(&self, path: &Path) -> bool {
        if archive_in(path).is_some() {
            return true;
        }
        if path.is_dir() {
            return directory_arrays(path).is_ok_and(|arrays| {
                let names: Vec<String> = arrays.into_iter().map(|(name, _)| name).collect();
                image_array(Part::Training, &names).is_some() || unsplit_images(&names).is_some()
            });
        }
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut start));
        // The name of the first entry begins at byte 30.
        let is_zip = start.starts_with(b"PK\x03\x04");
        let length =
            start.get(26..28).map_or(0, |it| usize::from(u16::from_le_bytes([it[0], it[1]])));
        let has_array = start.get(30..30 + length).is_some_and(|name| name.ends_with(b".npy"));
        let is_named = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("npz"));
        read.is_ok() && (is_zip && (has_array || is_named) || start.starts_with(Npy::MAGIC))
    }

    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError> {
        if !location.path.is_dir() {
            return Ok(vec![location.path.to_owned()]);
        }
        if let Some(archive) = archive_in(location.path) {
            return Ok(vec![archive, location.path.join("classes.txt")]);
        }
        let mut files: Vec<PathBuf> =
            directory_arrays(location.path)?.into_iter().map(|(_, path)| path).collect();
        files.push(location.path.join("classes.txt"));
        Ok(files)
    }

    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError> {
        read(location, &mut Store::open(location.path)?)
    }
}

fn read(location: &Location<'_>, store: &mut Store) -> Result<Contents, DataError> {
    let config = location.config;
    let roles = Roles::find(store, config)?;
    let mut notes = roles.notes;
    let mut scale = Scale::Bytes;
    let mut axes: Option<(Axes, String)> = None;
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    let mut columns = None;
    for Role { part, images, labels: labels_name } in roles.roles {
        let header = store.header(&images)?;
        let found = image_axes(&header, config)
            .map_err(|problem| invalid(&header.path, header.place(), problem))?;
        match &axes {
            None => axes = Some((found, images.clone())),
            Some((first, name)) if *first != found => {
                let problem = format!(
                    "the images have the shape {}, those of `{name}` {}; all images must have the same shape",
                    found.shape, first.shape
                );
                return Err(invalid(&header.path, header.place(), problem));
            }
            Some(_) => {}
        }
        if part == Part::Training {
            scale = Scale::of(store, &images, &header)?;
            notes.extend(scale.note(&images, &header));
        }
        let rows = read_images(store, &images, &header, found, scale, &mut pixels)?;
        let (part_labels, one_hot) = read_labels(store, &labels_name, part)?;
        if part_labels.labels.len() != rows {
            let problem = format!(
                "{} labels for the {rows} images of `{images}`; they must be the same number",
                part_labels.labels.len()
            );
            return Err(invalid(&part_labels.path, part_labels.place, problem));
        }
        columns = columns.max(one_hot);
        labels.push(part_labels);
        if pixels.len() / found.shape.values() > MAX_ROWS {
            return Err(invalid(location.path, "", "more images than the limit of 4,294,967,295"));
        }
    }
    let Some((axes, _)) = axes else {
        return Err(invalid(location.path, "", "there are no training images"));
    };
    let mut names = match location.named {
        Some(named) => Some(named.class_names.iter().map(ToString::to_string).collect()),
        None => store.class_names()?,
    };
    if names.is_none() && location.path.is_dir() {
        names = class_list(location.path)?;
    }
    let classes = Classes::new(&labels, names.or_else(|| columns.map(numbered)))?;
    Ok(classes.with_pixels(axes.shape, pixels, notes))
}

/// The arrays of one part.
struct Role {
    part: Part,
    images: String,
    labels: String,
}

struct Roles {
    roles: Vec<Role>,
    notes: Vec<String>,
}

/// What arrays of a part have in their names.
fn part_words(part: Part) -> &'static [&'static str] {
    match part {
        Part::Training => &["train", "training"],
        Part::Validation => &["val", "valid", "validation"],
        Part::Test => &["test", "testing"],
    }
}

/// The array of this name, regardless of case.
fn find<'a>(names: &'a [String], wanted: &str) -> Option<&'a String> {
    names.iter().find(|name| name.eq_ignore_ascii_case(wanted))
}

/// The first array that is called `word` and a name of the part, in any order.
fn part_array<'a>(part: Part, words: &[&str], names: &'a [String]) -> Option<&'a String> {
    let orders = part_words(part).iter().flat_map(|part| {
        words.iter().flat_map(move |word| [format!("{word}_{part}"), format!("{part}_{word}")])
    });
    orders.into_iter().find_map(|wanted| find(names, &wanted))
}

fn image_array(part: Part, names: &[String]) -> Option<&String> {
    part_array(part, &["x", "images", "data"], names)
}

fn unsplit_images(names: &[String]) -> Option<&String> {
    ["images", "x", "data"].iter().find_map(|wanted| find(names, wanted))
}

impl Roles {
    fn find(store: &Store, config: &DataConfig) -> Result<Self, DataError> {
        let names = store.names();
        let all = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let wanted = config.labels.as_deref();
        let mut roles = Vec::new();
        let mut notes = Vec::new();
        let missing = |images: &str, expected: &str| {
            let expected = match wanted {
                Some(labels) => format!("data.labels = \"{labels}\" is not an array of it"),
                None => format!(
                    "name them {expected}, or give the name of their array with data.labels"
                ),
            };
            let problem = format!("there are no labels for `{images}`: {expected}; found: {all}");
            invalid(store.path(), "", problem)
        };
        if image_array(Part::Training, &names).is_none() {
            let Some(images) = unsplit_images(&names) else {
                let problem = format!(
                    "there are no training images; name the arrays x_train and y_train (and x_test, y_test), \
                     train_images and train_labels, or images and labels; found: {all}"
                );
                return Err(invalid(store.path(), "", problem));
            };
            let usual = ["labels", "label", "y", "target", "targets"];
            let candidates = wanted.map_or(usual.to_vec(), |wanted| vec![wanted]);
            let labels = candidates.into_iter().find_map(|wanted| find(&names, wanted));
            let labels = labels.ok_or_else(|| missing(images, "labels, y or target"))?;
            roles.push(Role {
                part: Part::Training,
                images: images.clone(),
                labels: labels.clone(),
            });
        } else {
            for part in [Part::Training, Part::Validation, Part::Test] {
                let Some(images) = image_array(part, &names) else { continue };
                let words = wanted.map_or(vec!["y", "labels", "label"], |wanted| vec![wanted]);
                match part_array(part, &words, &names) {
                    Some(labels) => {
                        roles.push(Role { part, images: images.clone(), labels: labels.clone() });
                    }
                    None if part == Part::Training => {
                        return Err(missing(images, "y_train or train_labels"));
                    }
                    None => notes.push(format!(
                        "`{images}` has no labels, so it is not used for {}",
                        match part {
                            Part::Test => "testing",
                            _ => "validation",
                        }
                    )),
                }
            }
        }
        let is_used = |name: &&String| {
            !roles.iter().any(|role| role.images == **name || role.labels == **name)
                && !CLASS_NAMES.contains(&name.as_str())
        };
        let unused: Vec<&str> = names.iter().filter(is_used).map(String::as_str).collect();
        if !unused.is_empty() {
            notes.push(format!("arrays that are not used: {}", unused.join(", ")));
        }
        Ok(Self { roles, notes })
    }
}

/// The arrays that can have the names of the classes.
const CLASS_NAMES: [&str; 2] = ["class_names", "label_names"];

/// Where arrays are.
enum Store {
    Archive { path: PathBuf, archive: Box<ZipArchive<BufReader<File>>> },
    Directory { path: PathBuf, arrays: Vec<(String, PathBuf)> },
}

/// The `.npy` files of a directory and the names of their arrays.
fn directory_arrays(path: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let mut arrays = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_array = file.extension().is_some_and(|it| it.eq_ignore_ascii_case("npy"));
        if let (true, Some(name)) = (is_array, file.file_stem()) {
            arrays.push((name.to_string_lossy().into_owned(), file.clone()));
        }
    }
    arrays.sort();
    Ok(arrays)
}

/// The archive in a directory without other files, except texts and hidden files.
fn archive_in(path: &Path) -> Option<PathBuf> {
    let entries = path.read_dir().ok()?.flatten().map(|entry| entry.path());
    let is_hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    let is_archive =
        |path: &PathBuf| path.extension().is_some_and(|it| it.eq_ignore_ascii_case("npz"));
    let is_about = |path: &PathBuf| {
        path.extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("txt") || it.eq_ignore_ascii_case("md"))
    };
    let mut files = entries.filter(|path| path.is_file() && !is_hidden(path) && !is_about(path));
    let first = files.next().filter(is_archive)?;
    files.next().is_none().then_some(first)
}

impl Store {
    fn open(path: &Path) -> Result<Self, DataError> {
        if let Some(archive) = archive_in(path) {
            return Self::open(&archive);
        }
        if path.is_dir() {
            return Ok(Self::Directory { path: path.to_owned(), arrays: directory_arrays(path)? });
        }
        let unreadable = |source| DataError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file).take(6).read_to_end(&mut start).map_err(unreadable)?;
        if start.starts_with(Npy::MAGIC) {
            let problem = "this is one array; give a directory with x_train.npy and y_train.npy, or an archive of np.savez";
            return Err(invalid(path, "", problem));
        }
        let file = File::open(path).map_err(unreadable)?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            invalid(
                path,
                "",
                format!("not a complete npz archive ({error}); save or download it again"),
            )
        })?;
        Ok(Self::Archive { path: path.to_owned(), archive: Box::new(archive) })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Archive { path, .. } | Self::Directory { path, .. } => path,
        }
    }

    /// The names of all arrays.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Archive { archive, .. } => archive
                .file_names()
                .filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned()))
                .collect(),
            Self::Directory { arrays, .. } => arrays.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Calls `work` with the header of an array and the bytes that follow it.
    fn with_array<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&Npy, &mut dyn Read) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        /// Arrays up to this size are read whatever their compression.
        const SMALL_BYTES: u64 = 1 << 30;
        /// The largest compression of larger arrays. Images rarely exceed 50.
        const MAX_COMPRESSION: u64 = 400;

        match self {
            Self::Archive { path, archive } => {
                let entry = archive.by_name(&format!("{name}.npy")).map_err(|error| {
                    let problem = format!(
                        "it cannot be read ({error}); save it again with np.savez_compressed"
                    );
                    invalid(path, format!(", array {name}"), problem)
                })?;
                let (bytes, compressed) = (entry.size(), entry.compressed_size());
                let mut reader = BufReader::with_capacity(1 << 16, entry);
                let npy = Npy::read(path, &format!(", array {name}"), &mut reader)?;
                npy.check_length(bytes)?;
                if bytes > SMALL_BYTES && bytes / MAX_COMPRESSION > compressed {
                    let problem = format!(
                        "{compressed} bytes decompress to {bytes}, which no array of images does; the archive is damaged or malicious"
                    );
                    return Err(npy.error(problem));
                }
                work(&npy, &mut reader)
            }
            Self::Directory { arrays, path } => {
                let Some((_, file)) = arrays.iter().find(|(other, _)| other == name) else {
                    return Err(invalid(path, "", format!("{name}.npy is missing")));
                };
                let unreadable = |source| DataError::Read { path: file.clone(), source };
                let opened = File::open(file).map_err(unreadable)?;
                let bytes = opened.metadata().map_err(unreadable)?.len();
                let mut reader = BufReader::with_capacity(1 << 16, opened);
                let npy = Npy::read(file, "", &mut reader)?;
                npy.check_length(bytes)?;
                work(&npy, &mut reader)
            }
        }
    }

    fn header(&mut self, name: &str) -> Result<Npy, DataError> {
        self.with_array(name, |npy, _| Ok(npy.clone()))
    }

    /// The names of the classes, if there is an array of them.
    fn class_names(&mut self) -> Result<Option<Vec<String>>, DataError> {
        let names = self.names();
        let Some(name) = CLASS_NAMES.iter().find_map(|wanted| find(&names, wanted)) else {
            return Ok(None);
        };
        self.with_array(name, |npy, reader| {
            if npy.shape.len() != 1 || npy.count > MAX_CLASSES {
                return Err(npy.error("class names must be one list of at most 65,536 texts"));
            }
            let mut texts = Vec::new();
            npy.read_texts(reader, |text| {
                if texts.contains(&text) {
                    return Err(npy.error(format!("two classes have the name `{text}`")));
                }
                texts.push(text);
                Ok(())
            })?;
            Ok(Some(texts))
        })
    }
}

/// How numbers become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// 0 to 255.
    Bytes,
    /// 0 to 1.
    Unit,
    /// −1 to 1.
    Signed,
}

impl Scale {
    /// The scale of training images.
    fn of(store: &mut Store, name: &str, header: &Npy) -> Result<Self, DataError> {
        if header.kind != Kind::Float {
            return Ok(Self::Bytes);
        }
        let (mut low, mut high, mut is_whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        store.with_array(name, |npy, reader| {
            npy.read_numbers(reader, 1, |numbers| {
                for number in numbers {
                    if !number.is_finite() {
                        return Err(
                            npy.error(format!("a pixel is {number}; replace it with a number"))
                        );
                    }
                    low = low.min(*number);
                    high = high.max(*number);
                    is_whole &= number.fract() == 0.0;
                }
                Ok(())
            })
        })?;
        match (low, high) {
            (0.0.., ..=1.0) => Ok(Self::Unit),
            (-1.0.., ..=1.0) => Ok(Self::Signed),
            (0.0.., ..=255.0) if is_whole => Ok(Self::Bytes),
            _ => {
                let problem = format!(
                    "the pixels are from {low} to {high}; Kiln reads 0 to 1, -1 to 1, and whole numbers from 0 to 255: \
                     save the images as uint8"
                );
                Err(header.error(problem))
            }
        }
    }

    fn note(self, name: &str, header: &Npy) -> Option<String> {
        let range = match self {
            Self::Bytes if header.kind == Kind::Float => "whole numbers from 0 to 255",
            Self::Bytes => return None,
            Self::Unit => "numbers from 0 to 1, multiplied by 255",
            Self::Signed => "numbers from -1 to 1, mapped to 0 to 255",
        };
        Some(format!("the pixels of `{name}` are {range}"))
    }

    fn byte(self, number: f64) -> Option<u8> {
        let scaled = match self {
            Self::Bytes if number.fract() != 0.0 => return None,
            Self::Bytes => number,
            Self::Unit => (number * 255.0).round(),
            Self::Signed => ((number + 1.0) * 127.5).round(),
        };
        let in_range = match self {
            Self::Bytes => (0.0..=255.0).contains(&number),
            Self::Unit => (0.0..=1.0).contains(&number),
            Self::Signed => (-1.0..=1.0).contains(&number),
        };
        in_range.then_some(scaled as u8)
    }
}

fn image_axes(header: &Npy, config: &DataConfig) -> Result<Axes, String> {
    match header.kind {
        Kind::Unsigned | Kind::Signed | Kind::Float => {}
        Kind::Bool => {
            return Err("the pixels are true or false; save them as uint8, such as (x * 255).astype('uint8')".to_owned());
        }
        Kind::Unicode | Kind::Bytes => {
            return Err("the pixels are texts; save them as uint8".to_owned());
        }
    }
    match header.shape.as_slice() {
        [] | [_] => Err(format!(
            "images must be an array of at least two axes, such as (images, height, width); the shape is {}",
            header.shape_text()
        )),
        [0, ..] => Err("there are no images".to_owned()),
        [_, values] => Axes::of_row(*values, config),
        [_, dimensions @ ..] => Axes::of(dimensions, config),
    }
}

/// Appends the images of an array to `pixels`. Returns their number.
fn read_images(
    store: &mut Store,
    name: &str,
    header: &Npy,
    axes: Axes,
    scale: Scale,
    pixels: &mut Vec<u8>,
) -> Result<usize, DataError> {
    let size = axes.shape.values();
    let rows = header.shape[0];
    store.with_array(name, |npy, reader| {
        let outside = |number: f64| {
            let range = match scale {
                Scale::Bytes => "whole numbers from 0 to 255",
                Scale::Unit => "0 to 1, as those of the training images",
                Scale::Signed => "-1 to 1, as those of the training images",
            };
            npy.error(format!("a pixel is {number}; the pixels must be {range}"))
        };
        // In Fortran's order, the values of an image are not next to each other.
        let mut values: Vec<u8> = Vec::new();
        let mut add = |bytes: &[u8]| {
            if npy.is_column_major() {
                reserve(&mut values, bytes.len(), &npy.path)?;
                values.extend_from_slice(bytes);
            } else {
                reserve(pixels, bytes.len(), &npy.path)?;
                axes.append(bytes, pixels);
            }
            Ok(())
        };
        if npy.kind == Kind::Unsigned && npy.size == 1 {
            npy.read_chunks(reader, size, &mut add)?;
        } else {
            let mut bytes = Vec::new();
            npy.read_numbers(reader, size, |numbers| {
                bytes.clear();
                for number in numbers {
                    bytes.push(scale.byte(*number).ok_or_else(|| outside(*number))?);
                }
                add(&bytes)
            })?;
        }
        if npy.is_column_major() {
            reserve(pixels, values.len(), &npy.path)?;
            axes.append(&npy.row_major(&values), pixels);
        }
        Ok(rows)
    })
}

/// The labels of a part, and the number of columns if they are one-hot.
fn read_labels(
    store: &mut Store,
    name: &str,
    part: Part,
) -> Result<(PartLabels, Option<usize>), DataError> {
    store.with_array(name, |npy, reader| {
        let columns = match npy.shape.as_slice() {
            [_] | [_, 1] => 1,
            [_, columns @ 2..=MAX_CLASSES] => *columns,
            _ => {
                let problem = format!(
                    "labels must have the shape (images), (images, 1) or (images, classes) with a single 1 in each row; \
                     the shape is {}",
                    npy.shape_text()
                );
                return Err(npy.error(problem));
            }
        };
        let labels = match npy.kind {
            Kind::Unicode | Kind::Bytes if columns == 1 => {
                let mut texts = Texts::default();
                npy.read_texts(reader, |text| {
                    let is_new = texts.push(&text);
                    if is_new { Ok(()) } else { Err(npy.error("more than 65,536 different labels")) }
                })?;
                Labels::Texts(texts)
            }
            Kind::Unicode | Kind::Bytes => {
                return Err(npy.error("several texts for each image; Kiln needs one label for each image"));
            }
            _ if npy.is_column_major() && columns > 1 => {
                let mut all = Vec::new();
                npy.read_numbers(reader, 1, |numbers| {
                    all.extend_from_slice(numbers);
                    Ok(())
                })?;
                let mut labels = Vec::new();
                one_hot(npy, columns, &npy.row_major(&all), &mut labels)?;
                Labels::Numbers(labels)
            }
            _ => {
                let mut labels = Vec::new();
                npy.read_numbers(reader, columns, |numbers| {
                    if columns > 1 {
                        return one_hot(npy, columns, numbers, &mut labels);
                    }
                    for number in numbers {
                        if number.fract() != 0.0 || number.abs() > 9e15 {
                            let row = labels.len();
                            let problem = format!("row {row} (from 0) has label {number}; labels are whole numbers from 0");
                            return Err(npy.error(problem));
                        }
                        labels.push(*number as i64);
                    }
                    Ok(())
                })?;
                Labels::Numbers(labels)
            }
        };
        let labels = PartLabels { part, path: npy.path.clone(), place: npy.place(), labels };
        Ok((labels, (columns > 1).then_some(columns)))
    })
}

/// Appends the labels of one-hot rows.
fn one_hot(
    npy: &Npy,
    columns: usize,
    numbers: &[f64],
    labels: &mut Vec<i64>,
) -> Result<(), DataError> {
    for values in numbers.chunks_exact(columns) {
        let row = labels.len();
        let mut ones =
            (0..).zip(values).filter(|(_, value)| **value == 1.0).map(|(class, _)| class);
        let (first, second) = (ones.next(), ones.next());
        if let Some(other) = values.iter().find(|value| **value != 0.0 && **value != 1.0) {
            let problem = format!(
                "row {row} (from 0) has {columns} values, one of them {other}; labels with several columns must be one-hot: \
                 a single 1, else 0"
            );
            return Err(npy.error(problem));
        }
        match (first, second) {
            (Some(class), None) => labels.push(class),
            (Some(first), Some(second)) => {
                let problem = format!(
                    "row {row} (from 0) has several classes, such as {first} and {second}: multi-label data, \
                     which Kiln does not support; keep one class for each image"
                );
                return Err(npy.error(problem));
            }
            (None, _) => {
                let problem = format!(
                    "row {row} (from 0) has no class: multi-label data, which Kiln does not support; \
                     keep one class for each image"
                );
                return Err(npy.error(problem));
            }
        }
    }
    Ok(())
}

/// Maps an error while reading an array.
pub(crate) fn read_error(npy: &Npy, error: &io::Error) -> DataError {
    npy.error(format!("the data is damaged or cut off ({error}); save or download it again"))
}
