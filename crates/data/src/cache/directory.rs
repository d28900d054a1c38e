//! The directory of the cache: its lock, temporary files, and the bound on its size.

use std::fs::{self, File, FileTimes, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::stamp::FileStamp;

/// The name of the file that is locked while a dataset is decoded.
const LOCK: &str = "lock";

/// How the names of incomplete files begin.
const TEMPORARY: &str = "tmp-";

/// The age from which a temporary file is a leftover of a process that was killed, on file systems without locks.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// How large the cache may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The size of all cache files in bytes.
    pub(super) max_bytes: u64,
    /// The bytes that remain free on the disk.
    pub(super) min_free: u64,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self { max_bytes: 32 << 30, min_free: 1 << 30 };
}

/// The right to write cache files. The lock is released when it is dropped, and also if the process is killed.
pub(super) struct CacheLock {
    _file: File,
    /// Whether another process had it.
    pub(super) has_waited: bool,
}

impl CacheLock {
    /// Creates the directory and waits until no other process writes to it. Removes what killed processes left.
    pub(super) fn acquire(directory: &Path) -> io::Result<Self> {
        let mut has_waited = false;
        loop {
            let file = open(directory)?;
            let try_lock = file.try_lock();
            has_waited |= matches!(try_lock, Err(TryLockError::WouldBlock));
            let is_locked = match try_lock.or_else(|_| file.lock()) {
                Ok(()) => true,
                Err(error) if has_no_locks(&error) => false,
                Err(error) => return Err(error),
            };
            // Another process may have removed the cache while this one waited.
            if is_current(&file, directory) {
                remove_stale(directory, is_locked);
                return Ok(Self { _file: file, has_waited });
            }
        }
    }

    /// Like [`acquire`](Self::acquire); `None` if another process has the lock.
    pub(super) fn try_acquire(directory: &Path) -> io::Result<Option<Self>> {
        let file = open(directory)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(is_current(&file, directory).then_some(Self { _file: file, has_waited: false }))
    }
}

fn open(directory: &Path) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    OpenOptions::new().write(true).create(true).truncate(false).open(directory.join(LOCK))
}

fn is_current(file: &File, directory: &Path) -> bool {
    let of_file = file.metadata().ok().and_then(|metadata| FileStamp::of_metadata(&metadata));
    of_file.is_some() && of_file == FileStamp::of(&directory.join(LOCK))
}

fn has_no_locks(error: &io::Error) -> bool {
    /// "No locks available" (errno.h): the answer of file systems without a lock manager.
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

fn remove_stale(directory: &Path, is_locked: bool) {
    for (path, metadata) in files(directory) {
        let is_old = || {
            let modified = metadata.modified().ok();
            modified.is_some_and(|time| time.elapsed().is_ok_and(|age| age > STALE))
        };
        // Only the process that has the lock writes temporary files.
        if name(&path).starts_with(TEMPORARY) && (is_locked || is_old()) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The files of a directory; none if it cannot be read.
fn files(directory: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let entries = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    entries.filter(|(_, metadata)| metadata.is_file()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Whether this is the name of a cache file, which begins with a SHA-256.
pub(super) fn is_cache_file(name: &str) -> bool {
    let sha256 = name.as_bytes().get(..64);
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    sha256.is_some_and(|sha256| sha256.iter().all(is_digit))
        && !name.contains(std::path::is_separator)
}

/// A file that is removed when it is dropped, unless it got its final name.
pub(super) struct TemporaryFile {
    pub(super) file: File,
    path: PathBuf,
    is_kept: bool,
}

impl TemporaryFile {
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { file, path, is_kept: false })
    }

    /// Waits until the content is on the disk, and gives the file its final name.
    pub(super) fn persist(mut self, name: &str) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        let path = self.path.with_file_name(name);
        fs::rename(&self.path, &path)?;
        self.is_kept = true;
        // The entries of a directory can be synced only on Unix.
        if let Some(directory) = path.parent().filter(|_| cfg!(unix)) {
            File::open(directory)?.sync_all()?;
        }
        Ok(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Replaces a file of the directory; it has the old or the new content at any time.
pub(super) fn write_atomically(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut temporary = TemporaryFile::create(directory)?;
    temporary.file.write_all(content)?;
    temporary.persist(name).map(|_| ())
}

/// Marks a cache file as used now, so that others are removed first. Only the time of the last access changes.
pub(super) fn mark_as_used(file: &File) {
    let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
}

/// Removes the cache files that were not used for the longest time, until `needed` bytes fit. The error says why they
/// cannot fit.
pub(super) fn make_room(directory: &Path, needed: u64, limits: Limits) -> Result<(), String> {
    let Limits { max_bytes, min_free } = limits;
    let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    if needed > max_bytes {
        return Err(format!(
            "they take {}, above the limit of {} for the cache",
            gibibytes(needed),
            gibibytes(max_bytes)
        ));
    }
    let mut cached: Vec<(SystemTime, u64, PathBuf)> = files(directory)
        .into_iter()
        .filter(|(path, _)| is_cache_file(name(path)))
        .map(|(path, metadata)| {
            let times = [metadata.accessed(), metadata.modified()];
            let used = times.into_iter().flatten().max().unwrap_or(SystemTime::UNIX_EPOCH);
            (used, metadata.len(), path)
        })
        .collect();
    // The oldest is last.
    cached.sort_by(|a, b| b.cmp(a));
    let mut total: u64 = cached.iter().map(|(_, bytes, _)| bytes).sum();
    let required = needed.saturating_add(min_free);
    let lacks_space = || free_bytes(directory).is_some_and(|free| free < required);
    if free_bytes(directory).is_some_and(|free| free.saturating_add(total) < required) {
        return Err(format!(
            "they take {}, and {} of the disk must stay free",
            gibibytes(needed),
            gibibytes(min_free)
        ));
    }
    while total.saturating_add(needed) > max_bytes || lacks_space() {
        let Some((_, bytes, path)) = cached.pop() else {
            return Err(format!("the disk has no space for {}", gibibytes(needed)));
        };
        // A file that another process removed, or that Windows keeps because it is in use, frees nothing.
        let _ = fs::remove_file(path);
        total -= bytes;
    }
    Ok(())
}

/// The bytes that are free on the disk of a directory, if the system reports them.
#[cfg(unix)]
fn free_bytes(directory: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(directory).ok()?;
    space.f_bavail.checked_mul(space.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// The size of all files of the cache.
pub(super) fn size(directory: &Path) -> u64 {
    files(directory).iter().map(|(_, metadata)| metadata.len()).sum()
}

/// Removes the directory and returns the size of its files.
pub(super) fn remove(directory: &Path) -> io::Result<u64> {
    if !fs::exists(directory)? {
        return Ok(0);
    }
    let Some(_lock) = CacheLock::try_acquire(directory)? else {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process is writing to it; wait until it has decoded its dataset",
        ));
    };
    let bytes = size(directory);
    fs::remove_dir_all(directory)?;
    Ok(bytes)
}
