//! Directories of pictures, one for each class.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kiln_config::printable;

use super::{Contents, Encoded, Format, Location, SourcePixels};
use crate::class_names::{MAX_CLASSES, read_class_names};
use crate::natural_order;
use crate::picture::PictureFormat;
use crate::{DataError, FormatName, Part};

/// Limit for the files and directories of a dataset.
const MAX_ENTRIES: usize = 10_000_000;

/// Limit for the directories that contain one another.
const MAX_DEPTH: usize = 64;

/// The number of entries in which [`FolderFormat::detects`] searches a picture.
const MAX_SEARCHED: usize = 10_000;

/// The number of names in a note.
const MAX_NAMED: usize = 5;

/// The file with the names of the classes, in order.
const CLASS_NAMES: &str = "classes.txt";

/// The names of the directories of each part, in lower case. The first is the usual one.
const PARTS: [(Part, &[&str]); 3] = [
    (Part::Training, &["train", "training"]),
    (Part::Validation, &["val", "valid", "validation"]),
    (Part::Test, &["test", "testing"]),
];

/// Files that describe the dataset, without their extension, in lower case.
const DESCRIPTIONS: [&str; 8] =
    ["readme", "license", "licence", "copying", "authors", "citation", "changelog", "classes"];

pub(crate) struct FolderFormat;

impl Format for FolderFormat {
    fn name(&self) -> FormatName {
        FormatName::Folder
    }

    fn description(&self) -> &'static str {
        "a directory with a directory of images for each class"
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
                return Err(DataError::ClassNotInTraining {
                    path: class.path,
                    part: class.part,
                    class: class_name,
                });
            };
            // At most `MAX_CLASSES`.
            let (part, label) = (class.part, label as u16);
            rows.extend(class.files.into_iter().map(|file| Row { part, label, file }));
        }
        if !rows.iter().any(|row| row.part == Part::Training) {
            return Err(DataError::NoImages { path: root.to_owned() });
        }
        if let [class] = class_names.as_slice() {
            return Err(DataError::OneClass { path: root.to_owned(), class: class.clone() });
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
                return Err(DataError::UnlistedClass { path, class: class.name.clone() });
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
        return Err(DataError::TooManyClasses { path, classes: names.len() });
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

/// What is in the directory of a dataset.
struct Tree {
    root: PathBuf,
    /// Classes of different parts may have the same name.
    classes: Vec<Class>,
    /// Files that may not be pictures. Files outside of all classes are already known not to belong to the dataset.
    strays: Vec<FoundFile>,
    /// Hidden files and directories, and files of operating systems.
    ignored: Vec<String>,
    /// Symbolic links that lead outside of the dataset, to nothing, or to a directory around them.
    links: Vec<String>,
    /// Files outside of the directories of the classes.
    outside: Vec<String>,
    /// Directories next to those of the parts.
    unused: Vec<String>,
    /// Files in the directories of classes that are not pictures.
    no_pictures: Vec<String>,
    /// The number of files and directories.
    entries: usize,
}

struct Class {
    part: Part,
    path: PathBuf,
    name: String,
    /// In natural order only after sorting.
    files: Vec<FoundFile>,
}

struct FoundFile {
    path: PathBuf,
    /// The path relative to the dataset, with `/`.
    name: String,
    /// Where the part of `name` begins that is below the directory of the class.
    below_class: usize,
    /// The index of the class.
    class: usize,
}

/// A directory that is being read.
struct Directory<'a> {
    path: &'a Path,
    /// The path relative to the dataset, with `/` at the end; empty for the dataset itself.
    name: &'a str,
    /// The real paths of the directory and of those around it, to recognize links that lead back.
    around: &'a [PathBuf],
}

/// An entry of a directory that is not ignored.
struct Entry {
    path: PathBuf,
    /// Its own name.
    own_name: String,
    /// The path relative to the dataset, with `/`.
    name: String,
    /// The real path of a directory.
    directory: Option<PathBuf>,
}

impl Tree {
    /// Lists a dataset. Opens no file.
    fn of(root: &Path) -> Result<Self, DataError> {
        let mut tree = Self {
            root: root.to_owned(),
            classes: Vec::new(),
            strays: Vec::new(),
            ignored: Vec::new(),
            links: Vec::new(),
            outside: Vec::new(),
            unused: Vec::new(),
            no_pictures: Vec::new(),
            entries: 0,
        };
        let real = root
            .canonicalize()
            .map_err(|source| DataError::Read { path: root.to_owned(), source })?;
        let around = [real];
        let entries = tree.entries(&Directory { path: root, name: "", around: &around })?;

        let directories = entries.iter().filter(|entry| entry.directory.is_some());
        let mut parts: [Option<&Entry>; 3] = [None; 3];
        for entry in directories.clone() {
            let name = entry.own_name.to_lowercase();
            for (place, (_, names)) in parts.iter_mut().zip(PARTS) {
                if names.contains(&name.as_str())
                    && let Some(other) = place.replace(entry)
                {
                    let [one, other] = [other, entry].map(|entry| entry.own_name.clone());
                    return Err(DataError::TwoDirectoriesOfPart {
                        path: root.to_owned(),
                        one,
                        other,
                    });
                }
            }
        }
        let has_training = parts[0].is_some();
        if !has_training && directories.clone().count() == parts.iter().flatten().count() {
            // The directories of parts are no classes. There may be no directory at all.
            return Err(DataError::NoImages { path: root.to_owned() });
        }
        for entry in &entries {
            let Some(real) = &entry.directory else {
                tree.add_outside(entry);
                continue;
            };
            let part = PARTS
                .iter()
                .zip(parts)
                .find(|(_, found)| found.is_some_and(|found| found.own_name == entry.own_name));
            let around = [around[0].clone(), real.clone()];
            match part {
                _ if !has_training => tree.add_class(Part::Training, entry, &around)?,
                Some(((part, _), _)) => tree.add_part(*part, entry, &around)?,
                None => tree.unused.push(entry.name.clone()),
            }
        }
        Ok(tree)
    }

    fn add_part(
        &mut self,
        part: Part,
        directory: &Entry,
        around: &[PathBuf],
    ) -> Result<(), DataError> {
        let name = format!("{}/", directory.name);
        for entry in self.entries(&Directory { path: &directory.path, name: &name, around })? {
            match &entry.directory {
                Some(real) => {
                    self.add_class(part, &entry, &[around, std::slice::from_ref(real)].concat())?;
                }
                None => self.add_outside(&entry),
            }
        }
        Ok(())
    }

    /// A file outside of the directories of the classes.
    fn add_outside(&mut self, entry: &Entry) {
        let name = entry.own_name.to_lowercase();
        let stem = name.split('.').next().unwrap_or_default();
        if !DESCRIPTIONS.contains(&stem) {
            self.outside.push(entry.name.clone());
        }
    }

    fn add_class(
        &mut self,
        part: Part,
        directory: &Entry,
        around: &[PathBuf],
    ) -> Result<(), DataError> {
        let name = format!("{}/", directory.name);
        let (path, own_name) = (directory.path.clone(), directory.own_name.clone());
        self.classes.push(Class { part, path, name: own_name, files: Vec::new() });
        let directory = Directory { path: &directory.path, name: &name, around };
        self.add_files(&directory, name.len())
    }

    /// Adds the files of a directory and of those in it to the last class.
    fn add_files(
        &mut self,
        directory: &Directory<'_>,
        below_class: usize,
    ) -> Result<(), DataError> {
        if directory.around.len() > MAX_DEPTH {
            let path = directory.path.to_owned();
            return Err(DataError::FolderTooDeep { path, limit: MAX_DEPTH });
        }
        let class = self.classes.len() - 1;
        for Entry { path, own_name, name, directory: real } in self.entries(directory)? {
            if let Some(real) = real {
                let around = [directory.around, &[real]].concat();
                let name = format!("{name}/");
                let directory = Directory { path: &path, name: &name, around: &around };
                self.add_files(&directory, below_class)?;
            } else {
                let is_named_picture = has_picture_name(&own_name);
                let file = FoundFile { path, name, below_class, class };
                // A file with the name of a picture that is not one is broken, which is reported when it is decoded.
                if is_named_picture {
                    self.classes[class].files.push(file);
                } else {
                    self.strays.push(file);
                }
            }
        }
        Ok(())
    }

    /// The entries of a directory, without those that are ignored.
    fn entries(&mut self, directory: &Directory<'_>) -> Result<Vec<Entry>, DataError> {
        let unreadable =
            |source: io::Error| DataError::Read { path: directory.path.to_owned(), source };
        let mut listed = Vec::new();
        for entry in directory.path.read_dir().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let path = self.root.clone();
                return Err(DataError::TooManyFiles { path, limit: MAX_ENTRIES });
            }
            listed.push((entry.file_name().to_string_lossy().into_owned(), entry));
        }
        // The order of the file system is not reproducible.
        listed.sort_by(|(one, _), (other, _)| natural_order::compare(one, other));

        let mut entries = Vec::new();
        for (own_name, entry) in listed {
            let name = format!("{}{own_name}", directory.name);
            if is_ignored(&own_name) {
                self.ignored.push(name);
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(unreadable)?;
            let real = if kind.is_symlink() {
                path.canonicalize().ok().filter(|real| {
                    real.starts_with(&directory.around[0]) && !directory.around.contains(real)
                })
            } else {
                directory.around.last().map(|parent| parent.join(entry.file_name()))
            };
            let Some(real) = real else {
                self.links.push(name);
                continue;
            };
            let is_directory = kind.is_dir() || (kind.is_symlink() && real.is_dir());
            let directory = is_directory.then_some(real);
            entries.push(Entry { path, own_name, name, directory });
        }
        Ok(entries)
    }

    /// Looks into the files without the name of a picture. Those that are pictures are added to their classes.
    fn find_strays(&mut self) -> Result<(), DataError> {
        for file in std::mem::take(&mut self.strays) {
            if is_picture(&file.path)? {
                self.classes[file.class].files.push(file);
            } else {
                self.no_pictures.push(file.name);
            }
        }
        Ok(())
    }

    /// What was ignored.
    fn notes(&self) -> Vec<String> {
        [
            note(
                &self.ignored,
                "hidden file or folder",
                "hidden files and folders",
                "was ignored",
                "were ignored",
            ),
            note(
                &self.no_pictures,
                "file",
                "files",
                &format!("is not a {} picture and was ignored", PictureFormat::NAMES),
                &format!("are not {} pictures and were ignored", PictureFormat::NAMES),
            ),
            note(
                &self.outside,
                "file",
                "files",
                "is outside of the directories of the classes and was ignored",
                "are outside of the directories of the classes and were ignored",
            ),
            note(
                &self.unused,
                "directory",
                "directories",
                "is neither training, validation nor test and was ignored",
                "are neither training, validation nor test and were ignored",
            ),
            note(
                &self.links,
                "symbolic link",
                "symbolic links",
                "leads out of the dataset, to nothing or in a circle and was ignored",
                "lead out of the dataset, to nothing or in a circle and were ignored",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A note about files: `2 files are not pictures: a.txt, b.txt`.
fn note(names: &[String], one: &str, several: &str, is: &str, are: &str) -> Option<String> {
    // A name may contain line breaks.
    let shown = names.iter().take(MAX_NAMED).map(|name| printable(name));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match names.len() {
        0 => None,
        1 => Some(format!("1 {one} {is}: {shown}")),
        count => Some(format!("{count} {several} {are}: {shown}{more}")),
    }
}

/// Whether a file or directory is hidden or made by an operating system for itself.
fn is_ignored(name: &str) -> bool {
    let is_named = |other: &&str| name.eq_ignore_ascii_case(other);
    name.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"].iter().any(is_named)
}

/// Whether the name of a file is that of a picture that Kiln can read.
fn has_picture_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 12] =
        ["png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff"];
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a file begins like a picture.
fn is_picture(path: &Path) -> Result<bool, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    // Opening a pipe could wait forever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let length = PictureFormat::SIGNATURE_BYTES as u64;
    file.take(length).read_to_end(&mut start).map_err(unreadable)?;
    Ok(PictureFormat::of(&start).is_some())
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
