//! Errors of finding a dataset.

use std::path::PathBuf;

use crate::FormatName;
use crate::error::did_you_mean;

/// Why a source is not a dataset.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source is neither the name of a listed dataset nor a directory.
    #[error(
        "no dataset is called `{name}`{suggestion}; known: {known}. \
         For a directory or file of your own, give its path, such as `./{name}`",
        suggestion = did_you_mean(.nearest)
    )]
    UnknownDataset {
        /// The source as written.
        name: String,
        /// The most similar listed name, if one is similar.
        nearest: Option<&'static str>,
        /// All listed names, separated by commas.
        known: String,
    },

    /// The source is a path at which nothing is.
    #[error("{path} does not exist; give the directory or file of a dataset")]
    NoSuchSource {
        /// The path as written.
        path: PathBuf,
    },

    /// The source does not look like any format.
    #[error("{path} is not a dataset that Kiln knows; known: {known}")]
    UnknownFormat {
        /// The directory or file.
        path: PathBuf,
        /// Descriptions of the sources of each format.
        known: String,
    },

    /// The source is an empty directory.
    #[error("{path} is empty; give the directory or file of a dataset")]
    EmptySource {
        /// The directory.
        path: PathBuf,
    },

    /// The source is a directory of pictures without a directory for each class.
    #[error(
        "{path} has images but no directory for each class; move each image into a directory with the name of its \
         class, or add a table of files and labels, labels.csv"
    )]
    NoClassDirectories {
        /// The directory.
        path: PathBuf,
    },

    /// The source is a file, and `data.format` is a format of directories.
    #[error(
        "{path} is a file, but the format \"{format}\" needs a directory; remove data.format to detect it"
    )]
    NotADirectory {
        /// The file.
        path: PathBuf,
        /// The value of the key.
        format: FormatName,
    },
}
