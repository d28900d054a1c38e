//! Finds finished runs elsewhere that are identical to planned ones, and takes their results instead of training again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use kiln_config::ConfigError;
use kiln_store::{RunDirectory, RunRecord, Status, in_parallel};
use kiln_train::Declaration;

use crate::SweepError;
use crate::plan::state::has_config_of;
use crate::plan::{Plan, PlannedRun};

impl Plan {
    /// Finished runs below the directory of all runs that have the identity of one of these runs: their directories by
    /// the index of the planned run. Their files are not checked yet.
    ///
    /// # Errors
    ///
    /// An experiment cannot be written as TOML.
    pub fn reusable(&self, runs: &[usize]) -> Result<BTreeMap<usize, Vec<PathBuf>>, ConfigError> {
        let mut by_identity = HashMap::new();
        let mut by_earlier_id = HashMap::new();
        for run in runs {
            let planned = &self.runs[*run];
            let fingerprint = &planned.dataset.fingerprint;
            by_identity.insert(planned.experiment.identity_on(fingerprint)?, *run);
            by_earlier_id.insert(planned.experiment_hash.as_str(), *run);
        }
        let mut found = BTreeMap::<usize, Vec<PathBuf>>::new();
        if runs.is_empty() {
            return Ok(found);
        }
        // The id of a run of a sweep shows its identity. Only the records of other runs have to be read.
        let mut others = Vec::new();
        for directory in subdirectories(&self.runs_directory) {
            for path in subdirectories(&directory) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let run = by_identity.get(&*name).or_else(|| by_earlier_id.get(&*name));
                match run {
                    Some(run) if path == self.path_of(&self.runs[*run]) => {}
                    Some(run) => found.entry(*run).or_default().push(path),
                    None if is_id_of_sweep(&name) => {}
                    None => others.push(path),
                }
            }
        }
        // Most runs differ in these, so that the experiments of few have to be read.
        let facts: HashSet<(u64, u64, &str)> = runs
            .iter()
            .map(|run| &self.runs[*run])
            .map(|run| (run.experiment.seed, run.parameters as u64, &*run.dataset.fingerprint))
            .collect();
        let identities = in_parallel(&others, |path| {
            let directory = RunDirectory::at(path);
            let record = directory.read_record().ok()?;
            let RunRecord { status, seed, parameters, dataset, .. } = record;
            let is_candidate = status == Status::Finished
                && facts.contains(&(seed, parameters, &*dataset.fingerprint));
            let declaration =
                is_candidate.then(|| Declaration::of_run(&directory).ok()).flatten()?;
            declaration.experiment.identity_on(&dataset.fingerprint).ok()
        });
        for (path, identity) in others.into_iter().zip(identities) {
            if let Some(run) = identity.and_then(|identity| by_identity.get(&identity)) {
                found.entry(*run).or_default().push(path);
            }
        }
        found.values_mut().for_each(|paths| paths.sort());
        Ok(found)
    }

    /// Makes the directory of a planned run from the finished run in `from`, which has the same identity. Returns whether
    /// that was possible. The caller holds the lock on the planned run.
    ///
    /// # Errors
    ///
    /// The run in `from` is damaged, or its files cannot be copied.
    pub(crate) fn reuse(&self, run: &PlannedRun, from: &Path) -> Result<bool, SweepError> {
        let directory = RunDirectory::open(from)?;
        // Without its own checksum, the fingerprint in the record proves nothing.
        if !directory.has_checked_record()? {
            return Ok(false);
        }
        let record = directory.read_record()?;
        let declaration = Declaration::parse(&self.name, &run.config, &[])?;
        let architecture = &self.workloads[run.workload].architecture;
        let is_same = record.status == Status::Finished
            && record.dataset.fingerprint == run.dataset.fingerprint
            && has_config_of(&directory, run)
            && kiln_train::reproduces(&record, &declaration, architecture)?;
        if is_same {
            directory.copy_to(&self.path_of(run), &self.name, &run.id)?;
        }
        Ok(is_same)
    }
}

/// Whether a directory name is the id of a run of a sweep.
fn is_id_of_sweep(name: &str) -> bool {
    name.len() == 12 && name.chars().all(|c| c.is_ascii_hexdigit())
}

/// The directories in a directory, except hidden ones and links.
fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_run = |entry: &fs::DirEntry| {
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    entries.filter(is_run).map(|entry| entry.path()).collect()
}
