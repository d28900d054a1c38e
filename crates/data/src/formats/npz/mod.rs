//! Arrays of NumPy: an archive (`.npz`), or a directory of `.npy` files with the same names.
//!
//! The names are those of Keras (`x_train`, `y_train`, …) and MedMNIST (`train_images`, `train_labels`, …), or `images` and
//! `labels` for a dataset without parts.

mod images;
mod labels;
mod store;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::arrays::{Axes, Classes, MAX_ROWS, class_list, invalid};
use super::npy::Npy;
use super::{Contents, Format, Location};
use crate::class_names::numbered;
use crate::{DataConfig, DataError, FormatName, Part};

use images::{Scale, image_axes, read_images};
use labels::read_labels;
use store::{CLASS_NAMES, Store, archive_in, directory_arrays};

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

/// The words in the names of the arrays of a part.
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
