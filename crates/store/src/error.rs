use std::io;
use std::path::{Path, PathBuf};

use kiln_config::Unreadable;

use crate::escape;
use crate::name::NameError;

/// Why something of a run could not be written, read or computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused. The cause is part of the message, so it is not a `source` as well.
    #[error("cannot {action} {}: {}", path.display(), explain(cause))]
    Io {
        /// What was tried, as it follows "cannot": "write", "read", "create the directory".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system answered.
        cause: io::Error,
    },

    /// A run's name or id that is not fit to be the name of a directory.
    #[error("`{}` cannot be the {role} of a run: {problem}", escape::control(text))]
    Name {
        /// "name" or "id".
        role: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it and what would be right.
        problem: NameError,
    },

    /// The directory that a new run asks for is taken.
    #[error("{} is there already and runs are never overwritten: give another name, or move it away", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
    },

    /// A path that was given as a run and is none.
    #[error("{} is not a run directory: {problem}", path.display())]
    NotARun {
        /// The path.
        path: PathBuf,
        /// What is missing.
        problem: &'static str,
    },

    /// A file that is not opened, or not to its end: it is too large, a pipe, a symbolic link.
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Unreadable,
    },

    /// A symbolic link that leads out of the directory that it lies in, where runs are written.
    #[error("{} is a symbolic link that leads out of {}: nothing is written through it", path.display(), root.display())]
    LeadsOut {
        /// The link.
        path: PathBuf,
        /// The directory.
        root: PathBuf,
    },

    /// A file of a run whose content cannot be understood.
    #[error("{}, line {line}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong there.
        problem: String,
    },

    /// Somebody else works on the run.
    #[error("{} is being worked on by {holder}: wait for its end, or end it", path.display())]
    Claimed {
        /// The run's directory.
        path: PathBuf,
        /// Who, in words.
        holder: String,
    },

    /// Somebody else works on a run that was this process' own.
    #[error("{} was taken over by {holder}: nothing more is written here", path.display())]
    TakenOver {
        /// The run's directory.
        path: PathBuf,
        /// Who, in words.
        holder: String,
    },

    /// A file that is not as it was written.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// A file written by a later Kiln than this one.
    #[error("{} has format version {found}, and this Kiln reads versions up to {known}: read it with a newer Kiln", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this build reads.
        known: u32,
    },

    /// A path that was given for a comparison and leads to no run.
    #[error("{}: {problem}", escape::control(&path.to_string_lossy()))]
    NoRuns {
        /// The path or pattern.
        path: PathBuf,
        /// What is wrong with it and what to give instead.
        problem: String,
    },

    /// Numbers handed over for a report that do not fit together.
    #[error("{0}")]
    Inconsistent(String),
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// Whether a file or directory is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, StoreError::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    /// The file or directory that it is about, where it is about one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            StoreError::Io { path, .. }
            | StoreError::RunExists { path }
            | StoreError::NotARun { path, .. }
            | StoreError::Malformed { path, .. }
            | StoreError::Claimed { path, .. }
            | StoreError::TakenOver { path, .. }
            | StoreError::Damaged { path, .. }
            | StoreError::NewerFormat { path, .. }
            | StoreError::Unreadable { path, .. }
            | StoreError::LeadsOut { path, .. }
            | StoreError::NoRuns { path, .. } => Some(path),
            StoreError::Name { .. } | StoreError::Inconsistent(_) => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, cause: io::Error) -> Self {
        StoreError::Io { action, path: path.to_owned(), cause }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        StoreError::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    /// A file with a line, counted from 1, that cannot be understood.
    #[must_use]
    pub fn malformed(path: &Path, line: u64, problem: impl Into<String>) -> Self {
        StoreError::Malformed { path: path.to_owned(), line, problem: problem.into() }
    }
}

/// The operating system's answer and, where one is known, what to do about it.
fn explain(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::StorageFull => "the disk is full; free some space".to_owned(),
        io::ErrorKind::QuotaExceeded => "your disk quota is used up; free some space".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; change the permissions or choose another place".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; choose another place".to_owned()
        }
        io::ErrorKind::NotADirectory => "a part of the path is a file, not a directory".to_owned(),
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        _ => cause.to_string(),
    }
}
