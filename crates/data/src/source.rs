//! Finds the dataset that `data.source` names and reads it.

use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::catalog::{self, DATASETS, NamedDataset};
use crate::content::hexadecimal;
use crate::formats::{self, Contents, Format, Location, SourcePixels};
use crate::{DataConfig, DataError, Dataset, FormatName, LabeledImages, Part, Parts};

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
        let moved = Source::moved(self, data_directory).into_iter().filter_map(|it| it.load().ok());
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
}

impl<'a> Source<'a> {
    pub(crate) fn resolve(
        config: &'a DataConfig,
        data_directory: &Path,
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
            return Err(DataError::NoSuchSource { path: path.to_owned() });
        } else if !source.is_empty() && in_data.exists() {
            in_data
        } else {
            let names = DATASETS.iter().map(|dataset| dataset.name);
            return Err(DataError::UnknownDataset {
                name: source.to_owned(),
                nearest: kiln_config::nearest(source, names.clone()),
                known: names.collect::<Vec<_>>().join(", "),
            });
        };
        let name = path.file_name().map_or_else(|| source.into(), |name| name.to_string_lossy());
        Self::at(name.into_owned(), None, path.clone(), config)
    }

    /// Where a dataset may be that is not where `source` says.
    fn moved(config: &'a DataConfig, data_directory: &Path) -> Vec<Self> {
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
        paths.filter_map(|path| Self::at(name.clone(), named, path, config).ok()).collect()
    }

    /// A listed dataset, in its directory.
    pub(crate) fn listed(
        named: &'static NamedDataset,
        config: &'a DataConfig,
        data_directory: &Path,
    ) -> Result<Self, DataError> {
        let path = data_directory.join(named.name);
        // Formats of several files report which of them is missing.
        if named.format != FormatName::Idx && !path.exists() {
            return Err(DataError::MissingFile { path, advice: named.how_to_get() });
        }
        Self::at(named.name.to_owned(), Some(named), path, config)
    }

    fn at(
        name: String,
        named: Option<&'static NamedDataset>,
        path: PathBuf,
        config: &'a DataConfig,
    ) -> Result<Self, DataError> {
        let format = match config.format.or(named.map(|named| named.format)) {
            Some(name) => formats::named(name),
            None => formats::detect(&path),
        };
        let Some(format) = format else {
            return Err(DataError::UnknownFormat { path, known: formats::descriptions() });
        };
        Ok(Self { name, named, path, format, config })
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

    /// Reads the complete dataset.
    pub(crate) fn load(&self) -> Result<Dataset, DataError> {
        self.dataset(self.format.read(&self.location())?)
    }

    /// The dataset with these contents.
    pub(crate) fn dataset(&self, contents: Contents) -> Result<Dataset, DataError> {
        let Contents { class_names, labels, parts, pixels, file_names, notes, fingerprint } =
            contents;
        let SourcePixels::Array { shape, pixels } = pixels else {
            return Err(DataError::UnknownFormat {
                path: self.path.clone(),
                known: formats::descriptions(),
            });
        };
        let fingerprint = fingerprint.unwrap_or_else(|| {
            let mut sum = Sha256::new();
            sum.update(&pixels);
            hexadecimal(&sum.finalize())
        });
        let count = |wanted| parts.iter().filter(|part| **part == wanted).count();
        let counts = Parts::new(count(Part::Training), count(Part::Validation), count(Part::Test));
        Ok(Dataset {
            name: self.name.clone(),
            title: self.named.map(|named| named.title),
            format: self.format.name().as_str(),
            class_names,
            images: LabeledImages { shape, pixels: pixels.into(), labels },
            parts: counts,
            file_names,
            info: None,
            skipped: Vec::new(),
            notes,
            fingerprint,
        })
    }
}
