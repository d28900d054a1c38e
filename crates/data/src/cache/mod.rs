//! `DATA/.cache`: datasets that were decoded, as files that are mapped into memory.
//!
//! Pictures are decoded once, into a file that holds the pixels of all images and everything else that is known about
//! them. The processes of a sweep map the same file, so that its pixels are in memory once, and only as far as they are
//! used. Large arrays, and arrays whose images are resized, are treated in the same way.
//!
//! `known.json` relates the [stamps](Stamp) of datasets to cache files, so that an unchanged dataset is found without
//! reading it. The pixels of a cache file are trusted as long as the file has the size, the time and the inode that it
//! had when they were written; else they are compared with their checksums.
//!
//! Only one process at a time decodes and writes. It holds a lock on the file `lock`, which ends with the process. A file is
//! written under a temporary name, which the next process removes if the first one was killed.

mod build;
mod decode;
mod directory;
mod file;
mod known;
mod progress;
mod stamp;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use build::{Build, Rows};
use decode::Target;
pub(crate) use decode::{Decoded, Images};
use directory::{CacheLock, Limits, TemporaryFile, is_cache_file, make_room, mark_as_used};
use file::CacheFile;
pub(crate) use file::Table;
use known::{KnownFile, KnownFiles};
pub(crate) use progress::default_progress;
pub use progress::{LoadProgress, SilentProgress, set_load_progress};
use stamp::FileStamp;
pub(crate) use stamp::Stamp;

use crate::{DataError, Pixels};

/// The name of the cache in the data directory.
const DIRECTORY: &str = ".cache";

/// The size in bytes of the cache of decoded datasets in a data directory.
#[must_use]
pub fn cache_size(data_directory: &Path) -> u64 {
    directory::size(&data_directory.join(DIRECTORY))
}

/// The directory of the cache of decoded datasets in a data directory.
#[must_use]
pub fn cache_directory(data_directory: &Path) -> PathBuf {
    data_directory.join(DIRECTORY)
}

/// Removes the cache of decoded datasets in a data directory. Processes that use it keep what they have mapped. Returns the
/// size in bytes.
///
/// # Errors
///
/// Another process is decoding a dataset, or the directory cannot be removed.
pub fn remove_cache(data_directory: &Path) -> Result<u64, DataError> {
    let path = cache_directory(data_directory);
    directory::remove(&path).map_err(|source| DataError::RemoveCache { path, source })
}

/// The cache of a data directory.
pub(crate) struct Cache {
    directory: PathBuf,
    limits: Limits,
}

/// The right to write to a cache, or why it cannot be written.
pub(crate) struct Access(Result<CacheLock, String>);

impl Access {
    /// Whether another process had it before.
    pub(crate) fn has_waited(&self) -> bool {
        self.0.as_ref().is_ok_and(|lock| lock.has_waited)
    }
}

impl Cache {
    pub(crate) fn new(data_directory: &Path) -> Self {
        Self { directory: cache_directory(data_directory), limits: Limits::DEFAULT }
    }

    /// The dataset with this stamp, if it is in the cache.
    pub(crate) fn find(&self, stamp: &Stamp) -> Option<(Table, Pixels)> {
        let known = KnownFiles::read(&self.directory);
        let entry = known.find(stamp).filter(|entry| is_cache_file(&entry.file))?;
        let file = CacheFile::open(&self.directory.join(&entry.file))?;
        let content = content_stamp(&file.file);
        if content.is_none() || entry.content != content {
            // A change within the same tick of the clock as an earlier one could go unnoticed.
            let content = content.filter(|content| content.wait());
            if !file.is_intact() {
                return None;
            }
            // If another process has the lock, the next one that finds the file checks it again.
            if let Ok(Some(_lock)) = CacheLock::try_acquire(&self.directory) {
                self.remember(stamp, &file, content);
            }
        }
        mark_as_used(&file.file);
        let pixels = file.pixels();
        Some((file.table, pixels))
    }

    /// Waits until no other process is decoding.
    pub(crate) fn acquire(&self) -> Access {
        let lock = CacheLock::acquire(&self.directory);
        Access(lock.map_err(|error| self.unwritable(&error)))
    }

    /// Decodes images into the cache, or into memory if the cache cannot be written.
    pub(crate) fn build(
        &self,
        access: Access,
        build: &Build<'_>,
        progress: &dyn LoadProgress,
    ) -> Result<(Table, Pixels), DataError> {
        let reason = match access.0 {
            Err(reason) => reason,
            Ok(_lock) => match make_room(&self.directory, build.bytes(), self.limits) {
                Err(reason) => reason,
                Ok(()) => match self.build_file(build, progress) {
                    Ok(built) => return built,
                    Err(error) => self.unwritable(&error),
                },
            },
        };
        let (mut table, pixels) = build.in_memory(&reason, progress)?;
        table.notes.push(format!("the decoded images are not kept in the cache: {reason}"));
        Ok((table, pixels))
    }

    /// The outer error is that of writing the file.
    fn build_file(
        &self,
        build: &Build<'_>,
        progress: &dyn LoadProgress,
    ) -> io::Result<Result<(Table, Pixels), DataError>> {
        let temporary = TemporaryFile::create(&self.directory)?;
        let target = Target::File(&temporary.file);
        let (table, sums) = match build.decode(&target, progress)? {
            Ok(completed) => completed,
            Err(error) => return Ok(Err(error)),
        };
        file::finish(&temporary.file, &table, &sums)?;
        let name = build.file_name(&table);
        if !is_cache_file(&name) {
            return Err(io::Error::other("the fingerprint of the dataset is not a SHA-256"));
        }
        let path = temporary.persist(&name)?;
        let file = CacheFile::open(&path).ok_or_else(|| io::Error::other("the file is gone"))?;
        if let Some(stamp) = build.stamp
            && (build.stamp_now)().as_ref() == Some(stamp)
        {
            let content = content_stamp(&file.file);
            self.remember(stamp, &file, content.filter(|content| content.wait()));
        }
        Ok(Ok((table, file.pixels())))
    }

    fn unwritable(&self, error: &io::Error) -> String {
        format!("{} cannot be written: {error}", self.directory.display())
    }

    /// Remembers a file whose pixels were intact while it had the stamp `content`.
    fn remember(&self, stamp: &Stamp, file: &CacheFile, content: Option<FileStamp>) {
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let entry = KnownFile { stamp: stamp.clone(), file: name.to_owned(), content };
        KnownFiles::remember(&self.directory, entry);
    }
}

/// The stamp of a cache file without what marking it as used changes.
fn content_stamp(file: &File) -> Option<FileStamp> {
    FileStamp::of_metadata(&file.metadata().ok()?).map(FileStamp::of_content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{Broken, ImageShape, Part};

    /// Images of 1×1000 pixels with the number of their row.
    struct Numbered(usize);

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 1000 };

    impl Images for Numbered {
        fn count(&self) -> usize {
            self.0
        }

        fn decode(&self, row: usize, pixels: &mut [u8]) -> Result<Decoded, String> {
            pixels.fill(row as u8);
            Ok(Decoded { info: None, sha256: Some([row as u8; 32]) })
        }
    }

    /// A dataset of this many images. `name` makes it another one.
    fn build(cache: &Cache, name: &str, count: usize) -> (Table, Pixels) {
        let rows = Rows {
            class_names: vec![name.to_owned()],
            labels: vec![0; count],
            parts: vec![Part::Training; count],
            file_names: None,
            notes: Vec::new(),
            fingerprint: None,
        };
        let build = Build {
            path: name.into(),
            rows,
            images: &Numbered(count),
            shape: SHAPE,
            broken: Broken::Error,
            fitting: "stretch".to_owned(),
            stamp: None,
            stamp_now: &|| None,
        };
        cache.build(cache.acquire(), &build, &SilentProgress).expect("no broken images")
    }

    fn cache(data: &Path, max_bytes: u64, min_free: u64) -> Cache {
        Cache { limits: Limits { max_bytes, min_free }, ..Cache::new(data) }
    }

    fn cached(data: &Path, table: &Table) -> PathBuf {
        cache_directory(data).join(format!("{}-1x1x1000-stretch", table.fingerprint))
    }

    #[test]
    fn the_least_recently_used_files_are_removed_first() {
        let data = tempfile::tempdir().expect("a directory");
        let cache = cache(data.path(), 30_000, 0);
        let files: Vec<PathBuf> = ["a", "b", "c"]
            .into_iter()
            .map(|name| cached(data.path(), &build(&cache, name, 5).0))
            .collect();
        assert!(files.iter().all(|path| path.exists()));
        let hour = Duration::from_secs(3600);
        for (path, age) in files.iter().zip([1, 3, 2]) {
            let used = SystemTime::now() - age * hour;
            let times = fs::FileTimes::new().set_accessed(used).set_modified(used);
            File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_times(times))
                .expect("times");
        }
        // The use of the oldest one is newer than its modification.
        mark_as_used(&File::open(&files[1]).expect("readable"));
        let (table, pixels) = build(&cache, "d", 15);
        assert!(pixels.is_mapped() && cached(data.path(), &table).exists());
        assert_eq!(
            files.iter().map(|path| path.exists()).collect::<Vec<_>>(),
            [false, true, false]
        );
    }

    #[test]
    fn a_dataset_above_the_limit_is_decoded_into_memory() {
        let data = tempfile::tempdir().expect("a directory");
        let (small, _) = build(&cache(data.path(), 10_000, 0), "small", 3);
        for cache in [cache(data.path(), 99_999, 0), cache(data.path(), 1 << 40, 1 << 60)] {
            let (table, pixels) = build(&cache, "large", 100);
            assert!(!pixels.is_mapped());
            assert!(
                table.notes[0].contains("not kept in the cache: they take 0.0 GiB"),
                "{:?}",
                table.notes
            );
            assert!((0..100_000).all(|at| pixels[at] == (at / 1000) as u8));
            assert!(cached(data.path(), &small).exists(), "removing it would not have helped");
        }
        let (table, pixels) = build(&cache(data.path(), 1 << 30, 0), "large", 100);
        assert!(pixels.is_mapped() && table.notes.is_empty());
        assert!((0..100_000).all(|at| pixels[at] == (at / 1000) as u8));
    }
}
