//! Runs that were read before, so that a change costs as much as the runs that changed.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiln_store::{FileLock, Skipped, Status, in_parallel};

use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::ranking::Ranking;
use crate::read::{self, ReadRun};

/// The files that a comparison reads. A change of another one does not change it.
const FILES: [&str; 4] = ["run.json", "config.toml", "history.csv", "report.json"];

/// How often a run is read that changes while it is read.
const MAX_READS: usize = 3;

/// The runs below a directory as they were read last, which [`update`](Self::update) brings up to date.
#[derive(Debug, Default)]
pub struct KnownRuns {
    runs: BTreeMap<PathBuf, KnownRun>,
}

/// A run as it was read last.
#[derive(Debug)]
pub struct KnownRun {
    stamp: Stamp,
    read: Result<ReadRun, Skipped>,
    is_alive: bool,
}

/// The state of a run's files: two different contents have different stamps, unless a file was changed twice within the
/// resolution of the file system's clock and kept its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp([Option<FileStamp>; FILES.len()]);

/// Length, modification time in seconds and nanoseconds, and inode.
type FileStamp = (u64, i64, i64, u64);

/// Which of the known runs may have changed.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// All of them.
    pub all: bool,
    /// These directories.
    pub runs: HashSet<PathBuf>,
}

impl Stamp {
    /// The stamp of the files in a run's directory. Files that are missing or cannot be examined have none.
    #[must_use]
    pub fn of(run: &Path) -> Self {
        Self(FILES.map(|name| {
            let file = fs::symlink_metadata(run.join(name)).ok()?;
            Some((file.len(), file.mtime(), file.mtime_nsec(), file.ino()))
        }))
    }
}

impl KnownRun {
    fn read(path: &Path) -> Self {
        let mut stamp = Stamp::of(path);
        for _ in 1..MAX_READS {
            let read = read::read_one(path);
            // A run that ends between two of its files is not damaged.
            let now = Stamp::of(path);
            if now == stamp {
                let is_alive = is_alive(path, &read);
                return Self { stamp, read, is_alive };
            }
            stamp = now;
        }
        let read = read::read_one(path);
        let is_alive = is_alive(path, &read);
        Self { stamp, read, is_alive }
    }

    /// The run; or its directory, and why it cannot be read.
    ///
    /// # Errors
    ///
    /// The run cannot be read.
    pub fn summary(&self) -> Result<&RunSummary, &Skipped> {
        self.read.as_ref().map(|(run, _)| run)
    }

    /// Whether the run has the status `running` and a process works on it. Otherwise its process was killed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// The number of epochs that the experiment asks for.
    #[must_use]
    pub fn planned_epochs(&self) -> Option<usize> {
        self.read.as_ref().ok()?.1.get("training.epochs")?.parse().ok()
    }
}

fn is_alive(path: &Path, read: &Result<ReadRun, Skipped>) -> bool {
    let is_running = |(run, _): &ReadRun| run.status == Status::Running;
    read.as_ref().is_ok_and(is_running)
        && path
            .parent()
            .zip(path.file_name())
            .is_some_and(|(above, id)| id.to_str().is_some_and(|id| FileLock::is_taken(above, id)))
}

impl KnownRuns {
    /// Reads the runs of `found` that are new, and those of `changed` whose files differ; forgets all others that were not
    /// found. The result says whether anything differs from before.
    pub fn update(&mut self, found: &[PathBuf], changed: &Changed) -> bool {
        let present: HashSet<&PathBuf> = found.iter().collect();
        let before = self.runs.len();
        self.runs.retain(|path, _| present.contains(path));
        let is_removed = self.runs.len() < before;
        let may_differ = |path: &&PathBuf| match self.runs.get(*path) {
            None => true,
            // The end of a process changes no file.
            Some(known) => known.is_alive || changed.all || changed.runs.contains(*path),
        };
        let to_look_at: Vec<&PathBuf> = found.iter().filter(may_differ).collect();
        let looks = in_parallel(&to_look_at, |path| match self.runs.get(*path) {
            Some(known) if Stamp::of(path) == known.stamp => {
                let is_alive = is_alive(path, &known.read);
                (is_alive != known.is_alive).then_some(Look::Alive(is_alive))
            }
            _ => Some(Look::Read(Box::new(KnownRun::read(path)))),
        });
        let mut differs = is_removed;
        for (path, look) in to_look_at.into_iter().zip(looks) {
            match look {
                None => continue,
                Some(Look::Read(run)) => drop(self.runs.insert(path.clone(), *run)),
                Some(Look::Alive(is_alive)) => {
                    if let Some(run) = self.runs.get_mut(path) {
                        run.is_alive = is_alive;
                    }
                }
            }
            differs = true;
        }
        differs
    }

    /// The runs with their directories, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &KnownRun)> {
        self.runs.iter().map(|(path, run)| (path.as_path(), run))
    }

    /// A run by its directory.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&KnownRun> {
        self.runs.get(path)
    }

    /// Compares the runs that `is_included` selects, without the directories `left_out`. Unlike [`Comparison::read`], this is no
    /// error if there are none, or if none has the metric that ranks.
    #[must_use]
    pub fn compare(
        &self,
        is_included: impl Fn(&Path, Option<&RunSummary>) -> bool,
        left_out: Vec<Skipped>,
        ranking: &Ranking,
        level: f64,
    ) -> Comparison {
        let runs = self.runs.iter().filter(|(path, run)| is_included(path, run.summary().ok()));
        let runs = runs.map(|(_, run)| run.read.clone());
        Comparison::of(read::collect(runs).without(left_out), ranking, level)
    }
}

/// What a look at a run has found.
enum Look {
    Read(Box<KnownRun>),
    Alive(bool),
}
