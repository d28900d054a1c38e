use std::path::{Path, PathBuf};

/// An error of a sweep, or of the process of one of its runs.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The run cannot be prepared, resumed or trained.
    #[error(transparent)]
    Train(#[from] kiln_train::TrainError),
    /// Several runs of the sweep cannot be trained.
    #[error(transparent)]
    Invalid(crate::plan::InvalidSweep),
    /// An operation of the operating system failed.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// The operation as a verb, such as "start" or "wait for"; the message puts "cannot" before it.
        action: &'static str,
        /// The file or program.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// A file of the run cannot be read or written, or another process has locked the run.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// The worker process received no valid request.
    #[error("`kiln work` is only for `kiln sweep`, which starts it for each run: {0}")]
    Request(String),
    /// A launcher cannot start workers, or cannot find out about them.
    #[error("{message}")]
    Launcher {
        /// What is wrong.
        message: String,
        /// What the user can do about it.
        help: Option<String>,
    },
    /// The worker process cannot write the log of its run.
    #[error("cannot start the log of the run: {0}")]
    Log(String),
}

impl From<kiln_config::ConfigError> for SweepError {
    fn from(error: kiln_config::ConfigError) -> Self {
        Self::Train(error.into())
    }
}

impl SweepError {
    pub(crate) fn launcher(message: String, help: Option<String>) -> Self {
        Self::Launcher { message, help }
    }

    pub(crate) fn io(action: &'static str, path: &Path, cause: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), cause }
    }
}
