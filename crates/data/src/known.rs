//! Remembers what datasets contain, so that an unchanged one need not be read again to know its fingerprint.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::cache::{Stamp, default_progress};
use crate::source::Source;
use crate::{DataConfig, DataError, Dataset, ImageShape, Parts};

/// The largest number of datasets that are remembered.
const MAX_DATASETS: usize = 64;

/// Facts about a dataset without its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// The name of a listed dataset, or else of the directory.
    pub name: String,
    /// The [fingerprint](Dataset::fingerprint).
    pub fingerprint: String,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The class of each label, in order.
    pub class_names: Vec<String>,
    /// The number of rows of the training part.
    pub train_rows: usize,
    /// The number of rows that the source provides for validation.
    #[serde(default)]
    pub validation_rows: usize,
    /// The number of rows that the source provides for testing.
    pub test_rows: usize,
}

impl DatasetSummary {
    /// The rows of each part.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts::new(self.train_rows, self.validation_rows, self.test_rows)
    }
}

impl Dataset {
    /// The entry of the dataset in [`KnownDatasets`].
    #[must_use]
    pub fn summary(&self) -> DatasetSummary {
        DatasetSummary {
            name: self.name.clone(),
            fingerprint: self.fingerprint.clone(),
            shape: self.images.shape,
            class_names: self.class_names.clone(),
            train_rows: self.parts.training.len(),
            validation_rows: self.parts.validation.len(),
            test_rows: self.parts.test.len(),
        }
    }
}

/// Summaries of datasets, each with a stamp of its files (size, times and inode) and of the settings by which they are
/// read. A summary holds as long as the stamp does. This is only a cache: without it, a dataset is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownDatasets {
    /// The most recently read one is last.
    datasets: Vec<KnownDataset>,
    /// Whether a summary holds even if the stamp of the files has changed.
    #[serde(skip)]
    is_trusted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownDataset {
    stamp: Stamp,
    summary: DatasetSummary,
}

impl KnownDatasets {
    /// Takes the datasets to be as they were when they were last read, without looking at their files. Stamps differ between
    /// machines that share a directory. The caller must compare the fingerprint before it uses the images.
    #[must_use]
    pub fn trusted(self) -> Self {
        Self { is_trusted: true, ..self }
    }

    /// The summary of a dataset. It is read unless its files have the same stamp as when it was last read. The
    /// arguments are those of [`DataConfig::load`].
    ///
    /// # Errors
    ///
    /// Those of [`DataConfig::load`].
    pub fn summary(
        &mut self,
        config: &DataConfig,
        data_directory: &Path,
    ) -> Result<DatasetSummary, DataError> {
        if self.is_trusted {
            let reading = config.reading();
            let is_same = |known: &&KnownDataset| known.stamp.reading == reading;
            if let Some(known) = self.datasets.iter().rev().find(is_same) {
                return Ok(known.summary.clone());
            }
        }
        let resolved = Source::resolve(config, data_directory)?;
        let now = SystemTime::now();
        let stamp = Stamp::of(&resolved);
        let known = |known: &&KnownDataset| Some(&known.stamp) == stamp.as_ref();
        if let Some(known) = self.datasets.iter().find(known) {
            return Ok(known.summary.clone());
        }
        let summary = resolved.load(default_progress())?.summary();
        // Otherwise a file changed while it was read, or may change without a new stamp.
        if let Some(stamp) = stamp.filter(|stamp| stamp.is_settled(now))
            && Stamp::of(&resolved).as_ref() == Some(&stamp)
        {
            self.datasets.retain(|known| {
                known.stamp.source != stamp.source || known.stamp.reading != stamp.reading
            });
            self.datasets.push(KnownDataset { stamp, summary: summary.clone() });
            let surplus = self.datasets.len().saturating_sub(MAX_DATASETS);
            self.datasets.drain(..surplus);
        }
        Ok(summary)
    }
}
