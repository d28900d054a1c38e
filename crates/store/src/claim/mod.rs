//! Who works on a run.
//!
//! ```text
//! <runs>/<name>/.kiln/
//!   <id>.log      locked by whoever works on the run; in a sweep also the end of its words
//!   <id>.claim    who that is; written anew every few seconds, for machines that a lock does not reach
//! ```
//!
//! The kernel lets go of a lock however its holder ended, so on one machine there are no stale claims to find out
//! about. On file systems whose locks end at the machine, or that have none, the heartbeat counts: who has not given
//! one for two minutes is gone.

mod holder;

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::files;
use crate::hidden::{create_hidden, hidden};
use crate::run::RunDirectory;

pub use holder::Holder;

/// The time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A claim on another machine that gave no heartbeat for so long is nobody's.
const STALE: Duration = Duration::from_secs(120);

/// Where there are no locks, two may write their claims at once; the later writer has it. This long after, both see
/// who that is. Where locks end at the machine, this is only done behind a claim from another one: of two that begin at
/// the same moment one finds out when it next asks whether it still has the run ([`Held::check`]).
const SETTLING: Duration = Duration::from_secs(2);

/// How often, and how far apart, a lock is tried that nobody says to hold.
const LOOKS: usize = 5;
const LOOK: Duration = Duration::from_millis(20);

/// The longest end of a log that is shown.
const LONGEST_TAIL: u64 = 16 << 10;

/// The right to work on one run, as long as this value lives.
#[derive(Debug)]
pub struct Claim {
    file: File,
    held: Held,
    heart: Option<Heart>,
}

/// What shows whether a claim still holds, to the process that took it and to those that work under it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Held {
    /// The directory of all runs of the run's name.
    directory: PathBuf,
    id: String,
    me: Holder,
}

/// The thread that gives the heartbeat; it ends when the sender is dropped.
#[derive(Debug)]
struct Heart {
    end: Sender<()>,
    beating: JoinHandle<()>,
}

/// The two files of a claim.
struct Paths {
    log: PathBuf,
    holder: PathBuf,
}

impl Paths {
    fn of(directory: &Path, id: &str) -> Self {
        let hidden = hidden(directory);
        Self { log: hidden.join(format!("{id}.log")), holder: hidden.join(format!("{id}.claim")) }
    }
}

impl Claim {
    /// Claims the run `id` of `directory`, the one of all runs of its name. The run need not be there yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Claimed`] where somebody else has it; [`StoreError::Io`] where the files cannot be written.
    pub fn take(directory: &Path, id: &str) -> Result<Self> {
        let paths = Paths::of(directory, id);
        create_hidden(directory)?;
        let file = files::open_to_append(&paths.log)?;
        let claimed = |holder| {
            Err(StoreError::Claimed { path: directory.join(id), holder: in_words(holder) })
        };
        let mut lock = file.try_lock();
        for _ in 0..LOOKS {
            // Where nobody at work says so, it may be somebody who only looks, which takes a moment.
            let is_held = Holder::find(&paths.holder).is_some_and(|holder| !holder.is_dead());
            if is_held || !matches!(lock, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(LOOK);
            lock = file.try_lock();
        }
        let locks = match lock {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return claimed(Holder::find(&paths.holder)),
            Err(TryLockError::Error(cause)) if has_no_locks(&cause) => false,
            Err(TryLockError::Error(cause)) => {
                return Err(StoreError::io("lock", &paths.log, cause));
            }
        };
        let found = Holder::find(&paths.holder);
        if let Some(found) = &found
            && is_alive(&paths, found, locks)?
        {
            let holder =
                format!("{found}; without a sign of life for two minutes it counts as gone");
            return Err(StoreError::Claimed { path: directory.join(id), holder });
        }
        let me = Holder::this_process();
        let text = me.to_json()?;
        files::write(&paths.holder, &text)?;
        if !locks || found.is_some_and(|found| !found.is_here()) {
            std::thread::sleep(SETTLING);
            let now = Holder::find(&paths.holder);
            if now.as_ref() != Some(&me) {
                return claimed(now);
            }
        }
        let heart = beat(paths.holder, me.clone(), text);
        let held = Held { directory: directory.to_owned(), id: id.to_owned(), me };
        Ok(Self { file, held, heart })
    }

    /// What shows whether it still holds.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Claims the run of a directory.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn of(run: &RunDirectory) -> Result<Self> {
        let (directory, id) = place(run)?;
        Self::take(&directory, &id).map_err(|error| match error {
            StoreError::Claimed { holder, .. } => {
                StoreError::Claimed { path: run.path().to_owned(), holder }
            }
            error => error,
        })
    }

    /// Who works on the run of a directory at this moment, in words and as far as that can be told.
    #[must_use]
    pub(crate) fn holder_of(run: &RunDirectory) -> Option<String> {
        place(run).ok().and_then(|(directory, id)| Self::holder(&directory, &id))
    }

    /// Whether somebody works on a run at this moment, as far as that can be told.
    #[must_use]
    pub fn is_taken(directory: &Path, id: &str) -> bool {
        Self::holder(directory, id).is_some()
    }

    /// Who works on a run at this moment, in words and as far as that can be told.
    #[must_use]
    pub fn holder(directory: &Path, id: &str) -> Option<String> {
        let paths = Paths::of(directory, id);
        // A pipe in its place would be waited for.
        let log = files::check_no_pipe(&paths.log).ok().and_then(|()| File::open(&paths.log).ok());
        let locks = match log.map(|file| file.try_lock_shared()) {
            Some(Err(TryLockError::WouldBlock)) => {
                return Some(in_words(Holder::find(&paths.holder)));
            }
            Some(Err(TryLockError::Error(_))) => false,
            // Where there is nothing to lock, nobody here has it locked.
            Some(Ok(())) | None => true,
        };
        let found = Holder::find(&paths.holder)?;
        if locks && found.is_here() {
            return None;
        }
        // Whoever only looks writes nothing, and has but this machine's clock.
        let written = fs::metadata(&paths.holder).and_then(|metadata| metadata.modified()).ok()?;
        let is_alive = written.elapsed().map_or(true, |age| age < STALE);
        is_alive.then(|| in_words(Some(found)))
    }

    /// What is wrong with the file that says who has a claim, where it is there and cannot be read.
    pub(crate) fn problem(directory: &Path, id: &str) -> Option<StoreError> {
        let path = Paths::of(directory, id).holder;
        // It may be gone by now.
        Holder::read(&path).err().filter(|_| path.exists())
    }

    /// Empties the log for a new attempt and gives it as a process' standard error. The lock then lives as long as
    /// that process, too.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn standard_error(&self) -> std::io::Result<Stdio> {
        self.file.set_len(0)?;
        Ok(self.file.try_clone()?.into())
    }

    /// The last lines of the log that are not blank, at most `most`.
    #[must_use]
    pub fn tail(&self, most: usize) -> Vec<String> {
        let mut file = &self.file;
        let mut bytes = Vec::new();
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let start = length.saturating_sub(LONGEST_TAIL);
        // A log that cannot be read has nothing to show; the failure itself is told anyway.
        let read = file
            .seek(SeekFrom::Start(start))
            .and_then(|_| file.take(LONGEST_TAIL).read_to_end(&mut bytes));
        if read.is_err() {
            return Vec::new();
        }
        last_lines(&String::from_utf8_lossy(&bytes), most)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(Heart { end, beating }) = self.heart.take() {
            drop(end);
            // A beat that is under way would bring back what is removed.
            let _ = beating.join();
            let path = self.held.path();
            if Holder::find(&path).as_ref() == Some(&self.held.me) {
                // One that stays is stale, and found to be.
                let _ = files::remove(&path);
            }
        }
    }
}

impl Held {
    /// Makes sure that nobody has taken the run over. Where locks do not reach, another machine does so when this one
    /// was asleep or cut off for two minutes; whoever finds that out must write nothing more.
    ///
    /// # Errors
    ///
    /// [`StoreError::TakenOver`] where somebody has.
    pub fn check(&self) -> Result<()> {
        let taken_over = |holder: String| {
            Err(StoreError::TakenOver { path: self.directory.join(&self.id), holder })
        };
        match Holder::read(&self.path()) {
            Ok(holder) if holder != self.me => {
                taken_over(format!("{holder}, for this machine gave no sign of life"))
            }
            // Only whoever has a claim takes it away, and people do.
            Err(error) if error.is_missing() => {
                taken_over("another process that has ended, or its claim was removed".to_owned())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn path(&self) -> PathBuf {
        Paths::of(&self.directory, &self.id).holder
    }
}

/// Writes the claim anew from time to time, as long as it is this one.
fn beat(path: PathBuf, me: Holder, text: String) -> Option<Heart> {
    let (end, ended) = channel();
    let beating = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(HEARTBEAT) {
            // Who was asleep for too long may have lost it, and must not take it back.
            match Holder::read(&path) {
                Ok(holder) if holder != me => return,
                Err(error) if error.is_missing() => return,
                Ok(_) | Err(_) => {}
            }
            // A disk that refuses is told by those who need it.
            let _ = files::write(&path, &text);
        }
    });
    beating.ok().map(|beating| Heart { end, beating })
}

/// Where the claim on a run lies: one run has one, however its path is written.
fn place(run: &RunDirectory) -> Result<(PathBuf, String)> {
    let find =
        |path: &Path| fs::canonicalize(path).map_err(|cause| StoreError::io("find", path, cause));
    let split = |path: &Path| {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (files::parent(path).to_owned(), id)
    };
    let path = find(run.path())?;
    let (written, id) = split(run.path());
    // As it was written, where that leads there without a link: that is what people know it by.
    let is_plain = !id.is_empty() && find(&written)?.join(&id) == path;
    Ok(if is_plain { (written, id) } else { split(&path) })
}

/// Whether a claim's file is of somebody at work of whom the lock would not tell.
fn is_alive(paths: &Paths, holder: &Holder, locks: bool) -> Result<bool> {
    if locks && holder.is_here() {
        // Its lock is gone, and so is it.
        return Ok(false);
    }
    // Ages are told by the clock of the file system, which is one for all machines.
    let probe = paths.holder.with_file_name(format!(
        "{}probe-{}-{}",
        files::PARTIAL,
        std::process::id(),
        holder::boot()
    ));
    files::write(&probe, "")?;
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let is_alive = match (time(&probe), time(&paths.holder)) {
        // Given up at this moment.
        (_, None) => false,
        // A heartbeat since the probe was written is the best sign of life.
        (Some(now), Some(last)) => now.duration_since(last).map_or(true, |age| age < STALE),
        (None, Some(_)) => true,
    };
    files::remove(&probe)?;
    Ok(is_alive)
}

fn in_words(holder: Option<Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string())
}

fn has_no_locks(cause: &std::io::Error) -> bool {
    /// "No locks available", as in Linux's errno.h: what file systems without a lock manager answer.
    const ENOLCK: i32 = 37;
    cause.kind() == std::io::ErrorKind::Unsupported || cause.raw_os_error() == Some(ENOLCK)
}

/// The last lines of a text that are not blank.
#[must_use]
pub fn last_lines(text: &str, most: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(most)..].iter().map(|line| (*line).to_owned()).collect()
}
