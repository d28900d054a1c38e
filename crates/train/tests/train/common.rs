//! A place to train in.

use std::path::{Path, PathBuf};

use kiln_store::RunDirectory;
use kiln_train::{Declaration, Observer, Outcome, Run};
use tempfile::TempDir;

use crate::columns::{self, EXPERIMENT};

/// A directory with a dataset of three classes, and room for runs.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        // In memory where there is such a thing: a run waits for its disk at every file.
        let memory = Path::new("/dev/shm");
        let directory =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        columns::write(&directory.path().join("columns"));
        Self { directory }
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// Trains the small experiment with these overrides.
    pub(crate) fn run(&self, overrides: &[&str]) -> (RunDirectory, Outcome) {
        self.observed_run(&self.runs(), overrides, &mut ())
    }

    /// The small experiment, ready to train.
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
    ) -> (RunDirectory, Outcome) {
        let run = self.prepared_in(runs, overrides);
        let directory = run.directory().clone();
        let outcome = run.train(observer).unwrap();
        (directory, outcome)
    }
}

pub(crate) fn declaration(overrides: &[&str]) -> Declaration {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap()
}
