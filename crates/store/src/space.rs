//! The space that runs take on the disk, and the files that a run can do without.

use std::fs::{self, Metadata};
use std::path::Path;

use crate::checksum::Checksum;
use crate::error::{Result, StoreError};
use crate::files;
use crate::lock::FileLock;
use crate::record::Status;
use crate::run::RunDirectory;

/// A part of a run that can be removed. The report of the run needs none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removable {
    /// `checkpoints/`. Without them, a pruned run that is resumed starts from scratch.
    Checkpoints,
    /// `initial.safetensors`.
    InitialWeights,
    /// `model.safetensors`. Without it, the run cannot predict.
    Weights,
}

impl Removable {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Checkpoints, Self::InitialWeights, Self::Weights];

    /// The name of its file or directory in the run's directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoints => "checkpoints",
            Self::InitialWeights => "initial.safetensors",
            Self::Weights => "model.safetensors",
        }
    }
}

/// Whether a run has ended with a result, so that its [`Removable`] parts are not needed to continue it.
#[must_use]
pub fn is_complete(status: Status) -> bool {
    match status {
        Status::Finished | Status::Diverged | Status::Pruned => true,
        Status::Running | Status::Interrupted | Status::Failed => false,
    }
}

/// The bytes of a file, or of all files below a directory. Links are not followed.
#[must_use]
pub fn size(path: &Path) -> u64 {
    sum(path, &|metadata| metadata.len())
}

/// The bytes that removing a file or directory frees: like [`size`], without files that have another name elsewhere.
#[must_use]
pub fn freed_by_removing(path: &Path) -> u64 {
    sum(path, &|metadata| if has_other_names(metadata) { 0 } else { metadata.len() })
}

fn sum(path: &Path, bytes: &dyn Fn(&Metadata) -> u64) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return if metadata.is_file() { bytes(&metadata) } else { 0 };
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| sum(&entry.path(), bytes)).sum()
}

#[cfg(unix)]
fn has_other_names(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.nlink() > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

/// Removes parts of a run, and records that they were removed.
///
/// # Errors
///
/// [`StoreError::Locked`] if another process works on the run; [`StoreError::Inconsistent`] if the run is not
/// [complete](is_complete); those of [`RunDirectory::read_record`]; [`StoreError::Io`] if a file cannot be removed.
pub fn remove(run: &RunDirectory, parts: &[Removable]) -> Result<()> {
    let _lock = FileLock::of(run)?;
    let mut record = run.read_record()?;
    if !is_complete(record.status) {
        let (path, status) = (run.path().display(), record.status);
        return Err(StoreError::Inconsistent(format!("{path} is {status} and needs its files")));
    }
    for name in parts.iter().map(|part| part.name()) {
        let path = run.path().join(name);
        if name == Removable::Checkpoints.name() || !files::exists(&path)? {
            continue;
        }
        // The first versions of Kiln recorded no checksums.
        let sum = match record.files.remove(name) {
            Some(sum) => sum,
            None => Checksum::of_file(&path)?,
        };
        record.removed.insert(name.to_owned(), sum);
    }
    // First the record: if the process is killed here, files are left that no check misses.
    run.write_record(&record)?;
    for part in parts {
        let path = run.path().join(part.name());
        files::check_within(run.path(), &path)?;
        if files::exists(&path)? {
            files::remove_any(&path)?;
        }
    }
    Ok(())
}
