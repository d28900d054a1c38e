//! Stamps: whether files are unchanged, without reading them.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::content::hexadecimal;
use crate::parallel::in_parallel;
use crate::source::Source;

/// A file may change twice within one tick of the file system's clock, and a stamp between the two changes proves nothing.
/// The coarsest clock, that of FAT, has ticks of two seconds.
const COARSE_TICK: Duration = Duration::from_secs(3);

/// Times with a fraction of a second come from a clock whose ticks are at most 10 ms, those of the slowest Linux kernels.
const FINE_TICK: Duration = Duration::from_millis(100);

/// The state of the files of a dataset, and how they are read. As long as the stamp is the same, so is the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The absolute path of the directory or file.
    pub(crate) source: PathBuf,
    /// Whether the dataset is a listed one, whose classes are not those of `classes.txt`.
    listed: bool,
    /// See [`DataConfig::reading`](crate::DataConfig::reading).
    pub(crate) reading: String,
    /// The SHA-256 of path, size, times and inode of each file, in hexadecimal.
    files: String,
    /// The stamp proves nothing until this time, in nanoseconds from 1970.
    settled: u64,
}

impl Stamp {
    /// The stamp of a dataset; `None` if a file is missing or its times are not known.
    pub(crate) fn of(source: &Source<'_>) -> Option<Self> {
        let path = std::path::absolute(source.path()).ok()?;
        let mut paths = source.format().files(&source.location()).ok()?;
        paths.retain(|path| path.symlink_metadata().is_ok());
        paths.sort();
        let stamps = in_parallel(paths.len(), 512, |row| FileStamp::of(&paths[row]));
        let mut hash = Sha256::new();
        let mut settled = 0;
        for (path, stamp) in paths.iter().zip(stamps) {
            let FileStamp { bytes, modified, changed, inode, .. } = stamp?;
            let name = path.strip_prefix(source.path()).unwrap_or(path).as_os_str();
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_encoded_bytes());
            for number in [bytes, modified, changed, inode.0, inode.1] {
                hash.update(number.to_le_bytes());
            }
            settled = settled.max(stamp?.settled());
        }
        Some(Self {
            source: path,
            listed: source.is_listed(),
            reading: source.reading(),
            files: hexadecimal(&hash.finalize()),
            settled,
        })
    }

    /// Whether the stamp was settled at this time.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        nanoseconds(now).is_some_and(|now| now > self.settled)
    }

    /// Waits until the stamp is settled, which takes a fraction of a second at most. Returns `false` if it would take
    /// longer, because the time of a file is in the future.
    pub(crate) fn wait(&self) -> bool {
        wait_until(self.settled)
    }
}

/// The state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    bytes: u64,
    /// Nanoseconds from 1970 to the last change of the content, as far as the file system and its users tell.
    modified: u64,
    /// Nanoseconds from 1970 to the last change of the file or its attributes, which no program can set. 0 on systems
    /// that do not have it.
    changed: u64,
    /// The device and the number of the file on it: a file that replaces another one has other numbers.
    inode: (u64, u64),
}

impl FileStamp {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::of_metadata(&path.metadata().ok()?)
    }

    pub(crate) fn of_metadata(metadata: &Metadata) -> Option<Self> {
        let modified = nanoseconds(metadata.modified().ok()?)?;
        let (changed, inode) = identity(metadata)?;
        Some(Self { bytes: metadata.len(), modified, changed, inode })
    }

    /// The stamp without the time that also changes when the file is marked as used.
    pub(crate) fn of_content(self) -> Self {
        Self { changed: 0, ..self }
    }

    /// Waits like [`Stamp::wait`].
    pub(crate) fn wait(self) -> bool {
        wait_until(self.settled())
    }

    fn settled(self) -> u64 {
        // Programs can set the time of the modification, so the other one counts if the system has it.
        let time = if self.changed == 0 { self.modified } else { self.changed };
        let is_coarse = time % 1_000_000_000 == 0;
        let tick = if is_coarse { COARSE_TICK } else { FINE_TICK };
        time.saturating_add(tick.as_nanos() as u64)
    }
}

fn wait_until(settled: u64) -> bool {
    let Some(now) = nanoseconds(SystemTime::now()) else { return false };
    let wait = Duration::from_nanos(settled.saturating_add(1).saturating_sub(now));
    if wait <= COARSE_TICK {
        std::thread::sleep(wait);
    }
    wait <= COARSE_TICK
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
