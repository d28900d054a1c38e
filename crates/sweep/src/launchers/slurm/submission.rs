//! `.kiln/slurm/job-ID.json`: a job that was submitted for a sweep. Its batch script is `job-ID.sh` next to it.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{StoreError, Timestamp, create_hidden, files, hidden, now, versioned};
use serde::{Deserialize, Serialize};

/// The format version that this build writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// A job of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The id that Slurm gave it.
    pub job: String,
    /// The number of workers.
    pub workers: usize,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// The file of the sweep's declaration.
    pub declaration: String,
}

/// The directory of the batch scripts, the records of jobs and the output of workers.
pub(super) fn directory(sweep: &Path) -> PathBuf {
    hidden(sweep).join("slurm")
}

impl Submission {
    pub(super) fn new(job: String, workers: usize, declaration: String) -> Self {
        Self { job, workers, submitted: now(), declaration }
    }

    /// Writes the record next to the script.
    pub(super) fn write(&self, sweep: &Path) -> Result<(), StoreError> {
        let text = versioned::to_checked_json(VERSION, self)?;
        files::write(&directory(sweep).join(format!("job-{}.json", self.job)), text)
    }

    /// The jobs of a sweep that can be read, in the order in which they were submitted.
    #[must_use]
    pub fn read_all(sweep: &Path) -> Vec<Self> {
        let entries = fs::read_dir(directory(sweep)).into_iter().flatten().flatten();
        let is_record = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
        let read = |path: PathBuf| -> Option<Self> {
            let text = files::read(&path, MAX_BYTES).ok()?;
            versioned::parse_checked(&path, &text, VERSION).ok()
        };
        let paths = entries.map(|entry| entry.path()).filter(is_record);
        let mut jobs: Vec<Self> = paths.filter_map(read).collect();
        // Ids come from files, and are arguments of commands.
        jobs.retain(|job| job.job.chars().all(|c| c.is_ascii_digit()));
        jobs.sort_by(|a, b| (a.submitted, &a.job).cmp(&(b.submitted, &b.job)));
        jobs
    }
}

/// Creates the directory for the files of jobs.
pub(super) fn create_directory(sweep: &Path) -> Result<PathBuf, StoreError> {
    create_hidden(sweep)?;
    let path = directory(sweep);
    files::create_directories(&path)?;
    files::check_within(sweep, &path)?;
    Ok(path)
}
