//! Finds the dataset that `data.source` names and reads it.

use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::cache::{Access, Build, Cache, LoadProgress, Rows, Stamp, Table, default_progress};
use crate::catalog::{self, DATASETS, NamedDataset};
use crate::formats::{self, Contents, Format, Location, SourcePixels};
use crate::picture::picture_files;
use crate::source_images::{SourceImages, wanted_shape};
use crate::{DataConfig, DataError, Dataset, FormatName, LabeledImages, Pixels, SourceError};

/// Larger arrays are mapped into memory.
const MAX_ARRAY_BYTES: usize = 256 << 20;

/// Reads a complete dataset into memory, with the default of every other setting; see [`DataConfig::load`].
///
/// `source` is the name of a listed dataset, whose files are in the directory of that name in
/// `data_directory`; or the path of a directory or file; or the name of one in
/// `data_directory`.
///
/// # Errors
///
/// Those of [`DataConfig::load`].
pub fn load(source: &str, data_directory: &Path) -> Result<Dataset, DataError> {
    DataConfig::new(source).load(data_directory)
}

impl DataConfig {
    /// Like [`load`](Self::load), for a dataset that was read before and may have moved since. If it is not where `source`
    /// says, or has another fingerprint there, it is searched in `data_directory`: that directory itself, or any end of the
    /// path `source` below it. Only a dataset with the recorded fingerprint is accepted there.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load); it may also return the changed dataset that is where `source` says.
    pub fn load_recorded(
        &self,
        data_directory: &Path,
        fingerprint: &str,
    ) -> Result<Dataset, DataError> {
        let found = self.load(data_directory);
        if found.as_ref().is_ok_and(|dataset| dataset.fingerprint == fingerprint) {
            return found;
        }
        let moved = Source::moved(self, data_directory)
            .into_iter()
            .filter_map(|it| it.load(default_progress()).ok());
        moved.into_iter().find(|dataset| dataset.fingerprint == fingerprint).map_or(found, Ok)
    }
}

/// The location and format of a dataset.
pub(crate) struct Source<'a> {
    name: String,
    /// The entry of a listed dataset.
    named: Option<&'static NamedDataset>,
    path: PathBuf,
    format: &'static dyn Format,
    config: &'a DataConfig,
    /// Its cache has the decoded images.
    data_directory: &'a Path,
}

impl<'a> Source<'a> {
    pub(crate) fn resolve(
        config: &'a DataConfig,
        data_directory: &'a Path,
    ) -> Result<Self, DataError> {
        let source = config.source.as_str();
        // A listed name wins over a directory of the same name, which needs a path: `./mnist`.
        if let Some(named) = catalog::find(source) {
            return Self::listed(named, config, data_directory);
        }
        let path = Path::new(source);
        let is_path = source.starts_with('.') || source.contains(std::path::is_separator);
        let in_data = data_directory.join(path);
        let path = if path.exists() {
            path.to_owned()
        } else if is_path {
            return Err(DataError::Source(SourceError::NoSuchSource { path: path.to_owned() }));
        } else if !source.is_empty() && in_data.exists() {
            in_data
        } else {
            let names = DATASETS.iter().map(|dataset| dataset.name);
            return Err(DataError::Source(SourceError::UnknownDataset {
                name: source.to_owned(),
                nearest: kiln_config::nearest(source, names.clone()),
                known: names.collect::<Vec<_>>().join(", "),
            }));
        };
        let name = path.file_name().map_or_else(|| source.into(), |name| name.to_string_lossy());
        Self::at(name.into_owned(), None, path.clone(), config, data_directory)
    }

    /// Where a dataset may be that is not where `source` says.
    fn moved(config: &'a DataConfig, data_directory: &'a Path) -> Vec<Self> {
        let source = config.source.as_str();
        let named = catalog::find(source);
        let parts: Vec<Component<'_>> = Path::new(source).components().collect();
        let is_plain = |part: &&Component<'_>| matches!(part, Component::Normal(_));
        let plain = parts.iter().rev().take_while(is_plain).count();
        let name = Path::new(source).file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The longest end of the path is the most specific one; no part is the directory itself.
        let ends = (parts.len() - plain..=parts.len()).map(|start| &parts[start..]);
        let paths = ends.map(|end| data_directory.join(end.iter().collect::<PathBuf>()));
        let paths = paths.filter(|path| path.exists());
        let source = |path| Self::at(name.clone(), named, path, config, data_directory).ok();
        paths.filter_map(source).collect()
    }

    /// A listed dataset, in its directory.
    pub(crate) fn listed(
        named: &'static NamedDataset,
        config: &'a DataConfig,
        data_directory: &'a Path,
    ) -> Result<Self, DataError> {
        let path = data_directory.join(named.name);
        // Formats of several files report which of them is missing.
        if named.format != FormatName::Idx && !path.exists() {
            return Err(DataError::MissingFile { path, advice: named.how_to_get() });
        }
        Self::at(named.name.to_owned(), Some(named), path, config, data_directory)
    }

    fn at(
        name: String,
        named: Option<&'static NamedDataset>,
        path: PathBuf,
        config: &'a DataConfig,
        data_directory: &'a Path,
    ) -> Result<Self, DataError> {
        let format = match config.format.or(named.map(|named| named.format)) {
            Some(name) => formats::named(name),
            None => formats::detect(&path),
        };
        let Some(format) = format else {
            return Err(unknown(path));
        };
        if config.format.is_some() && path.is_file() && format.needs_directory() {
            return Err(DataError::Source(SourceError::NotADirectory {
                path,
                format: format.name(),
            }));
        }
        Ok(Self { name, named, path, format, config, data_directory })
    }

    pub(crate) fn location(&self) -> Location<'_> {
        Location { path: &self.path, named: self.named, config: self.config }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn format(&self) -> &'static dyn Format {
        self.format
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.named.is_some()
    }

    /// The settings by which the dataset is read.
    pub(crate) fn reading(&self) -> String {
        self.config.reading()
    }

    /// Reads the complete dataset, from the cache if it is there.
    pub(crate) fn load(&self, progress: &dyn LoadProgress) -> Result<Dataset, DataError> {
        let start = SystemTime::now();
        let before = Stamp::of(self);
        if let Some(found) = self.find(before.as_ref()) {
            return Ok(found);
        }
        let contents = self.format.read(&self.location())?;
        if self.stays_in_memory(&contents) {
            return self.decode(contents, progress);
        }
        let cache = Cache::new(self.data_directory);
        let access = cache.acquire();
        // Another process may have decoded the dataset since, and if this one waited for it, the files may have changed.
        let mut stamp = if access.has_waited() { Stamp::of(self) } else { before.clone() };
        if let Some(found) = self.find(stamp.as_ref()) {
            return Ok(found);
        }
        let is_settled = stamp.as_ref().is_some_and(|stamp| stamp.is_settled(start));
        let contents = if is_settled && stamp == before {
            contents
        } else {
            // The files have just been written. A stamp from before the contents are read must be settled.
            let is_settled = stamp.is_some_and(|stamp| stamp.wait());
            stamp = Stamp::of(self).filter(|_| is_settled);
            self.format.read(&self.location())?
        };
        self.decode_into(&cache, access, contents, stamp.as_ref(), progress)
    }

    fn find(&self, stamp: Option<&Stamp>) -> Option<Dataset> {
        let (table, pixels) = Cache::new(self.data_directory).find(stamp?)?;
        Some(self.dataset(table, pixels))
    }

    /// The dataset with these contents, as [`load`](Self::load) returns it. The cache does not remember it.
    pub(crate) fn decode(
        &self,
        contents: Contents,
        progress: &dyn LoadProgress,
    ) -> Result<Dataset, DataError> {
        if !self.stays_in_memory(&contents) {
            let cache = Cache::new(self.data_directory);
            return self.decode_into(&cache, cache.acquire(), contents, None, progress);
        }
        let (rows, pixels) = split(contents);
        let SourcePixels::Array { shape, pixels } = pixels else {
            return Err(DataError::Source(SourceError::UnknownFormat {
                path: self.path.clone(),
                known: formats::descriptions(),
            }));
        };
        let fingerprint =
            rows.fingerprint.clone().unwrap_or_else(|| rows.fingerprint_of_array(shape, &pixels));
        Ok(self.dataset(rows.into_table(shape, fingerprint), pixels.into()))
    }

    /// Whether the images are an array that is used as it is.
    fn stays_in_memory(&self, contents: &Contents) -> bool {
        match &contents.pixels {
            SourcePixels::Array { shape, pixels } => {
                pixels.len() <= MAX_ARRAY_BYTES && wanted_shape(*shape, self.config) == *shape
            }
            SourcePixels::Encoded(_) => false,
        }
    }

    fn decode_into(
        &self,
        cache: &Cache,
        access: Access,
        contents: Contents,
        stamp: Option<&Stamp>,
        progress: &dyn LoadProgress,
    ) -> Result<Dataset, DataError> {
        let (mut rows, pixels) = split(contents);
        if rows.fingerprint.is_none()
            && let SourcePixels::Array { shape, pixels } = &pixels
        {
            rows.fingerprint = Some(rows.fingerprint_of_array(*shape, pixels));
        }
        let images = SourceImages::new(pixels, |row| rows.name(row), self.config)?;
        let [red, green, blue] = self.config.background.0;
        let build = Build {
            path: self.path.clone(),
            rows,
            shape: images.shape(),
            images: &images,
            broken: self.config.broken,
            fitting: format!("{}-{red:02x}{green:02x}{blue:02x}", self.config.resize),
            stamp,
            stamp_now: &|| Stamp::of(self),
        };
        let (table, pixels) = cache.build(access, &build, progress)?;
        Ok(self.dataset(table, pixels))
    }

    fn dataset(&self, table: Table, pixels: Pixels) -> Dataset {
        let Table {
            shape,
            class_names,
            labels,
            parts,
            file_names,
            info,
            skipped,
            notes,
            fingerprint,
        } = table;
        Dataset {
            name: self.name.clone(),
            title: self.named.map(|named| named.title),
            format: self.format.name().as_str(),
            class_names,
            images: LabeledImages { shape, pixels, labels },
            parts,
            file_names,
            info,
            skipped,
            notes,
            fingerprint,
        }
    }
}

/// Separates the pixels from the other contents, and brings the rows into the order of their parts.
fn split(contents: Contents) -> (Rows, SourcePixels) {
    let Contents { class_names, labels, parts, pixels, file_names, notes, fingerprint } = contents;
    let rows = Rows { class_names, labels, parts, file_names, notes, fingerprint };
    if rows.parts.is_sorted() {
        return (rows, pixels);
    }
    let mut order: Vec<usize> = (0..rows.parts.len()).collect();
    // The sort is stable: within a part, the order stays.
    order.sort_by_key(|row| rows.parts[*row]);
    let pixels = match pixels {
        SourcePixels::Array { shape, pixels } => {
            let values = shape.values();
            let images = order.iter().flat_map(|row| &pixels[row * values..(row + 1) * values]);
            SourcePixels::Array { shape, pixels: images.copied().collect() }
        }
        SourcePixels::Encoded(pictures) => SourcePixels::Encoded(reordered(pictures, &order)),
    };
    let rows = Rows {
        labels: reordered(rows.labels, &order),
        parts: reordered(rows.parts, &order),
        file_names: rows.file_names.map(|names| reordered(names, &order)),
        ..rows
    };
    (rows, pixels)
}

/// The items with these numbers, which are all numbers of items.
fn reordered<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.iter().filter_map(|row| items[*row].take()).collect()
}

/// Why a file or directory is not a dataset.
fn unknown(path: PathBuf) -> DataError {
    let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
    let is_hidden =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let visible: Vec<_> = entries.filter(|entry| !is_hidden(entry)).collect();
    if path.is_dir() && visible.is_empty() {
        return DataError::Source(SourceError::EmptySource { path });
    }
    if !visible.iter().any(|entry| entry.path().is_dir())
        && picture_files(&path).is_ok_and(|pictures| !pictures.is_empty())
    {
        return DataError::Source(SourceError::NoClassDirectories { path });
    }
    DataError::Source(SourceError::UnknownFormat { path, known: formats::descriptions() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageShape, Part};

    #[test]
    fn rows_are_in_the_order_of_their_parts() {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let contents = Contents {
            class_names: vec!["0".to_owned()],
            labels: vec![0, 1, 2, 3],
            parts: vec![Part::Test, Part::Training, Part::Validation, Part::Training],
            pixels: SourcePixels::Array { shape, pixels: (0..8).collect() },
            file_names: Some(["a", "b", "c", "d"].map(str::to_owned).to_vec()),
            notes: Vec::new(),
            fingerprint: None,
        };
        let (rows, pixels) = split(contents);
        assert_eq!(rows.labels, [1, 3, 2, 0]);
        assert_eq!(rows.file_names, Some(["b", "d", "c", "a"].map(str::to_owned).to_vec()));
        assert_eq!(rows.parts, [Part::Training, Part::Training, Part::Validation, Part::Test]);
        let SourcePixels::Array { pixels, .. } = pixels else { panic!("an array") };
        assert_eq!(pixels, [2, 3, 6, 7, 4, 5, 0, 1]);
    }
}
