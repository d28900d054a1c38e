//! The experiment's `[data]` table.

use std::fmt;
use std::path::Path;

use kiln_config::{ConfigError, FromValue, Kind, Table, Value, keywords};
use serde::Serialize;

use crate::{DataError, Dataset};

/// The `[data]` table: the dataset, its validation split, and its normalization.
/// Serializes to the same keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataConfig {
    /// A listed dataset or a directory of IDX files; see [`load`](crate::load).
    pub source: String,
    /// How many rows of the training files are used for validation. Default: 0.
    pub validation: Validation,
    /// How the validation rows are chosen. Default: `head`.
    pub split: SplitMethod,
    /// How pixels are normalized. Default: `unit`.
    pub normalize: Normalize,
}

impl DataConfig {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// `source` is missing, or a value has the wrong type or is out of range.
    pub fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            source: table.required("source")?,
            validation: table.default("validation", Validation::Rows(0))?,
            split: table.default("split", SplitMethod::Head)?,
            normalize: table.default("normalize", Normalize::Unit)?,
        })
    }

    /// Reads the dataset `source`; see [`load`](crate::load).
    ///
    /// # Errors
    ///
    /// The errors of [`load`](crate::load).
    pub fn load(&self, data_directory: &Path) -> Result<Dataset, DataError> {
        crate::load(&self.source, data_directory)
    }
}

/// How many rows of the training files are used for validation. In TOML, an integer is a number of
/// rows and a float is a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Validation {
    /// A number of rows.
    Rows(usize),
    /// A fraction of the rows: 0 ≤ fraction < 1.
    Fraction(f64),
}

impl FromValue for Validation {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(_) => usize::from_value(value).map(Self::Rows),
            // A fraction above 0 that rounds to zero rows is an error later, but 0.0 is valid.
            Kind::Float(0.0) => Ok(Self::Rows(0)),
            Kind::Float(fraction) if (0.0..1.0).contains(&fraction) => Ok(Self::Fraction(fraction)),
            _ => Err(value.expected("a number of rows, or a fraction from 0.0 to below 1.0")),
        }
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.fmt(formatter),
            // Debug formatting keeps the decimal point that marks a fraction in TOML.
            Self::Fraction(fraction) => write!(formatter, "{fraction:?}"),
        }
    }
}

keywords! {
    /// How the validation rows are chosen from the training files.
    pub enum SplitMethod as "split" {
        /// The first rows.
        Head = "head",
        /// Rows drawn at random.
        Shuffled = "shuffled",
        /// Rows drawn at random from each class, in proportion to its size.
        Stratified = "stratified",
    }
}

keywords! {
    /// A method of normalizing pixels. [`fit`](Self::fit) turns it into a
    /// [`Normalizer`](crate::Normalizer), which can normalize images.
    pub enum Normalize as "normalization" {
        /// x / 255, in the range 0 to 1.
        Unit = "unit",
        /// (x − mean) / standard deviation, both over all pixels of the training rows.
        Standardize = "standardize",
        /// (x − mean) / standard deviation, both separately for each pixel.
        StandardizePerPixel = "standardize_per_pixel",
        /// x unchanged, in the range 0 to 255.
        None = "none",
    }
}
