//! Named datasets and directories: verified bytes, a split, normalised batches.
//!
//! A dataset is four IDX files: images and labels to train on, images and labels to test on. It is
//! named in the experiment's `[data]` table, a [`DataConfig`], and goes through this crate in five
//! steps, each of which takes only what the one before it gave:
//!
//! 1. [`load`] finds the files of a listed dataset ([`DATASETS`]) or of any directory, and reads
//!    them, gzip or plain, into a [`Dataset`]. Headers are held against contents, contents against
//!    published sums, labels against images and classes; what is wrong is a [`DataError`] that names
//!    the file and the place in it. Images stay bytes. The dataset's `fingerprint` says what was
//!    read.
//! 2. [`DataConfig::split`] parts the training rows into a [`Split`], disjoint and exhaustive.
//! 3. [`Normalize::fit`] takes from the rows that are trained on what normalisation needs to know,
//!    and gives a [`Normalizer`], the only type that can normalise. It is stored beside the weights,
//!    and read back to predict.
//! 4. [`shuffle`] puts the rows in an epoch's order. All chance comes from a generator that the
//!    caller hands in.
//! 5. [`gather`] turns some rows of bytes into a [`Batch`] of `f32`.
//!
//! ```no_run
//! use std::path::Path;
//! use kiln_data::{Batch, DataConfig, Normalize, SplitMethod, Validation, gather, shuffle};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let config = DataConfig {
//!     source: "fashion-mnist".to_owned(),
//!     validation: Validation::Rows(5_000),
//!     split: SplitMethod::Head,
//!     normalize: Normalize::Unit,
//! };
//! let mut generator = ChaCha8Rng::seed_from_u64(42);
//! let dataset = config.load(Path::new("data"))?;
//! let mut split = config.split(&dataset.train.labels, &mut generator)?;
//! let normalizer = config.normalize.fit(&dataset.train, &split.training)?;
//!
//! let mut batch = Batch::new(dataset.train.shape);
//! shuffle(&mut split.training, &mut generator);
//! for rows in split.training.chunks(32) {
//!     gather(&dataset.train, rows, &normalizer, &mut batch);
//! }
//! # Ok::<(), kiln_data::DataError>(())
//! ```
//!
//! Beside that path, [`list`] and [`verify`] tell which datasets are there and sound, and
//! [`read_image`] makes a PNG or JPEG file an image as a network was trained on.

mod batch;
mod catalog;
mod config;
mod content;
mod dataset;
mod error;
mod idx;
mod image_file;
mod inspect;
mod normalize;
mod source;
mod split;

pub use batch::{Batch, gather};
pub use catalog::{ContentSums, DATASETS, NamedDataset};
pub use config::{DataConfig, Normalize, SplitMethod, Validation};
pub use dataset::{Dataset, ImageShape, LabelledImages};
pub use error::DataError;
pub use image_file::{Adjustment, Hint, PixelSize, ReadImage, read_image};
pub use inspect::{FileCheck, Listing, SoundFile, Verification, list, verify};
pub use normalize::{Normalizer, NormalizerParameters};
pub use source::{DataFile, load};
pub use split::{Split, shuffle};
