//! The runs below a directory with their status, settings, key numbers and size.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_report::{Terminal, table};
use kiln_store::number::{bytes, decimals};
use kiln_store::{
    FileLock, Found, RunDirectory, Status, Timestamp, find, hidden, in_parallel, space, versioned,
};
use serde::{Serialize, Serializer};

use crate::cells::first_line;
use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::error::Result;
use crate::metric::AtEpoch;
use crate::ranking::DEFAULT_METRIC;
use crate::tags::tagged;

/// The `format_version` that [`Listing::json`] writes.
pub const LISTING_VERSION: u32 = 1;

/// The runs below a path, grouped by the directory that contains them.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The groups, sorted by their paths.
    pub groups: Vec<ListedGroup>,
}

/// The runs in one directory: of one experiment or of one sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedGroup {
    /// The directory.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Whether a sweep was started in it.
    pub is_sweep: bool,
    /// The runs, the last started one last; those that cannot be read come first.
    pub runs: Vec<ListedRun>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedRun {
    /// Its directory.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Its id.
    pub id: String,
    /// Its status; `None` if the run cannot be read.
    pub status: Option<Status>,
    /// Why the run, or its note, cannot be read.
    pub problem: Option<String>,
    /// Whether a process works on it.
    pub in_use: bool,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// The settings that differ within the group, by their labels.
    pub settings: BTreeMap<String, String>,
    /// Its seed.
    pub seed: Option<u64>,
    /// Completed epochs.
    pub epochs: Option<usize>,
    /// The validation accuracy of the kept weights; for an unfinished run, of the last epoch.
    pub val_accuracy: Option<f64>,
    /// The accuracy on the test set.
    pub test_accuracy: Option<f64>,
    /// The size of all its files.
    pub bytes: u64,
    /// The tags that the user gave it.
    pub tags: Vec<String>,
    /// The user's note about it.
    pub note: Option<String>,
    /// The settings as text, in the order of the comparison.
    #[serde(skip)]
    label: String,
}

impl Listing {
    /// Reads the runs below a path; see [`find()`].
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`](kiln_store::StoreError::NoRuns) if the path leads to no run.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::of(find(&[path])?))
    }

    /// Reads the runs below a path that have all of these tags.
    ///
    /// # Errors
    ///
    /// Those of [`tagged`].
    pub fn read_tagged(path: &Path, tags: &[String]) -> Result<Self> {
        Ok(Self::of(Found { runs: tagged(&[path], tags)?, left_out: Vec::new() }))
    }

    fn of(found: Found) -> Self {
        let mut paths: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        let left_out = found.left_out.into_iter().map(|skipped| skipped.path);
        for run in found.runs.into_iter().chain(left_out) {
            let above = run.parent().unwrap_or(Path::new("")).to_owned();
            paths.entry(above).or_default().push(run);
        }
        let groups: Vec<(PathBuf, Vec<PathBuf>)> = paths.into_iter().collect();
        let groups = groups.into_iter().map(|(path, runs)| ListedGroup::read(path, &runs));
        Self { groups: groups.collect() }
    }

    /// One line per group, or per run if there is only one group.
    #[must_use]
    pub fn text(&self, terminal: Terminal) -> String {
        match self.groups.as_slice() {
            [group] => group.text(terminal),
            groups => {
                let head = ["directory", "runs", "best val_accuracy", "size", "last started"];
                let rows = groups.iter().map(ListedGroup::row);
                table(&head, 2, rows, terminal)
            }
        }
    }

    /// The listing as JSON: `format_version`, then `groups` with `path`, `is_sweep` and `runs`. Missing values are `null`.
    ///
    /// # Errors
    ///
    /// A value cannot be written as JSON.
    pub fn json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Body<'a> {
            groups: &'a [ListedGroup],
        }
        Ok(versioned::to_json(LISTING_VERSION, &Body { groups: &self.groups })?)
    }
}

impl ListedGroup {
    fn read(path: PathBuf, paths: &[PathBuf]) -> Self {
        let mut runs = match Comparison::ranked(paths) {
            Ok(comparison) => {
                let others = comparison.other_data.iter();
                std::iter::once(&comparison).chain(others).flat_map(listed).collect()
            }
            // None of them can be read.
            Err(_) => Vec::new(),
        };
        for path in paths {
            if !runs.iter().any(|run| run.path == *path) {
                runs.push(ListedRun::alone(path));
            }
        }
        runs.sort_by(|a, b| (a.started, &a.label, &a.id).cmp(&(b.started, &b.label, &b.id)));
        let is_sweep = hidden(&path).join("sweep.json").exists();
        Self { path, is_sweep, runs }
    }

    /// `46 finished, 2 failed`
    fn status(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &self.runs {
            *counts.entry(run.status_text()).or_default() += 1;
        }
        let parts: Vec<String> =
            counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
        parts.join(", ")
    }

    fn row(&self) -> Vec<String> {
        let finished = self.runs.iter().filter(|run| run.status == Some(Status::Finished));
        let best = finished.filter_map(|run| run.val_accuracy).max_by(f64::total_cmp);
        let last = self.runs.iter().filter_map(|run| run.started).max();
        vec![
            self.path.display().to_string(),
            self.status(),
            decimals(best, 4),
            bytes(self.runs.iter().map(|run| run.bytes).sum()),
            last.map_or_else(String::new, day_and_time),
        ]
    }

    fn text(&self, terminal: Terminal) -> String {
        let has_tags = self.runs.iter().any(|run| !run.tags.is_empty());
        let has_notes = self.runs.iter().any(|run| run.note.is_some());
        let mut head = vec!["run", "status", "settings"];
        head.extend(has_tags.then_some("tags"));
        head.extend(has_notes.then_some("note"));
        let words = head.len();
        head.extend(["epochs", "val_accuracy", "test accuracy", "size"]);
        let rows = self.runs.iter().map(|run| {
            let mut row = vec![run.id.clone(), run.status_text().to_owned(), run.label.clone()];
            row.extend(has_tags.then(|| run.tags.join(", ")));
            row.extend(has_notes.then(|| first_line(run.note.as_deref().unwrap_or_default())));
            row.extend([
                run.epochs.map_or_else(String::new, |epochs| epochs.to_string()),
                decimals(run.val_accuracy, 4),
                decimals(run.test_accuracy, 4),
                bytes(run.bytes),
            ]);
            row
        });
        let mut text = table(&head, words, rows, terminal);
        let size = bytes(self.runs.iter().map(|run| run.bytes).sum());
        let path = kiln_store::escape::control(&self.path.to_string_lossy()).into_owned();
        text.push_str(&format!("{path}: {}; {size}\n", self.status()));
        text
    }
}

fn listed(comparison: &Comparison) -> Vec<ListedRun> {
    let rows = comparison
        .combinations
        .iter()
        .flat_map(|combination| combination.runs.iter().map(move |run| (combination, run)));
    let rows: Vec<_> = rows.collect();
    let seeds_differ = rows.windows(2).any(|pair| pair[0].1.seed != pair[1].1.seed);
    in_parallel(&rows, |(combination, run)| {
        let values = comparison.columns.iter().zip(&combination.settings);
        let mut settings: Vec<(String, String)> = values
            .filter_map(|(column, value)| Some((column.label.clone(), value.clone()?)))
            .collect();
        if seeds_differ {
            settings.push(("seed".to_owned(), run.seed.to_string()));
        }
        ListedRun::of(run, settings)
    })
}

impl ListedRun {
    fn of(run: &RunSummary, settings: Vec<(String, String)>) -> Self {
        let path = run.directory.path().to_owned();
        let words: Vec<String> =
            settings.iter().map(|(label, value)| format!("{label} {value}")).collect();
        Self {
            bytes: space::size(&path),
            id: run.directory.id(),
            status: Some(run.status),
            problem: run.notes_problem(),
            in_use: is_in_use(&path),
            started: run.directory.read_record().ok().map(|record| record.started),
            label: words.join(", "),
            settings: settings.into_iter().collect(),
            seed: Some(run.seed),
            epochs: Some(run.epochs),
            val_accuracy: val_accuracy(run),
            test_accuracy: run.test.map(|test| test.accuracy),
            tags: run.tags().to_vec(),
            note: run.note().map(str::to_owned),
            path,
        }
    }

    /// A run that is not in the comparison of its group.
    fn alone(path: &Path) -> Self {
        match Comparison::ranked(&[path]).map(|comparison| listed(&comparison).pop()) {
            Ok(Some(run)) => run,
            Ok(None) => Self::unreadable(path, "it cannot be compared".to_owned()),
            Err(error) => Self::unreadable(path, error.to_string()),
        }
    }

    /// A directory that looks like a run but cannot be read.
    fn unreadable(path: &Path, problem: String) -> Self {
        let annotations = RunDirectory::at(path).read_annotations().unwrap_or_default();
        Self {
            tags: annotations.tags,
            note: annotations.note,
            bytes: space::size(path),
            path: path.to_owned(),
            id: RunDirectory::at(path).id(),
            status: None,
            problem: Some(problem),
            in_use: is_in_use(path),
            started: None,
            label: String::new(),
            settings: BTreeMap::new(),
            seed: None,
            epochs: None,
            val_accuracy: None,
            test_accuracy: None,
        }
    }

    fn status_text(&self) -> &'static str {
        match self.status {
            None => "not readable",
            Some(Status::Running) if !self.in_use => "killed",
            Some(status) => status.as_str(),
        }
    }
}

fn is_in_use(path: &Path) -> bool {
    let id = RunDirectory::at(path).id();
    path.parent().is_some_and(|above| FileLock::is_taken(above, &id))
}

/// The validation accuracy of the weights that a run keeps, or of the last epoch if it is not finished.
fn val_accuracy(run: &RunSummary) -> Option<f64> {
    let at = if run.status == Status::Finished { AtEpoch::Kept } else { AtEpoch::Last };
    run.metric(DEFAULT_METRIC, at).map(|found| found.value)
}

/// `2026-11-24 10:15`, in UTC.
fn day_and_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A path need not be Unicode, but JSON is.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
