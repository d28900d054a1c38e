//! Lists the directory of a dataset. Opens no pictures.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kiln_config::printable;

use crate::natural_order;
use crate::picture::PictureFormat;
use crate::{DataError, FolderError, Part};

/// Limit for the files and directories of a dataset.
const MAX_ENTRIES: usize = 10_000_000;

/// The number of names in a note.
const MAX_NAMED: usize = 5;

/// The names of the directories of each part, in lower case. The first is the usual one.
const PARTS: [(Part, &[&str]); 3] = [
    (Part::Training, &["train", "training"]),
    (Part::Validation, &["val", "valid", "validation"]),
    (Part::Test, &["test", "testing"]),
];

/// Files that describe the dataset, without their extension, in lower case.
const DESCRIPTIONS: [&str; 8] =
    ["readme", "license", "licence", "copying", "authors", "citation", "changelog", "classes"];

/// Limit for the directories that contain one another.
pub(super) const MAX_DEPTH: usize = 64;

/// The content of the directory of a dataset.
pub(super) struct Tree {
    root: PathBuf,
    /// Classes of different parts may have the same name.
    pub(super) classes: Vec<Class>,
    /// Files that may not be pictures. Files outside of all classes are already known not to belong to the dataset.
    pub(super) strays: Vec<FoundFile>,
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

pub(super) struct Class {
    pub(super) part: Part,
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// In natural order only after sorting.
    pub(super) files: Vec<FoundFile>,
}

pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    /// The path relative to the dataset, with `/`.
    pub(super) name: String,
    /// Where the part of `name` begins that is below the directory of the class.
    pub(super) below_class: usize,
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
    pub(super) fn of(root: &Path) -> Result<Self, DataError> {
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
                    return Err(DataError::Folder(FolderError::TwoDirectoriesOfPart {
                        path: root.to_owned(),
                        one,
                        other,
                    }));
                }
            }
        }
        let has_training = parts[0].is_some();
        if !has_training && directories.clone().count() == parts.iter().flatten().count() {
            // The directories of parts are no classes. There may be no directory at all.
            return Err(DataError::Folder(FolderError::NoImages { path: root.to_owned() }));
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
            return Err(DataError::Folder(FolderError::FolderTooDeep { path, limit: MAX_DEPTH }));
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
                return Err(DataError::Folder(FolderError::TooManyFiles {
                    path,
                    limit: MAX_ENTRIES,
                }));
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
            let directory = if kind.is_symlink() {
                let real = path.canonicalize().ok().filter(|real| {
                    real.starts_with(&directory.around[0]) && !directory.around.contains(real)
                });
                let Some(real) = real else {
                    self.links.push(name);
                    continue;
                };
                real.is_dir().then_some(real)
            } else if kind.is_dir() {
                directory.around.last().map(|parent| parent.join(entry.file_name()))
            } else {
                None
            };
            entries.push(Entry { path, own_name, name, directory });
        }
        Ok(entries)
    }

    /// Looks into the files without the name of a picture. Those that are pictures are added to their classes.
    pub(super) fn find_strays(&mut self) -> Result<(), DataError> {
        for file in std::mem::take(&mut self.strays) {
            if is_picture(&file.path)? {
                self.classes[file.class].files.push(file);
            } else {
                self.no_pictures.push(file.name);
            }
        }
        Ok(())
    }

    /// The ignored files.
    pub(super) fn notes(&self) -> Vec<String> {
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
pub(super) fn note(
    names: &[String],
    one: &str,
    several: &str,
    is: &str,
    are: &str,
) -> Option<String> {
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
pub(super) fn is_ignored(name: &str) -> bool {
    let is_named = |other: &&str| name.eq_ignore_ascii_case(other);
    name.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"].iter().any(is_named)
}

/// Whether the name of a file is that of a picture that Kiln can read.
pub(super) fn has_picture_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 12] =
        ["png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff"];
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a file begins like a picture.
pub(super) fn is_picture(path: &Path) -> Result<bool, DataError> {
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
