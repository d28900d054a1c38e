//! Where the arrays of a dataset are: an archive, or a directory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::find;
use crate::DataError;
use crate::class_names::MAX_CLASSES;
use crate::formats::arrays::invalid;
use crate::formats::npy::Npy;

/// The arrays that can have the names of the classes.
pub(super) const CLASS_NAMES: [&str; 2] = ["class_names", "label_names"];

/// Where arrays are.
pub(super) enum Store {
    Archive { path: PathBuf, archive: Box<ZipArchive<BufReader<File>>> },
    Directory { path: PathBuf, arrays: Vec<(String, PathBuf)> },
}

/// The `.npy` files of a directory and the names of their arrays.
pub(super) fn directory_arrays(path: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
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
pub(super) fn archive_in(path: &Path) -> Option<PathBuf> {
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
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
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

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Archive { path, .. } | Self::Directory { path, .. } => path,
        }
    }

    /// The names of all arrays.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Archive { archive, .. } => archive
                .file_names()
                .filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned()))
                .collect(),
            Self::Directory { arrays, .. } => arrays.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Calls `work` with the header of an array and the bytes that follow it.
    pub(super) fn with_array<T>(
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

    pub(super) fn header(&mut self, name: &str) -> Result<Npy, DataError> {
        self.with_array(name, |npy, _| Ok(npy.clone()))
    }

    /// The names of the classes, if there is an array of them.
    pub(super) fn class_names(&mut self) -> Result<Option<Vec<String>>, DataError> {
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
