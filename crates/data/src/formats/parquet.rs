//! Tables of encoded images, as published on Hugging Face: `data/train-00000-of-00001.parquet` and so on.
//!
//! Reading them needs the cargo feature `parquet`.

use std::path::{Path, PathBuf};

use super::arrays::invalid;
use super::{Contents, Format, Location};
use crate::{DataError, FormatName, Part};

#[cfg(feature = "parquet")]
use super::parquet_rows::read_files;

pub(crate) struct ParquetFormat;

impl Format for ParquetFormat {
    fn name(&self) -> FormatName {
        FormatName::Parquet
    }

    fn description(&self) -> &'static str {
        "a Parquet file of encoded images, or a directory with data/train-00000-of-00001.parquet"
    }

    fn detects(&self, path: &Path) -> bool {
        !tables(path).is_empty()
    }

    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError> {
        let mut files: Vec<PathBuf> =
            find(location.path)?.tables.into_iter().map(|(it, _)| it).collect();
        files.push(location.path.join("classes.txt"));
        Ok(files)
    }

    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError> {
        let Tables { tables, notes } = find(location.path)?;
        read_files(location, &tables, notes)
    }
}

#[cfg(not(feature = "parquet"))]
fn read_files(
    location: &Location<'_>,
    _: &[(PathBuf, Part)],
    _: Vec<String>,
) -> Result<Contents, DataError> {
    Err(DataError::NoParquet { path: location.path.to_owned() })
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|it| it.eq_ignore_ascii_case("parquet")) && path.is_file()
}

/// The tables in a directory, in the order of their names.
fn tables_in(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let mut tables: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_table(path)).collect();
    tables.sort();
    tables
}

/// The tables of a dataset: the file, those of the directory, of `data/` in it, or of its only directory with tables.
fn tables(path: &Path) -> Vec<PathBuf> {
    if is_table(path) {
        return vec![path.to_owned()];
    }
    for directory in [path.to_owned(), path.join("data")] {
        let tables = tables_in(&directory);
        if !tables.is_empty() {
            return tables;
        }
    }
    let entries = path.read_dir().into_iter().flatten().flatten();
    let mut found = entries.map(|entry| tables_in(&entry.path())).filter(|it| !it.is_empty());
    match (found.next(), found.next()) {
        (Some(tables), None) => tables,
        _ => Vec::new(),
    }
}

/// The part that the name of a file begins with.
fn part_of(path: &Path) -> Option<Part> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match name.split(['-', '.']).next().unwrap_or_default() {
        "train" | "training" => Some(Part::Training),
        "validation" | "valid" | "val" => Some(Part::Validation),
        "test" => Some(Part::Test),
        _ => None,
    }
}

/// The tables of a dataset, in the order of their parts.
struct Tables {
    tables: Vec<(PathBuf, Part)>,
    notes: Vec<String>,
}

fn find(path: &Path) -> Result<Tables, DataError> {
    let tables = tables(path);
    let mut notes = Vec::new();
    if let [table] = tables.as_slice() {
        return Ok(Tables { tables: vec![(table.clone(), Part::Training)], notes });
    }
    let mut files = Vec::new();
    for table in tables {
        match part_of(&table) {
            Some(part) => files.push((table, part)),
            None => {
                let name = table.file_name().unwrap_or_default().to_string_lossy();
                notes.push(format!(
                    "{name} is not used: its name begins with none of train, validation and test"
                ));
            }
        }
    }
    files.sort_by(|(path, part), (other, other_part)| (part, path).cmp(&(other_part, other)));
    match files.first() {
        Some((_, Part::Training)) => Ok(Tables { tables: files, notes }),
        _ => Err(invalid(
            path,
            "",
            "there is no table of training images, such as data/train-00000-of-00001.parquet; \
             to use a single table, give its path as data.source",
        )),
    }
}
