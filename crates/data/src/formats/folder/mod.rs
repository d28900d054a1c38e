//! Directories of pictures, one for each class.

mod error;
mod tree;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{Contents, Encoded, Format, Location, SourcePixels};
use crate::class_names::{MAX_CLASSES, read_class_names};
use crate::natural_order;
use crate::{DataError, FormatName, Part};

pub use error::FolderError;
use tree::{FoundFile, MAX_DEPTH, Tree, has_picture_name, is_ignored, is_picture, note};

/// The number of entries in which [`FolderFormat::detects`] searches a picture.
const MAX_SEARCHED: usize = 10_000;

/// The file with the names of the classes, in order.
const CLASS_NAMES: &str = "classes.txt";

pub(crate) struct FolderFormat;

impl Format for FolderFormat {
    fn name(&self) -> FormatName {
        FormatName::Folder
    }

    fn description(&self) -> &'static str {
        "a directory with a directory of images for each class"
    }

    fn needs_directory(&self) -> bool {
        true
    }

    fn detects(&self, path: &Path) -> bool {
        let mut remaining = MAX_SEARCHED;
        // Pictures directly in the directory have no class, which `read` explains.
        path.is_dir() && has_picture(path, 0, &mut remaining)
    }

    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError> {
        let tree = Tree::of(location.path)?;
        let pictures = tree.classes.into_iter().flat_map(|class| class.files);
        let mut files: Vec<PathBuf> = pictures.map(|file| file.path).collect();
        files.extend(tree.strays.into_iter().map(|file| file.path));
        files.push(location.path.join(CLASS_NAMES));
        Ok(files)
    }

    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError> {
        let root = location.path;
        let mut tree = Tree::of(root)?;
        tree.find_strays()?;
        let mut notes = tree.notes();

        let class_names = class_names(root, &tree, &mut notes)?;
        let labels: HashMap<&str, usize> =
            class_names.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
        let mut rows = Vec::new();
        for class in tree.classes {
            let Some(&label) = labels.get(class.name.as_str()) else {
                if class.files.is_empty() {
                    continue;
                }
                let class_name = class.name;
                return Err(DataError::Folder(FolderError::ClassNotInTraining {
                    path: class.path,
                    part: class.part,
                    class: class_name,
                }));
            };
            // At most `MAX_CLASSES`.
            let (part, label) = (class.part, label as u16);
            rows.extend(class.files.into_iter().map(|file| Row { part, label, file }));
        }
        if !rows.iter().any(|row| row.part == Part::Training) {
            return Err(DataError::Folder(FolderError::NoImages { path: root.to_owned() }));
        }
        if let [class] = class_names.as_slice() {
            return Err(DataError::Folder(FolderError::OneClass {
                path: root.to_owned(),
                class: class.clone(),
            }));
        }
        rows.sort_by(Row::compare);

        let mut contents = Contents {
            class_names,
            labels: Vec::with_capacity(rows.len()),
            parts: Vec::with_capacity(rows.len()),
            pixels: SourcePixels::Encoded(Vec::new()),
            file_names: None,
            notes,
            fingerprint: None,
        };
        let (mut pictures, mut names) = (Vec::new(), Vec::new());
        for Row { part, label, file } in rows {
            contents.labels.push(label);
            contents.parts.push(part);
            pictures.push(Encoded::File(file.path));
            names.push(file.name);
        }
        contents.pixels = SourcePixels::Encoded(pictures);
        contents.file_names = Some(names);
        Ok(contents)
    }
}

/// The names in `classes.txt`, or else the names of the directories in the training part that have images.
fn class_names(
    root: &Path,
    tree: &Tree,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, DataError> {
    let path = root.join(CLASS_NAMES);
    let of_training = tree.classes.iter().filter(|class| class.part == Part::Training);
    if path.is_file() {
        let names = read_class_names(&path)?;
        let listed: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        for class in of_training {
            if !listed.contains(class.name.as_str()) && !class.files.is_empty() {
                return Err(DataError::Folder(FolderError::UnlistedClass {
                    path,
                    class: class.name.clone(),
                }));
            }
        }
        return Ok(names);
    }
    let mut names: Vec<String> = Vec::new();
    let mut empty = Vec::new();
    for class in of_training {
        let target = if class.files.is_empty() { &mut empty } else { &mut names };
        target.push(class.name.clone());
    }
    names.sort_by(|one, other| natural_order::compare(one, other));
    // Names that are not UTF-8 may have become equal.
    names.dedup();
    let few = "has no images, so it is not a class";
    let many = "have no images, so they are not classes";
    notes.extend(note(&empty, "class directory", "class directories", few, many));
    if names.len() > MAX_CLASSES {
        let path = root.to_owned();
        return Err(DataError::Folder(FolderError::TooManyClasses { path, classes: names.len() }));
    }
    Ok(names)
}

/// An image with its label.
struct Row {
    part: Part,
    label: u16,
    file: FoundFile,
}

impl Row {
    /// By part, then in the natural order of the paths below the directories of the classes, so that files that are
    /// numbered across all classes keep the order of their numbers.
    fn compare(&self, other: &Self) -> Ordering {
        let paths = [self, other].map(|row| &row.file.name[row.file.below_class..]);
        (self.part.cmp(&other.part))
            .then_with(|| natural_order::compare_paths(paths[0], paths[1]))
            .then_with(|| self.label.cmp(&other.label))
    }
}

/// Whether there is a picture in a directory or in those in it, among the first entries.
fn has_picture(directory: &Path, depth: usize, remaining: &mut usize) -> bool {
    let Ok(entries) = directory.read_dir() else { return false };
    for entry in entries.flatten() {
        if *remaining == 0 || depth > MAX_DEPTH {
            return false;
        }
        *remaining -= 1;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ignored(&name) {
            continue;
        }
        let path = entry.path();
        let found = if path.is_dir() {
            has_picture(&path, depth + 1, remaining)
        } else {
            has_picture_name(&name) || is_picture(&path).unwrap_or(false)
        };
        if found {
            return true;
        }
    }
    false
}
