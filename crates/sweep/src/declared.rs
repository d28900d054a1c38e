//! Finds the runs that a sweep has declared among all runs in its directory, and how far its race has come. The data is
//! not needed.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{RunDirectory, in_parallel};

use crate::declaration::{Sweep, SweepPoint, SweepRecord, SweepRecords};
use crate::error::SweepError;
use crate::race::{Race, RaceProgress, result_of};

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
    let sweep = Sweep::from_record(&record)?.with_samples(directory)?;
    let mut points = sweep.expand()?;
    if sweep.budget().is_some() {
        // The race has the same samples with other seeds.
        points.extend(sweep.search_with_budget().expand()?);
    }
    for point in points {
        let experiment = &point.declaration.experiment;
        declared.insert(experiment.identity()?);
        for fingerprint in &fingerprints {
            declared.insert(experiment.identity_on(fingerprint)?);
        }
    }
    let own = names.iter().filter(|name| declared.contains(*name));
    Ok(own.map(|name| directory.join(name)).collect())
}

/// How far the race has come that `record` has declared in `directory`, by the runs on the data with this fingerprint;
/// `None` if the sweep is no race. `images` is the number of validation images.
///
/// # Errors
///
/// The declaration is invalid, or the search whose best combinations race is not done.
pub fn declared_race(
    directory: &Path,
    record: &SweepRecord,
    fingerprint: &str,
    images: usize,
) -> Result<Option<RaceProgress>, SweepError> {
    let mut sweep = Sweep::from_record(record)?.with_samples(directory)?;
    let Some(config) = sweep.race_config() else { return Ok(None) };
    let path_of = |point: &SweepPoint| -> Result<PathBuf, SweepError> {
        let experiment = &point.declaration.experiment;
        let path = directory.join(experiment.identity_on(fingerprint)?);
        // Kiln 0.1.0 named the directory after the experiment alone.
        Ok(if path.exists() { path } else { directory.join(experiment.identity()?) })
    };
    let paths_of =
        |points: &[SweepPoint]| points.iter().map(path_of).collect::<Result<Vec<_>, _>>();
    if let Some(search) = sweep.search() {
        let points = search.expand()?;
        let results: Vec<_> = paths_of(&points)?.iter().map(|path| result_of(path)).collect();
        sweep = sweep.with_best_of(&points, &results)?;
    }
    let points = sweep.expand()?;
    let paths = paths_of(&points)?;
    let race = Race::new(&config, points.iter().map(|point| &point.declaration.experiment))?;
    let resolution = if images == 0 { 0.0 } else { 1.0 / images as f64 };
    let state = race.state(resolution, |run| result_of(&paths[run]));
    let racing = race.wanted(&state).into_iter().map(|run| paths[run].clone()).collect();
    Ok(Some(RaceProgress { config, seeds: race.seeds, state, racing }))
}
