//! Errors of splitting images.

use crate::{Part, SplitSize};

/// Why images cannot be split into training, validation and test images.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The rows for validation and those for testing would fit, but both together leave no training rows.
    #[error(
        "validation = {validation} and test = {test} take {wanted} images, but there are {rows} training images; \
         lower one of them, so that at least one image is left for training"
    )]
    SplitsTooLarge {
        /// The value of the key `validation`.
        validation: SplitSize,
        /// The value of the key `test`.
        test: SplitSize,
        /// The number of rows to be split from the training images.
        wanted: usize,
        /// The number of training images in the source.
        rows: usize,
    },

    /// The rows for validation or testing would leave no training rows.
    #[error(
        "{part} = {size}: {wanted} images would be split from the {rows} training images; \
         leave at least one for training"
    )]
    SplitTooLarge {
        /// The part that the rows are for, which is the name of the key.
        part: Part,
        /// The value of the key.
        size: SplitSize,
        /// The number of rows to be split from the training images.
        wanted: usize,
        /// The number of training images in the source.
        rows: usize,
    },

    /// A fraction above zero that rounds to zero rows.
    #[error(
        "{part} = {fraction} of {rows} images is less than one image; use a larger fraction, or 0"
    )]
    SplitTooSmall {
        /// The part that the rows are for, which is the name of the key.
        part: Part,
        /// The value of the key.
        fraction: f64,
        /// The number of training images in the source.
        rows: usize,
    },

    /// A fraction that is not in the range 0 ≤ fraction < 1.
    #[error("{part} = {fraction}: a fraction must be at least 0 and below 1")]
    SplitFraction {
        /// The part that the rows are for, which is the name of the key.
        part: Part,
        /// The value of the key.
        fraction: f64,
    },

    /// Rows are to be split for a part that the source provides.
    #[error(
        "{part} = {size}, but the dataset has {provided} {part} images of its own; remove the key to use them"
    )]
    PartProvided {
        /// The part, which is the name of the key.
        part: Part,
        /// The value of the key.
        size: SplitSize,
        /// The number of rows that the source provides for it.
        provided: usize,
    },

    /// The source does not provide a part that the configuration asks for.
    #[error(
        "{part} = \"source\", but the dataset has no {part} images of its own; split some, such as {part} = 0.1"
    )]
    NoPart {
        /// The part, which is the name of the key.
        part: Part,
    },

    /// There are no test rows.
    #[error("the dataset has no test images; split some from the others, such as test = 0.1")]
    NoTestRows,

    /// Groups with `split = "head"`.
    #[error(
        "`group` needs split = \"shuffled\" or \"stratified\"; \"head\" takes the first images"
    )]
    GroupOfHead,

    /// Groups of images that have no file names.
    #[error(
        "`group` looks for a group in the file name of each image, but the images of this dataset have none"
    )]
    GroupWithoutNames,

    /// No image has a group.
    #[error("`{group}` finds a group in none of the file names, such as {example}")]
    GroupWithoutMatch {
        /// The regular expression.
        group: String,
        /// The first file name.
        example: String,
    },

    /// There is no group left for a part.
    #[error("the training images have too few groups to split some for {part}: {groups}")]
    TooFewGroups {
        /// The part.
        part: Part,
        /// The number of groups before the split for this part.
        groups: usize,
    },
}
