use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kiln_report::files;

use crate::SweepError;

/// The right to run one run of a sweep: a lock on `<sweep>/.sweep/<id>.log`.
///
/// The file is the run's standard error too. So the lock is held by the sweep and by the process of
/// the run, and the kernel lets it go when the last of them has ended, however they ended. A sweep
/// that was killed leaves no claim behind, and one whose run still goes on leaves it claimed.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
}

/// The longest end of a log that is shown.
const LONGEST_TAIL: u64 = 16 << 10;

impl Claim {
    /// Claims a run; `None` where somebody else has it.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or locked, or is a symbolic link that leads elsewhere.
    pub(crate) fn take(sweep: &Path, id: &str) -> Result<Option<Self>, SweepError> {
        let directory = hidden(sweep);
        fs::create_dir_all(&directory)
            .map_err(|cause| SweepError::io("create the directory", &directory, cause))?;
        let path = directory.join(format!("{id}.log"));
        files::check_within(sweep, &directory)
            .and_then(|()| files::check_within(&directory, &path))
            .map_err(kiln_train::TrainError::from)?;
        let refused = |action, cause| SweepError::io(action, &path, cause);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|cause| refused("open", cause))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(refused("lock", cause)),
        }
    }

    /// Whether somebody works on a run at this moment.
    pub(crate) fn is_taken(sweep: &Path, id: &str) -> bool {
        let path = hidden(sweep).join(format!("{id}.log"));
        File::open(path)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Empties the log for a new attempt and gives it as a process' standard error.
    pub(crate) fn standard_error(&self) -> std::io::Result<Stdio> {
        self.file.set_len(0)?;
        Ok(self.file.try_clone()?.into())
    }

    /// The last lines of the log, at most `most`.
    pub(crate) fn tail(&self, most: usize) -> Vec<String> {
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

/// The last lines of a text that are not blank.
pub(crate) fn last_lines(text: &str, most: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(most)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Where a sweep keeps what is not a run.
fn hidden(sweep: &Path) -> PathBuf {
    sweep.join(".sweep")
}

/// Takes what an earlier attempt left out of the way of a new one. Only who has the claim may.
///
/// # Errors
///
/// It cannot be moved or removed.
pub(crate) fn remove_attempt(sweep: &Path, id: &str) -> Result<(), SweepError> {
    let path = sweep.join(id);
    let aside = hidden(sweep).join(format!("{id}.removed"));
    let removed = |path: &Path| match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(SweepError::io("remove", path, cause))
        }
        _ => Ok(()),
    };
    removed(&aside)?;
    // A rename first: half a directory must not be taken for a run.
    match fs::rename(&path, &aside) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(SweepError::io("move", &path, cause)),
        Ok(()) => {}
    }
    removed(&aside)
}
