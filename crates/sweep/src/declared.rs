//! Finds the runs that a sweep has declared among all runs in its directory.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{RunDirectory, in_parallel};

use crate::declaration::{Sweep, SweepRecords};
use crate::error::SweepError;

/// The directories of the runs of one of the sweeps in `directory`, on any data. `given` is the number of the sweep or its
/// file, see [`SweepRecords::select`].
///
/// # Errors
///
/// There is no such sweep; its declaration or another one in the directory cannot be read or is invalid.
pub fn declared_runs(directory: &Path, given: &str) -> Result<Vec<PathBuf>, SweepError> {
    let record = SweepRecords::select(&SweepRecords::read_intact(directory)?, given)?;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    let fingerprints = in_parallel(&names, |name| {
        let record = RunDirectory::at(&directory.join(name)).read_record();
        record.ok().map(|record| record.dataset.fingerprint)
    });
    let fingerprints: BTreeSet<String> = fingerprints.into_iter().flatten().collect();
    let mut declared = HashSet::new();
    for point in Sweep::from_record(&record)?.expand()? {
        let experiment = &point.declaration.experiment;
        declared.insert(experiment.identity()?);
        for fingerprint in &fingerprints {
            declared.insert(experiment.identity_on(fingerprint)?);
        }
    }
    let own = names.iter().filter(|name| declared.contains(*name));
    Ok(own.map(|name| directory.join(name)).collect())
}
