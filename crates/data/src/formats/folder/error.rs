//! Errors of directories of pictures.

use std::path::PathBuf;

use crate::Part;
use crate::picture::PictureFormat;

/// Why a directory of pictures cannot be read as a dataset.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There are no images for training.
    #[error(
        "{path} has no images for training; a directory of images needs a directory for each class, such as \
         {path}/cat/1.png, or {path}/train/cat/1.png if there are images for validation or testing, with {names} files",
        names = PictureFormat::NAMES
    )]
    NoImages {
        /// The directory.
        path: PathBuf,
    },

    /// All images have the same class.
    #[error(
        "{path} has only one class, `{class}`; give a directory that has a directory of images for each class"
    )]
    OneClass {
        /// The directory.
        path: PathBuf,
        /// The class.
        class: String,
    },

    /// A class of the validation or test images is not a class of the training images.
    #[error(
        "{path}: the {part} images have a class `{class}`, but no training image has; \
         add training images of this class, rename the directory, or move it elsewhere"
    )]
    ClassNotInTraining {
        /// The directory of the class.
        path: PathBuf,
        /// The part that has the class.
        part: Part,
        /// The class.
        class: String,
    },

    /// There is a directory of a class that `classes.txt` does not list.
    #[error("{path} does not list the class `{class}`, which has a directory; add a line for it")]
    UnlistedClass {
        /// The file.
        path: PathBuf,
        /// The class.
        class: String,
    },

    /// Two directories could be the same part of a dataset.
    #[error(
        "{path} has two directories for the same images, {one} and {other}; move one of them elsewhere"
    )]
    TwoDirectoriesOfPart {
        /// The directory around them.
        path: PathBuf,
        /// One of them.
        one: String,
        /// The other one.
        other: String,
    },

    /// There are more classes than labels can number.
    #[error("{path} has {classes} classes; at most 65,536 are possible")]
    TooManyClasses {
        /// The directory.
        path: PathBuf,
        /// The number of classes.
        classes: usize,
    },

    /// A directory has more files than the limit.
    #[error(
        "{path} has more than {limit} files and directories; give the directory of a smaller dataset"
    )]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },

    /// Directories are nested more deeply than the limit.
    #[error(
        "{path} is more than {limit} directories deep; move its images to a directory nearer to the class"
    )]
    FolderTooDeep {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}
