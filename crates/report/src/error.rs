use kiln_store::StoreError;

/// An error of computing or writing a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file of the run cannot be read or written, or the test data is inconsistent.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// The values for a picture or a report are inconsistent.
    #[error("{0}")]
    Inconsistent(String),
}

/// The result type of this crate.
pub type Result<T, E = ReportError> = std::result::Result<T, E>;
