//! A directory to train in.

use std::path::{Path, PathBuf};

use kiln_data::Parts;
use kiln_store::RunDirectory;
use kiln_train::{Declaration, Observer, Run, TrainingOutcome};
use tempfile::TempDir;

use crate::columns::{self, EXPERIMENT};

/// A directory with a dataset of three classes and a directory for runs.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        // A directory in memory if possible, because a run waits for the disk after every file.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        columns::write(&directory.path().join("columns"));
        Self { directory }
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// Trains the small experiment with these overrides.
    pub(crate) fn run(&self, overrides: &[&str]) -> (RunDirectory, TrainingOutcome) {
        self.observed_run(&self.runs(), overrides, &mut ())
    }

    /// Prepares a run of the small experiment with these overrides.
    pub(crate) fn prepared(&self, overrides: &[&str]) -> Run {
        self.prepared_in(&self.runs(), overrides)
    }

    fn prepared_in(&self, runs: &Path, overrides: &[&str]) -> Run {
        Run::prepare(declaration(overrides), self.directory.path(), runs, None).unwrap()
    }

    pub(crate) fn observed_run(
        &self,
        runs: &Path,
        overrides: &[&str],
        observer: &mut dyn Observer,
    ) -> (RunDirectory, TrainingOutcome) {
        let run = self.prepared_in(runs, overrides);
        let directory = run.directory().clone();
        let outcome = run.train(observer).unwrap();
        (directory, outcome)
    }
}

/// The error of an experiment on data without validation images of its own. Some errors are only known with the data.
pub(crate) fn error_without_own_validation(name: &str, text: &str, overrides: &[String]) -> String {
    let parts = Parts::new(100, 0, 20);
    match Declaration::parse(name, text, overrides) {
        Err(error) => error.to_string(),
        Ok(declaration) => declaration.on_parts(&parts).expect_err("an error").to_string(),
    }
}

pub(crate) fn declaration(overrides: &[&str]) -> Declaration {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap()
}
