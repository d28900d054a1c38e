use std::path::PathBuf;

use kiln_store::StoreError;

/// Why runs could not be compared, or a comparison not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The runs cannot be found or read.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// Files of one run directory that are not from one run.
    #[error("{}: {problem}", path.display())]
    Mismatch {
        /// The run's directory.
        path: PathBuf,
        /// Which files say what.
        problem: String,
    },

    /// A column or a baseline that the comparison does not have was asked for.
    #[error("{0}")]
    Request(String),

    /// The comparison cannot be written in the requested format.
    #[error("{0}")]
    Inconsistent(String),
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = CompareError> = std::result::Result<T, E>;
