//! The jobs that were submitted for a sweep: a record next to each batch script.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{StoreError, Timestamp, create_hidden, files, hidden, now, versioned};
use serde::{Deserialize, Serialize};

use crate::error::SweepError;
use crate::launchers::queue::{Queue, QueuedWorker, queues};

/// The format version that this build writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// A job of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The id that the queue gave it.
    pub job: String,
    /// The number of workers.
    pub workers: usize,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// The file of the sweep's declaration.
    pub declaration: String,
}

/// The jobs of a sweep in one queue.
pub struct Submissions<'a> {
    /// The queue.
    pub queue: &'a dyn Queue,
    /// The jobs, in the order in which they were submitted.
    pub jobs: Vec<Submission>,
    /// The directory of the batch scripts and of the output of the workers.
    pub directory: PathBuf,
}

impl Submission {
    pub(super) fn new(job: String, workers: usize, declaration: String) -> Self {
        Self { job, workers, submitted: now(), declaration }
    }

    /// Writes the record, and gives the script the name of the job.
    pub(super) fn record(&self, directory: &Path, script: &Path) -> Result<(), SweepError> {
        let text = versioned::to_checked_json(VERSION, self)?;
        files::write(&directory.join(format!("job-{}.json", self.job)), text)?;
        let own = directory.join(format!("job-{}.sh", self.job));
        fs::rename(script, own).map_err(|cause| SweepError::io("rename", script, cause))
    }

    /// Reads the records that can be read.
    fn read_all(directory: &Path) -> Vec<Self> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let is_record = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
        let read = |path: PathBuf| -> Option<Self> {
            let text = files::read(&path, MAX_BYTES).ok()?;
            versioned::parse_checked(&path, &text, VERSION).ok()
        };
        let paths = entries.map(|entry| entry.path()).filter(is_record);
        let mut jobs: Vec<Self> = paths.filter_map(read).collect();
        // Ids come from files, and are arguments of commands.
        jobs.retain(|job| is_job_id(&job.job));
        jobs.sort_by(|a, b| (a.submitted, &a.job).cmp(&(b.submitted, &b.job)));
        jobs
    }
}

/// Whether a text may be the id of a job, such as `4711` or `12[].server`, and not an option of a command.
pub(in crate::launchers) fn is_job_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.[]".contains(c))
}

impl<'a> Submissions<'a> {
    /// The jobs of a sweep in a queue.
    pub(super) fn read(queue: &'a dyn Queue, sweep: &Path) -> Self {
        let directory = directory(queue, sweep);
        Self { queue, jobs: Submission::read_all(&directory), directory }
    }

    /// The jobs of a sweep in all queues that have any.
    #[must_use]
    pub fn read_all(sweep: &Path) -> Vec<Submissions<'static>> {
        let all = queues().map(|queue| Submissions::read(queue, sweep));
        all.filter(|submissions| !submissions.jobs.is_empty()).collect()
    }

    /// The ids of the jobs.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.jobs.iter().map(|job| job.job.clone()).collect()
    }

    /// The workers that wait or run.
    ///
    /// # Errors
    ///
    /// The cluster cannot be reached.
    pub fn workers(&self) -> Result<Vec<QueuedWorker>, SweepError> {
        match self.jobs.is_empty() {
            true => Ok(Vec::new()),
            false => self.queue.workers(&self.directory, &self.ids()),
        }
    }
}

/// The directory of the batch scripts, the records of jobs and the output of workers.
pub(in crate::launchers) fn directory(queue: &dyn Queue, sweep: &Path) -> PathBuf {
    hidden(sweep).join(queue.name())
}

/// Creates the directory for the files of jobs.
pub(super) fn create_directory(queue: &dyn Queue, sweep: &Path) -> Result<PathBuf, StoreError> {
    create_hidden(sweep)?;
    let path = directory(queue, sweep);
    files::create_directories(&path)?;
    files::check_within(sweep, &path)?;
    Ok(path)
}
