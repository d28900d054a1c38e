use std::path::PathBuf;

use kiln_store::StoreError;

/// Why runs could not be compared, or why a comparison could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The runs could not be found or read.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// The files of a run directory do not belong to the same run.
    #[error("{}: {problem}", path.display())]
    Mismatch {
        /// The run's directory.
        path: PathBuf,
        /// Which files contradict each other.
        problem: String,
    },

    /// The requested column or baseline does not exist.
    #[error("{0}")]
    Request(String),

    /// The comparison could not be written in the requested format.
    #[error("{0}")]
    Inconsistent(String),
}

/// The result of this crate's fallible functions.
pub type Result<T, E = CompareError> = std::result::Result<T, E>;
