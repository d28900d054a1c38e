//! `splits.csv`: which images of the dataset are for training, for validation and for testing.
//!
//! ```text
//! row,part,file                     first,last,part
//! 0,training,cats/001.png           0,4999,validation
//! 1,validation,cats/002.png         5000,59999,training
//! 2,training,dogs/001.png           60000,69999,test
//! ```
//!
//! `row` counts the images of the dataset from 0: first those of its training part, then those of its validation part,
//! then those of its test part. If the images have file names, there is one line per image, in order. Without names, a
//! line is for consecutive images, because 70,000 lines would be a megabyte that says little.

use std::path::Path;

use crate::error::{Result, StoreError};
use crate::files;

/// The rows of each part. No row is in two parts.
#[derive(Debug, Clone, Copy)]
pub struct Splits<'a> {
    /// The rows for training, in ascending order.
    pub training: &'a [u32],
    /// The rows for validation, in ascending order.
    pub validation: &'a [u32],
    /// The rows for testing, in ascending order.
    pub test: &'a [u32],
    /// The file of each row of the dataset, if the images have names.
    pub file_names: Option<&'a [String]>,
}

/// Writes the file.
///
/// # Errors
///
/// [`StoreError::Inconsistent`] if a row has no file name, [`StoreError::Io`] if the file cannot be written.
pub fn write(path: &Path, splits: &Splits<'_>) -> Result<()> {
    let text =
        splits.to_csv().map_err(|error| StoreError::Inconsistent(format!("splits: {error}")))?;
    files::write(path, text)
}

impl Splits<'_> {
    fn to_csv(self) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let parts =
            [("training", self.training), ("validation", self.validation), ("test", self.test)];
        let of_part = |(part, rows): (_, &[u32])| {
            rows.iter().map(|row| (*row, part)).collect::<Vec<(u32, &str)>>()
        };
        let mut rows: Vec<(u32, &str)> = parts.into_iter().flat_map(of_part).collect();
        rows.sort_unstable();

        let mut writer = csv::Writer::from_writer(Vec::new());
        if let Some(names) = self.file_names {
            writer.write_record(["row", "part", "file"])?;
            for (row, part) in rows {
                let name = names.get(row as usize).ok_or("a row has no file name")?;
                writer.write_record([&row.to_string(), part, name])?;
            }
        } else {
            writer.write_record(["first", "last", "part"])?;
            let is_next = |a: &(u32, &str), b: &(u32, &str)| a.0 + 1 == b.0 && a.1 == b.1;
            for run in rows.chunk_by(is_next) {
                let (first, part) = run[0];
                let last = run[run.len() - 1].0;
                writer.write_record([&first.to_string(), &last.to_string(), part])?;
            }
        }
        Ok(writer.into_inner()?)
    }
}
