use kiln_store::StoreError;

/// Why a report could not be computed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file of the run cannot be written or read, or the test's numbers do not fit together.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// Values handed over for a picture or a report do not fit together.
    #[error("{0}")]
    Inconsistent(String),
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = ReportError> = std::result::Result<T, E>;
