use std::io;
use std::path::{Path, PathBuf};

use kiln_config::Unreadable;

use crate::escape;
use crate::name::NameError;

/// An error of writing, reading or computing files of a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused. The cause is part of the message, so it is not a `source` as well.
    #[error("cannot {action} {}: {}", path.display(), explain(cause))]
    Io {
        /// The action, as it follows "cannot": "write", "read", "create the directory".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        cause: io::Error,
    },

    /// A run's name or id that cannot be the name of a directory.
    #[error("`{}` cannot be the {role} of a run: {problem}", escape::control(text))]
    Name {
        /// "name" or "id".
        role: &'static str,
        /// The given text.
        text: String,
        /// The problem, and what a valid name is.
        problem: NameError,
    },

    /// The directory of a new run already exists.
    #[error("{} already exists, and Kiln never overwrites runs: choose another name, or move the directory away", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
    },

    /// The given path is not a run.
    #[error("{} is not a run directory: {problem}", path.display())]
    NotARun {
        /// The path.
        path: PathBuf,
        /// The missing part.
        problem: &'static str,
    },

    /// A file that cannot be read completely: too large, a pipe, or a symbolic link.
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: Unreadable,
    },

    /// A symbolic link that leaves the directory where runs are written.
    #[error("{} is a symbolic link that leaves {}; Kiln does not write through it", path.display(), root.display())]
    LeadsOut {
        /// The link.
        path: PathBuf,
        /// The directory.
        root: PathBuf,
    },

    /// A file of a run whose content is invalid.
    #[error("{}, line {line}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The problem.
        problem: String,
    },

    /// Another process works on the run.
    #[error("{} is in use by {owner}: wait for it to finish, or stop it", path.display())]
    Locked {
        /// The run's directory.
        path: PathBuf,
        /// A description of the owner.
        owner: String,
    },

    /// Another process took over a run that this process was working on.
    #[error("{} was taken over by {owner}; this process stops writing to it", path.display())]
    TakenOver {
        /// The run's directory.
        path: PathBuf,
        /// A description of the new owner.
        owner: String,
    },

    /// A file whose content has changed since it was written.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// The problem.
        problem: String,
    },

    /// A file written by a later version of Kiln.
    #[error("{} has format version {found}, but this version of Kiln reads versions up to {known}: use a newer version of Kiln", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this build reads.
        known: u32,
    },

    /// A path given for a comparison that leads to no run.
    #[error("{}: {problem}", escape::control(&path.to_string_lossy()))]
    NoRuns {
        /// The path or pattern.
        path: PathBuf,
        /// The problem, and what to give instead.
        problem: String,
    },

    /// Inconsistent values for a report.
    #[error("{0}")]
    Inconsistent(String),
}

/// The result type of this crate.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// Whether the error is a missing file or directory.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, StoreError::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    /// The file or directory that the error is about, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            StoreError::Io { path, .. }
            | StoreError::RunExists { path }
            | StoreError::NotARun { path, .. }
            | StoreError::Malformed { path, .. }
            | StoreError::Locked { path, .. }
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

    /// An error about a line of a file, counted from 1.
    #[must_use]
    pub fn malformed(path: &Path, line: u64, problem: impl Into<String>) -> Self {
        StoreError::Malformed { path: path.to_owned(), line, problem: problem.into() }
    }
}

/// The operating system's error and, if known, what to do about it.
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
        io::ErrorKind::NotADirectory => "part of the path is a file, not a directory".to_owned(),
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => cause.to_string(),
    }
}
