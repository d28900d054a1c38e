//! Remembers what datasets contain, so that an unchanged one need not be read again to know its fingerprint.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::source::Source;
use crate::{DataConfig, DataError, Dataset, ImageShape, Parts};

/// A file that changed less than this before it was read may have changed again within the same tick of the file
/// system's clock, so its stamp proves nothing. The coarsest clock, that of FAT, has ticks of two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// The largest number of datasets that are remembered.
const MAX_DATASETS: usize = 64;

/// What is known about a dataset without its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// The name of a listed dataset, or else of the directory.
    pub name: String,
    /// The [fingerprint](Dataset::fingerprint).
    pub fingerprint: String,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The number of classes.
    pub classes: usize,
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
    /// What [`KnownDatasets`] remembers of the dataset.
    #[must_use]
    pub fn summary(&self) -> DatasetSummary {
        DatasetSummary {
            name: self.name.clone(),
            fingerprint: self.fingerprint.clone(),
            shape: self.images.shape,
            classes: self.class_names.len(),
            train_rows: self.parts.training.len(),
            validation_rows: self.parts.validation.len(),
            test_rows: self.parts.test.len(),
        }
    }
}

/// Summaries of datasets, each with a stamp of its files: size, times and inode. A summary holds as long as the stamp
/// does. This is only a cache: without it, a dataset is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownDatasets {
    /// The most recently read one is last.
    datasets: Vec<KnownDataset>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownDataset {
    stamp: Stamp,
    summary: DatasetSummary,
}

/// Where a dataset is, and the state of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// The absolute path.
    directory: PathBuf,
    /// Whether the dataset is a listed one, whose classes are not those of `classes.txt`.
    listed: bool,
    files: Vec<FileStamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileStamp {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds from 1970 to the last change of the content, as far as the file system and its users tell.
    modified: u64,
    /// Nanoseconds from 1970 to the last change of the file or its attributes, which no program can set. 0 on systems
    /// that do not have it.
    changed: u64,
    /// The device and the number of the file on it: a file that replaces another one has other numbers.
    inode: (u64, u64),
}

impl KnownDatasets {
    /// What a dataset contains. It is read unless its files have the same stamp as when it was last read. The
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
        let resolved = Source::resolve(config, data_directory)?;
        let now = SystemTime::now();
        let stamp = Stamp::of(&resolved);
        let known = |known: &&KnownDataset| Some(&known.stamp) == stamp.as_ref();
        if let Some(known) = self.datasets.iter().find(known) {
            return Ok(known.summary.clone());
        }
        let summary = resolved.load()?.summary();
        // Otherwise a file changed while it was read, or may change without a new stamp.
        if let Some(stamp) = stamp.filter(|stamp| stamp.is_settled(now))
            && Stamp::of(&resolved).as_ref() == Some(&stamp)
        {
            self.datasets.retain(|known| known.stamp.directory != stamp.directory);
            self.datasets.push(KnownDataset { stamp, summary: summary.clone() });
            let surplus = self.datasets.len().saturating_sub(MAX_DATASETS);
            self.datasets.drain(..surplus);
        }
        Ok(summary)
    }
}

impl Stamp {
    /// The stamp of a dataset; `None` if a file is missing or its times are not known.
    fn of(source: &Source<'_>) -> Option<Self> {
        let directory = std::path::absolute(source.path()).ok()?;
        let mut paths = source.format().files(&source.location()).ok()?;
        paths.retain(|path| path.symlink_metadata().is_ok());
        let files = paths.iter().map(|path| FileStamp::of(path)).collect::<Option<_>>()?;
        Some(Self { directory, listed: source.is_listed(), files })
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let Some(limit) = now.checked_sub(SETTLED).and_then(nanoseconds) else { return false };
        self.files.iter().all(|file| file.modified.max(file.changed) < limit)
    }
}

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let modified = nanoseconds(metadata.modified().ok()?)?;
        let (changed, inode) = identity(&metadata)?;
        Some(Self { path: path.to_owned(), bytes: metadata.len(), modified, changed, inode })
    }
}

fn nanoseconds(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Option<(u64, (u64, u64))> {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let rest = u64::try_from(metadata.ctime_nsec()).ok()?;
    let changed = seconds.checked_mul(1_000_000_000)?.checked_add(rest)?;
    Some((changed, (metadata.dev(), metadata.ino())))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, (u64, u64))> {
    Some((0, (0, 0)))
}
