//! Errors of downloads.

use crate::error::did_you_mean;

/// Why a dataset cannot be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The name of a dataset to download is not listed.
    #[error(
        "no dataset is called `{name}`{suggestion}; known: {known}",
        suggestion = did_you_mean(.nearest)
    )]
    NotListed {
        /// The name as written.
        name: String,
        /// The most similar listed name, if one is similar.
        nearest: Option<&'static str>,
        /// All listed names, separated by commas.
        known: String,
    },

    /// No mirror has the published file.
    #[error("cannot download {file} of {name}: {attempts}")]
    Download {
        /// The dataset.
        name: &'static str,
        /// The name of the file.
        file: &'static str,
        /// Each address and the reason, separated by semicolons.
        attempts: String,
    },

    /// Another process downloads the same dataset.
    #[error("another process downloads {name}; wait for it to finish")]
    FetchInProgress {
        /// The dataset.
        name: &'static str,
    },
}
