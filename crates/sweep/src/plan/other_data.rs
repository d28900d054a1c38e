//! Finds runs of a sweep's experiments that were trained on data that has changed since.

use std::collections::{BTreeSet, HashSet};
use std::fs;

use kiln_config::ConfigError;
use kiln_store::{RunDirectory, RunRecord, in_parallel};

use crate::plan::{Plan, PlannedRun};

/// A run in the directory of a sweep that has the experiment of a planned run and was trained on other data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOnOtherData {
    /// The name of its directory.
    pub id: String,
    /// The index of the planned run.
    pub planned: usize,
    /// The fingerprint of its data.
    pub fingerprint: String,
}

impl Plan {
    /// The runs in the sweep's directory that were trained on other data, in the order of the plan.
    ///
    /// # Errors
    ///
    /// An experiment cannot be written as TOML.
    pub fn runs_on_other_data(&self) -> Result<Vec<RunOnOtherData>, ConfigError> {
        let planned: HashSet<&str> = self.runs.iter().map(|run| &*run.id).collect();
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let others: Vec<String> = names.filter(|name| !planned.contains(&**name)).collect();
        // Usually the directory contains no other runs, so that nothing is read.
        let records = in_parallel(&others, |id| {
            RunDirectory::at(&self.directory.join(id)).read_record().ok()
        });
        let others: Vec<(String, RunRecord)> = others
            .into_iter()
            .zip(records)
            .filter_map(|(id, record)| Some((id, record?)))
            .collect();
        let fingerprints: BTreeSet<&str> =
            others.iter().map(|(_, record)| &*record.dataset.fingerprint).collect();
        let existing: HashSet<(&str, &str)> =
            others.iter().map(|(id, record)| (&**id, &*record.dataset.fingerprint)).collect();
        let mut found = Vec::new();
        for (planned, run) in self.runs.iter().enumerate() {
            for fingerprint in &fingerprints {
                for id in ids(run, fingerprint)? {
                    if *fingerprint != run.dataset.fingerprint
                        && existing.contains(&(&*id, fingerprint))
                    {
                        let fingerprint = (*fingerprint).to_owned();
                        found.push(RunOnOtherData { id, planned, fingerprint });
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The names that the directory of a run may have on the data with this fingerprint.
fn ids(run: &PlannedRun, fingerprint: &str) -> Result<[String; 2], ConfigError> {
    Ok([run.experiment.identity_on(fingerprint)?, run.experiment_hash.clone()])
}
