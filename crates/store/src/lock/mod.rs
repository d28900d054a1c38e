//! Locks: at most one process works on a run.
//!
//! ```text
//! <runs>/<name>/.kiln/
//!   <id>.log      locked by the process that works on the run; in a sweep also its standard error
//!   <id>.claim    names that process; rewritten every ten seconds (the heartbeat)
//! ```
//!
//! The kernel releases the locks of a process when it ends, for whatever reason, so there are no stale locks on one
//! machine. The heartbeat decides only on file systems that do not share locks between machines, or have none: there, an
//! owner without a heartbeat for two minutes is considered dead.

mod owner;
mod reach;

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::files;
use crate::hidden::{create_hidden, hidden};
use crate::run::RunDirectory;

pub use owner::{LockOwner, name_this_machine};
pub use reach::{file_system, lock_limitation};

/// The time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// An owner on another machine without a heartbeat for this long is considered dead.
const STALE: Duration = Duration::from_secs(120);

/// Without file locks, two processes may write the owner file at the same time; the later writer owns the lock. After
/// this pause, both read the file to learn which of them that is. If file locks work only within a machine, Kiln waits
/// only when it replaces an owner on another machine. Of two machines that lock a run at the same moment, one finds out
/// at its next [`LockToken::check`].
const SETTLING: Duration = Duration::from_secs(2);

/// How often a lock without an owner file is retried, and the pause before each attempt.
const MAX_RETRIES: usize = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The maximum number of bytes read from the end of a log.
const MAX_TAIL_BYTES: u64 = 16 << 10;

/// An exclusive lock on a run. Dropping it releases the lock.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    token: LockToken,
    heartbeat: Option<Heartbeat>,
}

/// Lets the owner of a lock, and the processes that it starts, check that it still owns the lock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LockToken {
    /// The directory of all runs with the run's name.
    directory: PathBuf,
    id: String,
    me: LockOwner,
}

/// The heartbeat of a lock; it ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The state of a lock, from its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// No process owns the lock.
    Free,
    /// A process owns the lock, on this machine or on a file system whose locks reach other machines.
    Held,
    /// A process on another machine, which gave this heartbeat last. It may be dead.
    Heartbeat(SystemTime),
}

/// The owner of a lock, which is alive.
#[derive(Debug, Clone)]
pub struct LiveOwner {
    /// The process that acquired the lock; `None` if its file cannot be read.
    pub process: Option<LockOwner>,
    /// The time since its last heartbeat.
    pub silent: Duration,
}

/// The two files of a lock.
struct Paths {
    log: PathBuf,
    owner: PathBuf,
}

impl Paths {
    fn of(directory: &Path, id: &str) -> Self {
        let hidden = hidden(directory);
        Self { log: hidden.join(format!("{id}.log")), owner: hidden.join(format!("{id}.claim")) }
    }
}

impl FileLock {
    /// Locks the run `id` in `directory`, the directory of all runs of its name. The run need not exist yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if another process owns the lock; [`StoreError::Io`] if its files cannot be written.
    pub fn take(directory: &Path, id: &str) -> Result<Self> {
        Self::take_and_settle(directory, id, true)
    }

    /// Like [`take`](Self::take), but does not wait to learn whether another machine has taken the lock at the same moment: the
    /// caller takes another lock next, and then calls [`LockToken::check`].
    ///
    /// # Errors
    ///
    /// Those of [`take`](Self::take).
    pub fn take_unsettled(directory: &Path, id: &str) -> Result<Self> {
        Self::take_and_settle(directory, id, false)
    }

    fn take_and_settle(directory: &Path, id: &str, settles: bool) -> Result<Self> {
        let paths = Paths::of(directory, id);
        create_hidden(directory)?;
        let file = files::open_to_append(&paths.log)?;
        let locked =
            |owner| Err(StoreError::Locked { path: directory.join(id), owner: describe(owner) });
        let mut lock = file.try_lock();
        for _ in 0..MAX_RETRIES {
            // A lock without an owner file may belong to a process that only checks it, which takes a moment.
            let has_live_owner =
                LockOwner::find(&paths.owner).is_some_and(|owner| !owner.is_dead());
            if has_live_owner || !matches!(lock, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(RETRY_PAUSE);
            lock = file.try_lock();
        }
        let locks = match lock {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return locked(LockOwner::find(&paths.owner)),
            Err(TryLockError::Error(cause)) if has_no_locks(&cause) => false,
            Err(TryLockError::Error(cause)) => {
                return Err(StoreError::io("lock", &paths.log, cause));
            }
        };
        let found = LockOwner::find(&paths.owner);
        if let Some(found) = &found
            && is_alive(&paths, found, locks)?
        {
            let owner =
                format!("{found}; it is considered dead after two minutes without a heartbeat");
            return Err(StoreError::Locked { path: directory.join(id), owner });
        }
        let me = LockOwner::this_process();
        let text = me.to_json()?;
        files::write(&paths.owner, &text)?;
        if settles && (!locks || found.is_some_and(|found| !found.is_here())) {
            std::thread::sleep(SETTLING);
            let now = LockOwner::find(&paths.owner);
            if now.as_ref() != Some(&me) {
                return locked(now);
            }
        }
        let heartbeat = start_heartbeat(paths.owner, me.clone(), text);
        let token = LockToken { directory: directory.to_owned(), id: id.to_owned(), me };
        Ok(Self { file, token, heartbeat })
    }

    /// A token that shows whether the lock is still owned.
    #[must_use]
    pub fn token(&self) -> &LockToken {
        &self.token
    }

    /// Locks the run of a directory.
    ///
    /// # Errors
    ///
    /// Those of [`take`](Self::take).
    pub fn of(run: &RunDirectory) -> Result<Self> {
        let (directory, id) = place(run)?;
        Self::take(&directory, &id).map_err(|error| match error {
            StoreError::Locked { owner, .. } => {
                StoreError::Locked { path: run.path().to_owned(), owner }
            }
            error => error,
        })
    }

    /// Describes the owner of the lock on a run's directory; `None` if no owner can be found.
    #[must_use]
    pub(crate) fn owner_of(run: &RunDirectory) -> Option<String> {
        place(run).ok().and_then(|(directory, id)| Self::owner(&directory, &id))
    }

    /// Whether another process owns the lock on a run.
    #[must_use]
    pub fn is_taken(directory: &Path, id: &str) -> bool {
        Self::owner(directory, id).is_some()
    }

    /// Describes the owner of the lock on a run; `None` if no owner can be found.
    #[must_use]
    pub fn owner(directory: &Path, id: &str) -> Option<String> {
        Self::owner_at(directory, id, SystemTime::now()).map(|owner| describe(owner.process))
    }

    /// The owner of the lock on a run, if the clock of the file system shows `now`; `None` if no live owner can be found.
    #[must_use]
    pub fn owner_at(directory: &Path, id: &str, now: SystemTime) -> Option<LiveOwner> {
        let state = Self::state(directory, id);
        let path = Paths::of(directory, id).owner;
        let beat = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        let silent = beat.and_then(|beat| now.duration_since(beat).ok()).unwrap_or_default();
        let is_alive = match state {
            LockState::Free => false,
            LockState::Held => true,
            LockState::Heartbeat(_) => silent < STALE,
        };
        is_alive.then(|| LiveOwner { process: LockOwner::find(&path), silent })
    }

    /// The state of the lock on a run, from its files. This writes nothing and reads no clock.
    #[must_use]
    pub fn state(directory: &Path, id: &str) -> LockState {
        let paths = Paths::of(directory, id);
        // Opening a pipe would block.
        let log = files::check_no_pipe(&paths.log).ok().and_then(|()| File::open(&paths.log).ok());
        let locks = match log.map(|file| file.try_lock_shared()) {
            Some(Err(TryLockError::WouldBlock)) => return LockState::Held,
            Some(Err(TryLockError::Error(_))) => false,
            // A missing lock file cannot be locked by a process on this machine.
            Some(Ok(())) | None => true,
        };
        let Some(found) = LockOwner::find(&paths.owner) else { return LockState::Free };
        if locks && found.is_here() {
            return LockState::Free;
        }
        let written = fs::metadata(&paths.owner).and_then(|metadata| metadata.modified());
        written.map_or(LockState::Free, LockState::Heartbeat)
    }

    /// Ends the heartbeat of this process, because another process that holds the lock, too, gives it from now on, see
    /// [`LockToken::start_heartbeat`].
    pub fn hand_over_heartbeat(&mut self) {
        self.heartbeat = None;
    }

    /// The error of an owner file that exists but cannot be read.
    pub(crate) fn problem(directory: &Path, id: &str) -> Option<StoreError> {
        let path = Paths::of(directory, id).owner;
        // The lock may have been released in the meantime.
        LockOwner::read(&path).err().filter(|_| path.exists())
    }

    /// Empties the log for a new attempt and returns it for use as a process's standard error. The lock then also
    /// lives as long as that process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the operating system refuses.
    pub fn standard_error(&self) -> std::io::Result<Stdio> {
        // Lines of an earlier attempt would be reported as those of this one.
        self.file.set_len(0)?;
        Ok(self.file.try_clone()?.into())
    }

    /// The last non-blank lines of the log, at most `max_lines`.
    #[must_use]
    pub fn tail(&self, max_lines: usize) -> Vec<String> {
        let mut file = &self.file;
        let mut bytes = Vec::new();
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let start = length.saturating_sub(MAX_TAIL_BYTES);
        // An unreadable log has no lines to show. The failure of the run is reported in any case.
        let read = file
            .seek(SeekFrom::Start(start))
            .and_then(|_| file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes));
        if read.is_err() {
            return Vec::new();
        }
        last_lines(&String::from_utf8_lossy(&bytes), max_lines)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // This waits for a heartbeat in progress, which would create the file again.
        self.heartbeat = None;
        let path = self.token.path();
        if LockOwner::find(&path).as_ref() == Some(&self.token.me) {
            // A file that remains is recognized as stale later.
            let _ = files::remove(&path);
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // Without a sender, the thread's wait ends.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl LockToken {
    /// Checks that no other process has taken over the run. If machines do not share locks, another machine takes
    /// over when this one was suspended or cut off for two minutes. After an error the caller must not write
    /// anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::TakenOver`] if another process has taken over.
    pub fn check(&self) -> Result<()> {
        let taken_over = |owner: String| {
            Err(StoreError::TakenOver { path: self.directory.join(&self.id), owner })
        };
        match LockOwner::read(&self.path()) {
            Ok(owner) if owner != self.me => {
                taken_over(format!("{owner}, because this machine gave no heartbeat"))
            }
            // Only the owner of the lock removes this file, or a person.
            Err(error) if error.is_missing() => taken_over(
                "another process that has ended, or its lock file was removed".to_owned(),
            ),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Gives the heartbeat of the lock, as the process that works on the run. The process that acquired the lock may end
    /// before it.
    #[must_use]
    pub fn start_heartbeat(&self) -> Option<Heartbeat> {
        start_heartbeat(self.path(), self.me.clone(), self.me.to_json().ok()?)
    }

    fn path(&self) -> PathBuf {
        Paths::of(&self.directory, &self.id).owner
    }
}

/// Rewrites the owner file periodically as long as it names this process.
fn start_heartbeat(path: PathBuf, me: LockOwner, text: String) -> Option<Heartbeat> {
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(HEARTBEAT) {
            // A process that was suspended for too long may have lost the lock and must not take it back.
            match LockOwner::read(&path) {
                Ok(owner) if owner != me => return,
                Err(error) if error.is_missing() => return,
                Ok(_) | Err(_) => {}
            }
            // On a full disk, training fails with its own error.
            let _ = files::write(&path, &text);
        }
    });
    thread.ok().map(|thread| Heartbeat { stop: Some(stop), thread: Some(thread) })
}

/// The location of a run's lock: one per run, however its path is written.
fn place(run: &RunDirectory) -> Result<(PathBuf, String)> {
    let find =
        |path: &Path| fs::canonicalize(path).map_err(|cause| StoreError::io("find", path, cause));
    let split = |path: &Path| {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (files::parent(path).to_owned(), id)
    };
    let path = find(run.path())?;
    let (written, id) = split(run.path());
    // Keep the path as the user wrote it if it leads there without a link.
    let is_plain = !id.is_empty() && find(&written)?.join(&id) == path;
    Ok(if is_plain { (written, id) } else { split(&path) })
}

/// Whether an owner file names a live process that the file lock cannot show.
fn is_alive(paths: &Paths, owner: &LockOwner, locks: bool) -> Result<bool> {
    if locks && owner.is_here() {
        // The file lock of a process on this machine was free, so the process has ended.
        return Ok(false);
    }
    // Ages are measured by the file system's clock, which is the same for all machines.
    let probe = paths.owner.with_file_name(format!(
        "{}probe-{}-{}",
        files::PARTIAL,
        std::process::id(),
        owner::boot()
    ));
    files::write(&probe, "")?;
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let is_alive = match (time(&probe), time(&paths.owner)) {
        // The owner has just removed its file, so it has released the lock.
        (_, None) => false,
        // A heartbeat after the probe was written proves that the owner is alive.
        (Some(now), Some(last)) => now.duration_since(last).map_or(true, |age| age < STALE),
        (None, Some(_)) => true,
    };
    files::remove(&probe)?;
    Ok(is_alive)
}

fn describe(owner: Option<LockOwner>) -> String {
    owner.map_or_else(|| "another process".to_owned(), |owner| owner.to_string())
}

fn has_no_locks(cause: &std::io::Error) -> bool {
    /// "No locks available" (errno.h): the answer of file systems without a lock manager.
    const ENOLCK: i32 = 37;
    cause.kind() == std::io::ErrorKind::Unsupported || cause.raw_os_error() == Some(ENOLCK)
}

/// The last non-blank lines of a text, at most `max_lines`.
#[must_use]
pub fn last_lines(text: &str, max_lines: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(max_lines)..].iter().map(|line| (*line).to_owned()).collect()
}
