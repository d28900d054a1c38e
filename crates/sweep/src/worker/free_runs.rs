//! Which run a worker tries next, if other workers train the same plan.
//!
//! Workers that were started together divide the runs: the worker with index `i` of `n` begins with the runs at the places
//! `i`, `i + n`, … of the plan's order, longest first. So they rarely try the same run, and none of them looks at the
//! directory of a run that another one trains. When its own runs are used up, a worker lists three directories and tries
//! runs that are neither locked nor ended, beginning at a place that depends on its index.
//!
//! A listing is only a hint. The lock and the files of a run decide.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{create_hidden, hidden};

use crate::launchers::Share;
use crate::plan::{Plan, RunState};
use crate::worker::outcome::RunOutcome;

/// How many runs are tried with one listing.
const TRIES: usize = 8;

/// The states of all runs, from one listing of the directories of a sweep.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The names of the runs that have a directory.
    begun: HashSet<String>,
    /// The runs that some process has locked, or had locked when it was killed.
    claimed: HashSet<String>,
    /// How runs ended, by their ids.
    ended: HashMap<String, Vec<EndMark>>,
}

/// How a run ended, and in which group of workers. `.kiln/ended/ID.WHAT-GROUP` is an empty file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndMark {
    what: EndKind,
    group: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndKind {
    Finished,
    Diverged,
    Pruned(usize),
    Failed,
}

impl EndMark {
    /// The mark of an outcome; `None` if the run has not ended.
    fn of(outcome: &RunOutcome, group: &str) -> Option<Self> {
        let what = match outcome {
            RunOutcome::Finished => EndKind::Finished,
            RunOutcome::Diverged(_) => EndKind::Diverged,
            RunOutcome::Pruned(epoch) => EndKind::Pruned(*epoch),
            RunOutcome::Failed(_) => EndKind::Failed,
            RunOutcome::Interrupted | RunOutcome::Waiting | RunOutcome::OutOfTime => return None,
        };
        Some(Self { what, group: group.to_owned() })
    }

    /// The run and the mark of a file name.
    fn parse(name: &str) -> Option<(&str, Self)> {
        let (id, mark) = name.split_once('.')?;
        let (what, group) = mark.split_once('-')?;
        let what = match what {
            "finished" => EndKind::Finished,
            "diverged" => EndKind::Diverged,
            "failed" => EndKind::Failed,
            _ => EndKind::Pruned(what.strip_prefix("pruned")?.parse().ok()?),
        };
        Some((id, Self { what, group: group.to_owned() }))
    }

    fn file_name(&self, id: &str) -> String {
        let what = match self.what {
            EndKind::Finished => "finished".to_owned(),
            EndKind::Diverged => "diverged".to_owned(),
            EndKind::Failed => "failed".to_owned(),
            EndKind::Pruned(epoch) => format!("pruned{epoch}"),
        };
        format!("{id}.{what}-{}", self.group)
    }

    /// The state that the run has by this mark; `None` for a failed one.
    fn state(&self) -> Option<RunState> {
        Some(match self.what {
            EndKind::Finished => RunState::Finished,
            EndKind::Diverged => RunState::Diverged,
            EndKind::Pruned(epoch) => RunState::Pruned(epoch),
            EndKind::Failed => return None,
        })
    }
}

fn marks(directory: &Path) -> PathBuf {
    hidden(directory).join("ended")
}

impl Listing {
    /// Lists the directories of a sweep.
    pub(crate) fn read(directory: &Path) -> Self {
        let claim = |name: String| name.strip_suffix(".claim").map(str::to_owned);
        // First: a run that ends in between has a mark. If no run has a claim, no result is missing from what is read later.
        let claimed = names(&hidden(directory)).filter_map(claim).collect();
        let mut ended: HashMap<String, Vec<EndMark>> = HashMap::new();
        for name in names(&marks(directory)) {
            if let Some((id, mark)) = EndMark::parse(&name) {
                ended.entry(id.to_owned()).or_default().push(mark);
            }
        }
        // Last: a run with a mark and without a directory was moved away, and is to be trained again.
        let begun = names(directory).filter(|name| !name.starts_with('.')).collect();
        Self { begun, claimed, ended }
    }

    pub(crate) fn has_begun(&self, id: &str) -> bool {
        self.begun.contains(id)
    }

    pub(crate) fn is_claimed(&self, id: &str) -> bool {
        self.claimed.contains(id)
    }

    /// Whether the run has ended once, whatever became of it.
    pub(crate) fn is_marked(&self, id: &str) -> bool {
        self.ended.contains_key(id)
    }

    /// The state of a run that has ended, according to its marks. With `retry_failed`, a run that diverged counts only if it
    /// did so in this group of workers.
    pub(crate) fn ended(&self, id: &str, group: &str, retry_failed: bool) -> Option<RunState> {
        if !self.has_begun(id) {
            return None;
        }
        let counts = |mark: &&EndMark| {
            !(retry_failed && mark.what == EndKind::Diverged) || mark.group == group
        };
        self.ended.get(id)?.iter().filter(counts).find_map(EndMark::state)
    }

    /// Whether a run has failed in this group of workers.
    pub(crate) fn has_failed(&self, id: &str, group: &str) -> bool {
        let is_failure = |mark: &EndMark| mark.what == EndKind::Failed && mark.group == group;
        self.ended.get(id).is_some_and(|marks| marks.iter().any(is_failure))
    }
}

/// Whether a run has failed in a group of workers. Unlike a [`Listing`], this looks at one run only.
pub(crate) fn has_failed(directory: &Path, id: &str, group: &str) -> bool {
    let mark = EndMark { what: EndKind::Failed, group: group.to_owned() };
    marks(directory).join(mark.file_name(id)).exists()
}

/// Marks a run as ended, for the listings of other workers. Without the mark, they look at the run.
pub(crate) fn mark(directory: &Path, id: &str, outcome: &RunOutcome, group: &str) {
    let Some(mark) = EndMark::of(outcome, group) else { return };
    let path = marks(directory).join(mark.file_name(id));
    // Not synced: the mark is only a hint.
    if fs::File::create(&path).is_err()
        && create_hidden(directory).is_ok()
        && fs::create_dir_all(marks(directory)).is_ok()
    {
        let _ = fs::File::create(&path);
    }
}

/// Removes the marks of a run that is trained again from the beginning: they would count as soon as it has a directory.
pub(crate) fn remove_marks(directory: &Path, id: &str) {
    for name in names(&marks(directory)) {
        if EndMark::parse(&name).is_some_and(|(marked, _)| marked == id) {
            let _ = fs::remove_file(marks(directory).join(&name));
        }
    }
}

/// The order in which a worker tries the runs of a plan.
#[derive(Debug)]
pub(crate) struct FreeRuns {
    share: Share,
    /// The place of each run in the order in which the sweep needs them, longest first.
    places: HashMap<usize, usize>,
    /// The worker's own runs that it has not tried, the next one last.
    own: Vec<usize>,
    /// All other runs that may still be free.
    others: Vec<usize>,
}

impl FreeRuns {
    pub(crate) fn new(share: Share) -> Self {
        Self { share, places: HashMap::new(), own: Vec::new(), others: Vec::new() }
    }

    /// Adds runs, which are sorted by their length.
    pub(crate) fn add(&mut self, runs: &[usize]) {
        let (index, count) = (self.share.index, self.share.count.get());
        for run in runs {
            let next = self.places.len();
            let place = *self.places.entry(*run).or_insert(next);
            let runs =
                if place % count == index % count { &mut self.own } else { &mut self.others };
            runs.push(*run);
        }
        let place = |run: &usize| std::cmp::Reverse(self.places[run]);
        self.own.sort_by_key(place);
    }

    /// Makes these runs the worker's own, to be tried next.
    pub(crate) fn take(&mut self, runs: &[usize]) {
        self.others.retain(|run| !runs.contains(run));
        self.own.retain(|run| !runs.contains(run));
        self.own.extend(runs.iter().rev());
    }

    /// The next run of the worker's own.
    pub(crate) fn next_own(&mut self) -> Option<usize> {
        self.own.pop()
    }

    /// A run could not be locked, so another worker trains it. It may become free again.
    pub(crate) fn is_busy(&mut self, run: usize) {
        self.others.push(run);
    }

    /// The runs that are not the worker's own, or that others train.
    pub(crate) fn others(&self) -> &[usize] {
        &self.others
    }

    pub(crate) fn has_no_own(&self) -> bool {
        self.own.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.others.is_empty()
    }

    /// Forgets the runs for which `has_ended` is true, and returns some of those that are free, to be tried next.
    pub(crate) fn refill(
        &mut self,
        mut has_ended: impl FnMut(usize) -> bool,
        is_free: impl Fn(usize) -> bool,
    ) -> usize {
        self.others.retain(|run| !has_ended(*run));
        let place = |run: &usize| self.places[run];
        self.others.sort_by_key(place);
        let mut free: Vec<usize> =
            self.others.iter().copied().filter(|run| is_free(*run)).collect();
        if !free.is_empty() {
            // Workers that list at the same time begin at different places.
            let start = self.share.index * free.len() / self.share.count.get() % free.len();
            free.rotate_left(start);
            free.truncate(TRIES);
        }
        self.others.retain(|run| !free.contains(run));
        self.own.extend(free.iter().rev());
        free.len()
    }
}

/// The names in a directory; none if it cannot be read.
fn names(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// The outcome of a run that has ended in another worker.
pub(crate) fn outcome_elsewhere(plan: &Plan, run: usize, state: &RunState) -> RunOutcome {
    RunOutcome::of_done(plan, &plan.runs[run], state)
}
