//! The experiment's `[data]` table.

use std::fmt;
use std::path::Path;

use kiln_config::{ConfigError, FromValue, Kind, Table, Value, keywords};
use serde::Serialize;

use crate::{DataError, Dataset};

/// The `[data]` table: what to read, what to set aside for validation, how to normalise.
/// Serialises as it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataConfig {
    /// A listed dataset or a directory of IDX files; see [`load`](crate::load).
    pub source: String,
    /// How much of the training files validates. Default: 0, nothing.
    pub validation: Validation,
    /// Which rows validate. Default: `head`.
    pub split: SplitMethod,
    /// What becomes of the bytes. Default: `unit`.
    pub normalize: Normalize,
}

impl DataConfig {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// `source` is missing, or a value is of another type or out of range.
    pub fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            source: table.required("source")?,
            validation: table.default("validation", Validation::Rows(0))?,
            split: table.default("split", SplitMethod::Head)?,
            normalize: table.default("normalize", Normalize::Unit)?,
        })
    }

    /// Reads the dataset that the table names; see [`load`](crate::load).
    ///
    /// # Errors
    ///
    /// Those of [`load`](crate::load).
    pub fn load(&self, data_directory: &Path) -> Result<Dataset, DataError> {
        crate::load(&self.source, data_directory)
    }
}

/// How much of the training files is set aside for validation: a whole number of rows, or a fraction
/// of them, which TOML tells apart by the point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Validation {
    /// So many rows.
    Rows(usize),
    /// This part of the rows, from 0 up to but not including 1.
    Fraction(f64),
}

impl FromValue for Validation {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(_) => usize::from_value(value).map(Self::Rows),
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
            // With the point, as in TOML.
            Self::Fraction(fraction) => write!(formatter, "{fraction:?}"),
        }
    }
}

keywords! {
    /// Which rows of the training files validate.
    pub enum SplitMethod {
        /// The first.
        Head = "head",
        /// Rows drawn at random.
        Shuffled = "shuffled",
        /// Rows drawn at random from each class, in proportion to its size.
        Stratified = "stratified",
    }
}

keywords! {
    /// What becomes of the bytes of an image before a network sees them. This names the method;
    /// [`fit`](Self::fit) makes it a [`Normalizer`](crate::Normalizer), which alone can normalise.
    pub enum Normalize {
        /// x / 255: from 0 to 1.
        Unit = "unit",
        /// (x − mean) / standard deviation, both over all pixels of the training rows.
        Standardize = "standardize",
        /// The same with a mean and a deviation for each pixel.
        StandardizePerPixel = "standardize_per_pixel",
        /// The bytes as they are: from 0 to 255.
        None = "none",
    }
}
