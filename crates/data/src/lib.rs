//! Reads and verifies datasets, splits them, and makes normalized batches.
//!
//! A dataset is labeled images for training and testing, and for validation if the source provides some. The `[data]` table
//! of an experiment, [`DataConfig`], names it. The steps from files to batches:
//!
//! 1. [`DataConfig::load`] finds the source, a listed dataset ([`DATASETS`]), a directory or a file, detects its format
//!    ([`FormatName`]) and reads it into a [`Dataset`]. It checks headers against contents, contents against published
//!    checksums, and labels against images and classes. A [`DataError`] names the file and the byte or line. Images stay
//!    bytes. The `fingerprint` of the dataset identifies its content.
//! 2. [`DataConfig::split`] divides the training rows into the disjoint lists of a [`Split`].
//! 3. [`Normalize::fit`] computes the statistics of the training rows and returns a [`Normalizer`],
//!    the only type that can normalize. It is stored with the weights and read back for prediction.
//! 4. [`shuffle`] brings the rows into the random order of an epoch. The caller provides every
//!    random number generator.
//! 5. [`gather`] converts some rows from bytes to a [`Batch`] of `f32`; [`gather_augmented`] transforms them first.
//!
//! ```no_run
//! use std::path::Path;
//! use kiln_data::{Batch, DataConfig, SplitSize, gather, shuffle};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let config = DataConfig { validation: SplitSize::Rows(5_000), ..DataConfig::new("fashion-mnist") };
//! let mut generator = ChaCha8Rng::seed_from_u64(42);
//! let mut test_generator = ChaCha8Rng::seed_from_u64(43);
//! let dataset = config.load(Path::new("data"))?;
//! let mut split = config.split(&dataset, &mut generator, &mut test_generator)?;
//! let normalizer = config.normalize.fit(&dataset.images, &split.training)?;
//!
//! let mut batch = Batch::new(dataset.images.shape);
//! shuffle(&mut split.training, &mut generator);
//! for rows in split.training.chunks(32) {
//!     gather(&dataset.images, rows, &normalizer, &mut batch);
//! }
//! # Ok::<(), kiln_data::DataError>(())
//! ```
//!
//! Pictures are decoded once: [`DataConfig::load`] keeps them in a cache in the data directory and maps it into memory
//! ([`Pixels`]). [`set_load_progress`] shows how far the decoding is, [`remove_cache`] removes the cache.
//!
//! [`KnownDatasets`] remembers fingerprints, so that an unchanged dataset need not be read to know its own.
//!
//! [`list`] and [`verify`] report which datasets exist and are intact. [`read_image`] converts an image
//! file to the image shape of a network; [`picture`] has its steps.

mod augment;
mod batch;
mod cache;
mod catalog;
mod check;
mod class_names;
mod config;
mod content;
mod dataset;
mod error;
mod fetch;
mod formats;
mod group;
mod image_info;
mod inspect;
mod known;
mod natural_order;
mod normalize;
mod parallel;
pub mod picture;
mod source;
mod source_error;
mod source_images;
mod split;
mod split_error;

pub use augment::{AugmentConfig, Augmentation, EpochAugmenter, gather_augmented};
pub use batch::{Batch, Mix, gather, gather_mirrored, mirrored};
pub use cache::{
    LoadProgress, SilentProgress, cache_directory, cache_size, remove_cache, set_load_progress,
};
pub use catalog::{ContentSums, DATASETS, Download, FileSum, NamedDataset, Unpack};
pub use check::{ClassCounts, Copies, DataCheck, Finding, PartCounts, Severity, Thoroughness};
pub use config::{
    Background, Broken, Channels, DataConfig, ImageSize, Layout, Normalize, Resize, SplitMethod,
    SplitSize,
};
pub use dataset::{Dataset, ImageShape, LabeledImages, Part, Parts, Pixels, SkippedFile};
pub use error::DataError;
pub use fetch::{FetchError, FetchOptions, FetchProgress, Fetched, fetch};
pub use formats::csv::{UnlabeledImages, read_unlabeled};
pub use formats::{DataFile, FolderError, FormatName, IdxError};
pub use group::Group;
pub use image_info::{ImageInfo, PictureMode};
pub use inspect::{FileCheck, Listing, Verification, VerifiedFile, list, verify};
pub use known::{DatasetSummary, KnownDatasets};
pub use normalize::{Normalizer, NormalizerParameters};
pub use picture::{
    Adjustment, Fitting, Hint, PictureError, PixelSize, ReadImage, picture_files, read_image,
    read_image_as,
};
pub use source::load;
pub use source_error::SourceError;
pub use split::{Split, SplitCounts, sample_balanced, shuffle};
pub use split_error::SplitError;
