//! A sweep that was started in a directory, planned without a look at its data.

use std::path::{Path, PathBuf};

use kiln_config::ConfigError;
use kiln_store::files;
use kiln_sweep::{Plan, Sweep, SweepRecord, SweepRecords};
use kiln_train::MachineMemory;

use crate::commands::resume;
use crate::failure::Advised;
use crate::named_run;
use crate::options::GlobalOptions;

/// A sweep that was started in a directory.
pub(crate) struct DeclaredSweep {
    pub(crate) plan: Plan,
    pub(crate) record: SweepRecord,
}

impl DeclaredSweep {
    /// The sweep with this file of its declaration.
    pub(crate) fn open(
        options: &GlobalOptions,
        directory: &Path,
        declaration: &str,
    ) -> anyhow::Result<Self> {
        let records = SweepRecords::read_intact(directory)?;
        let own = records.into_iter().find(|record| record.file_name() == declaration);
        let record = own.ok_or_else(|| {
            ConfigError::new(format!("{} has no declaration {declaration}", directory.display()))
        })?;
        Self::of(options, directory, record)
    }

    /// All sweeps that were started in the directory that a user gave, the first one first, or only the one that `given`
    /// names.
    pub(crate) fn all(
        options: &GlobalOptions,
        path: &Path,
        given: Option<&str>,
    ) -> anyhow::Result<Vec<Self>> {
        let directory = Self::directory(options, path)?;
        let records = SweepRecords::read_intact(&directory)?;
        let selected = match given {
            Some(given) => vec![SweepRecords::select(&records, given)?],
            None => records,
        };
        selected.into_iter().map(|record| Self::of(options, &directory, record)).collect()
    }

    /// The directory of the sweep that a user gave.
    pub(crate) fn directory(options: &GlobalOptions, path: &Path) -> anyhow::Result<PathBuf> {
        let directory = named_run::path_of(options, path)?;
        named_run::check_exists(&directory)?;
        if !directory.is_dir() || !files::exists(&SweepRecord::path(&directory))? {
            let message = format!("{} is not the directory of a sweep", directory.display());
            return Err(Advised::new(message, "give a sweep, such as runs/NAME").into());
        }
        Ok(directory)
    }

    fn of(options: &GlobalOptions, directory: &Path, record: SweepRecord) -> anyhow::Result<Self> {
        let sweep = Sweep::from_record(&record)?.trusting_known_data();
        let runs = resume::runs_of(directory, &sweep)?;
        let data = options.given_data().unwrap_or(&record.data).to_owned();
        let plan = Plan::new(&sweep, &data, &runs, MachineMemory { bytes: None })?;
        Ok(Self { plan, record })
    }
}
