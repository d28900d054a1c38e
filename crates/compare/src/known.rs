//! Runs that were read before, so that a change costs as much as the runs that changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_store::{FileLock, Skipped, Status, in_parallel};

use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::judge::Judgments;
use crate::ranking::Ranking;
use crate::read::{self, ReadRun};

/// The files that a comparison reads. A change of another one does not change it.
const FILES: [&str; 5] = ["run.json", "config.toml", "history.csv", "report.json", "notes.json"];

/// How often a run is read that changes while it is read.
const MAX_READS: usize = 3;

/// The runs below a directory as they were read last, which [`update`](Self::update) brings up to date.
#[derive(Debug, Default)]
pub struct KnownRuns {
    runs: BTreeMap<PathBuf, KnownRun>,
    /// The number of the last update that changed something.
    revision: u64,
    /// That of the last one after which runs have to be grouped again.
    regrouped: u64,
}

/// A comparison of some of the known runs, which [`KnownRuns::bring_up_to_date`] brings up to date.
#[derive(Debug, Default)]
pub struct KeptComparison {
    comparison: Option<Arc<Comparison>>,
    revision: u64,
    left_out: Vec<Skipped>,
    judgments: Judgments,
}

/// A run as it was read last.
#[derive(Debug)]
pub struct KnownRun {
    stamp: Stamp,
    read: Result<ReadRun, Skipped>,
    is_alive: bool,
    /// The number of the update in which the run was read.
    revision: u64,
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
                return Self { stamp, read, is_alive, revision: 0 };
            }
            stamp = now;
        }
        let read = read::read_one(path);
        let is_alive = is_alive(path, &read);
        Self { stamp, read, is_alive, revision: 0 }
    }

    /// The run; or its directory, and why it cannot be read.
    ///
    /// # Errors
    ///
    /// The run cannot be read.
    pub fn summary(&self) -> Result<&RunSummary, &Skipped> {
        self.read.as_ref().map(|(run, _)| run)
    }

    /// Whether a comparison with this run has the same groups of runs as one with `other`, and selects the same runs.
    fn is_grouped_as(&self, other: &Self) -> bool {
        let (Ok((run, config)), Ok((old, old_config))) = (&self.read, &other.read) else {
            return false;
        };
        let identity = |run: &RunSummary| (run.seed, run.started, run.fingerprint.clone());
        identity(run) == identity(old) && run.tags() == old.tags() && config == old_config
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
        let revision = self.revision + 1;
        let before = self.runs.len();
        let is_same = found.len() == before
            && found.iter().zip(self.runs.keys()).all(|(a, b)| a.as_os_str() == b.as_os_str());
        if !is_same {
            let present: HashSet<&PathBuf> = found.iter().collect();
            self.runs.retain(|path, _| present.contains(path));
        }
        let mut is_regrouped = self.runs.len() < before;
        // The end of a process changes no file.
        let may_differ = |path: &PathBuf, known: &KnownRun| {
            known.is_alive || changed.all || changed.runs.contains(path)
        };
        let to_look_at: Vec<PathBuf> = if is_same && !changed.all {
            let known = changed.runs.iter().filter(|path| self.runs.contains_key(*path)).cloned();
            let alive = self.runs.iter().filter(|(_, known)| known.is_alive);
            let all: BTreeSet<PathBuf> = known.chain(alive.map(|(path, _)| path.clone())).collect();
            all.into_iter().collect()
        } else {
            let is_new =
                |path: &&PathBuf| self.runs.get(*path).is_none_or(|known| may_differ(path, known));
            found.iter().filter(is_new).cloned().collect()
        };
        let looks = in_parallel(&to_look_at, |path| match self.runs.get(path) {
            Some(known) if Stamp::of(path) == known.stamp => {
                let is_alive = is_alive(path, &known.read);
                (is_alive != known.is_alive).then_some(Look::Alive(is_alive))
            }
            _ => Some(Look::Read(Box::new(KnownRun::read(path)))),
        });
        let mut differs = is_regrouped;
        for (path, look) in to_look_at.into_iter().zip(looks) {
            match look {
                None => continue,
                Some(Look::Read(mut run)) => {
                    run.revision = revision;
                    let old = self.runs.get(&path);
                    is_regrouped |= old.is_none_or(|old| !run.is_grouped_as(old));
                    self.runs.insert(path, *run);
                }
                Some(Look::Alive(is_alive)) => {
                    if let Some(run) = self.runs.get_mut(&path) {
                        run.is_alive = is_alive;
                    }
                }
            }
            differs = true;
        }
        if differs {
            self.revision = revision;
        }
        if is_regrouped {
            self.regrouped = revision;
        }
        differs
    }

    /// The number of the last update that changed something.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
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
        let mut kept = KeptComparison::default();
        let comparison = self.bring_up_to_date(&mut kept, is_included, left_out, ranking, level);
        drop(kept);
        Arc::unwrap_or_clone(comparison)
    }

    /// The same as [`compare`](Self::compare), from what was kept of the last time with the same arguments. If since then only
    /// results of runs have changed, only these runs are compared again.
    pub fn bring_up_to_date(
        &self,
        kept: &mut KeptComparison,
        is_included: impl Fn(&Path, Option<&RunSummary>) -> bool,
        left_out: Vec<Skipped>,
        ranking: &Ranking,
        level: f64,
    ) -> Arc<Comparison> {
        let is_included =
            |(path, run): &(&PathBuf, &KnownRun)| is_included(path, run.summary().ok());
        let is_grouped = kept.revision >= self.regrouped && kept.left_out == left_out;
        if let (Some(mut comparison), true) = (kept.comparison.take(), is_grouped) {
            let is_changed = |(_, run): &(&PathBuf, &KnownRun)| run.revision > kept.revision;
            let changed = self.runs.iter().filter(is_changed).filter(is_included);
            let changed: Vec<RunSummary> =
                changed.filter_map(|(_, run)| run.summary().ok().cloned()).collect();
            let is_same = changed.is_empty()
                || Arc::make_mut(&mut comparison).replace(changed, &mut kept.judgments);
            if is_same {
                kept.revision = self.revision;
                kept.comparison = Some(Arc::clone(&comparison));
                return comparison;
            }
        }
        let runs = self.runs.iter().filter(is_included).map(|(_, run)| run.read.clone());
        let read = read::collect(runs).without(left_out.clone());
        let comparison = Arc::new(Comparison::of(read, ranking, level, &mut kept.judgments));
        kept.revision = self.revision;
        kept.left_out = left_out;
        kept.comparison = Some(Arc::clone(&comparison));
        comparison
    }
}

/// What a look at a run has found.
enum Look {
    Read(Box<KnownRun>),
    Alive(bool),
}
