//! Decodes a dataset and completes what is known about it.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::decode::{DecodedRow, Images, Outcome, Target, decode_all};
use super::file::Table;
use super::progress::LoadProgress;
use super::stamp::Stamp;
use crate::content::hexadecimal;
use crate::{Broken, DataError, ImageShape, Part, Parts, Pixels, SkippedFile};

/// The rows of a dataset before they are decoded.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) class_names: Vec<String>,
    pub(crate) labels: Vec<u16>,
    /// The part of each row, in ascending order.
    pub(crate) parts: Vec<Part>,
    pub(crate) file_names: Option<Vec<String>>,
    pub(crate) notes: Vec<String>,
    /// The fingerprint, if it does not depend on the decoding.
    pub(crate) fingerprint: Option<String>,
}

impl Rows {
    /// The file of a row, or its number.
    pub(crate) fn name(&self, row: usize) -> String {
        self.file_names.as_ref().map_or_else(|| format!("row {row}"), |names| names[row].clone())
    }

    /// The table of these rows if all of them are kept.
    pub(crate) fn into_table(self, shape: ImageShape, fingerprint: String) -> Table {
        Table {
            shape,
            parts: parts_of(self.parts.iter().copied()),
            class_names: self.class_names,
            labels: self.labels,
            file_names: self.file_names,
            info: None,
            skipped: Vec::new(),
            notes: self.notes,
            fingerprint,
        }
    }

    /// The SHA-256 over the classes, the rows and the pixels of an array of images.
    pub(crate) fn fingerprint_of_array(&self, shape: ImageShape, pixels: &[u8]) -> String {
        let mut hash = self.hash("arrays", 0..self.labels.len());
        for length in [shape.channels, shape.height, shape.width] {
            hash.update((length as u64).to_be_bytes());
        }
        hash.update(pixels);
        hexadecimal(&hash.finalize())
    }

    /// A SHA-256 over a text, the number of classes and their names, the number of these rows, and their labels, parts and
    /// names. Each name follows its length.
    fn hash(&self, text: &str, rows: impl ExactSizeIterator<Item = usize>) -> Sha256 {
        let mut hash = Sha256::new();
        let add_text = |hash: &mut Sha256, text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add_text(&mut hash, text);
        hash.update((self.class_names.len() as u64).to_be_bytes());
        self.class_names.iter().for_each(|name| add_text(&mut hash, name));
        hash.update((rows.len() as u64).to_be_bytes());
        for row in rows {
            hash.update(self.labels[row].to_be_bytes());
            hash.update([self.parts[row] as u8]);
            if let Some(names) = &self.file_names {
                add_text(&mut hash, &names[row]);
            }
        }
        hash
    }
}

fn parts_of(parts: impl Iterator<Item = Part> + Clone) -> Parts {
    let count = |wanted| parts.clone().filter(|part| *part == wanted).count();
    Parts::new(count(Part::Training), count(Part::Validation), count(Part::Test))
}

/// A dataset that is to be decoded.
pub(crate) struct Build<'a> {
    /// The directory or file, for messages.
    pub(crate) path: PathBuf,
    pub(crate) rows: Rows,
    pub(crate) images: &'a dyn Images,
    /// The shape of each decoded image.
    pub(crate) shape: ImageShape,
    pub(crate) broken: Broken,
    /// How images are brought to the shape, as a part of a file name.
    pub(crate) fitting: String,
    /// The stamp from before the rows were read.
    pub(crate) stamp: Option<&'a Stamp>,
    /// The stamp now.
    pub(crate) stamp_now: &'a dyn Fn() -> Option<Stamp>,
}

impl Build<'_> {
    /// The size of the decoded pixels.
    pub(super) fn bytes(&self) -> u64 {
        (self.images.count() as u64).saturating_mul(self.shape.values() as u64)
    }

    /// Decodes all images into `target`. Returns the table and the checksum of the pixels of each row. The outer error is
    /// that of writing.
    pub(super) fn decode(
        &self,
        target: &Target<'_>,
        progress: &dyn LoadProgress,
    ) -> io::Result<Result<(Table, Vec<u64>), DataError>> {
        let values = self.shape.values();
        let outcomes = decode_all(self.images, values, target, progress)?;
        let is_intact: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        let completed = self.complete(outcomes);
        if completed.is_ok() {
            target.retain(values, &is_intact)?;
        }
        Ok(completed)
    }

    /// Decodes all images into memory.
    pub(super) fn in_memory(
        &self,
        reason: &str,
        progress: &dyn LoadProgress,
    ) -> Result<(Table, Pixels), DataError> {
        let bytes = self.bytes();
        let no_room =
            || DataError::NoRoom { path: self.path.clone(), bytes, reason: reason.to_owned() };
        if available_memory().is_some_and(|available| bytes > available) {
            return Err(no_room());
        }
        let length = usize::try_from(bytes).map_err(|_| no_room())?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(length).map_err(|_| no_room())?;
        memory.resize(length, 0);
        let target = Target::Memory(Mutex::new(memory));
        // Writing into memory does not fail.
        let (table, _) = self.decode(&target, progress).map_err(|_| no_room())??;
        let Target::Memory(memory) = target else { return Err(no_room()) };
        let mut memory = memory.into_inner().unwrap_or_else(PoisonError::into_inner);
        memory.truncate(table.labels.len() * self.shape.values());
        Ok((table, memory.into()))
    }

    /// The table of the images that could be decoded, and their checksums.
    fn complete(&self, outcomes: Vec<Outcome>) -> Result<(Table, Vec<u64>), DataError> {
        let Rows { class_names, labels, parts, file_names, notes, fingerprint } = &self.rows;
        let mut kept: Vec<(usize, DecodedRow)> = Vec::with_capacity(outcomes.len());
        let mut broken = Vec::new();
        for (row, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(decoded) => kept.push((row, decoded)),
                Err(reason) => {
                    broken.push(SkippedFile { path: self.rows.name(row).into(), reason });
                }
            }
        }
        let has_training = kept.iter().any(|(row, _)| parts[*row] == Part::Training);
        if !broken.is_empty() && (self.broken == Broken::Error || !has_training) {
            return Err(DataError::BrokenImages { path: self.path.clone(), files: broken });
        }
        let fingerprint = match fingerprint {
            Some(fingerprint) if broken.is_empty() => fingerprint.clone(),
            fingerprint => self.fingerprint(fingerprint.as_deref(), &kept),
        };
        let table = Table {
            shape: self.shape,
            class_names: class_names.clone(),
            labels: kept.iter().map(|(row, _)| labels[*row]).collect(),
            parts: parts_of(kept.iter().map(|(row, _)| parts[*row])),
            file_names: file_names
                .as_ref()
                .map(|names| kept.iter().map(|(row, _)| names[*row].clone()).collect()),
            info: kept.iter().map(|(_, row)| row.decoded.info).collect(),
            skipped: broken,
            notes: notes.clone(),
            fingerprint,
        };
        Ok((table, kept.into_iter().map(|(_, row)| row.sum).collect()))
    }

    /// The SHA-256 over the classes, the rows and the SHA-256 of each encoded picture. If the dataset has a fingerprint of
    /// its own, from which some rows are missing, that is included.
    fn fingerprint(&self, own: Option<&str>, kept: &[(usize, DecodedRow)]) -> String {
        let mut hash = self.rows.hash(own.unwrap_or("pictures"), kept.iter().map(|(row, _)| *row));
        for (_, DecodedRow { decoded, sum }) in kept {
            match decoded.sha256 {
                Some(sha256) => hash.update(sha256),
                None => hash.update(sum.to_be_bytes()),
            }
        }
        hexadecimal(&hash.finalize())
    }

    /// The name of the cache file of a table. Datasets with the same images have the same fingerprint, even if they had
    /// other files that could not be read.
    pub(super) fn file_name(&self, table: &Table) -> String {
        let ImageShape { channels, height, width } = table.shape;
        let mut name =
            format!("{}-{channels}x{height}x{width}-{}", table.fingerprint, self.fitting);
        if !table.skipped.is_empty() || !table.notes.is_empty() {
            let mut hash = Sha256::new();
            for SkippedFile { path, reason } in &table.skipped {
                hash.update(format!("{path:?} {reason:?} "));
            }
            table.notes.iter().for_each(|note| hash.update(format!("{note:?} ")));
            name = format!("{name}-{}", hexadecimal(&hash.finalize()[..4]));
        }
        name
    }
}

/// The memory that programs can use without swapping, if the system reports it.
fn available_memory() -> Option<u64> {
    // A file of Linux. Its numbers are in KiB.
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
