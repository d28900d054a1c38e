//! Reads the state of runs on disk, and compares it with an uninterrupted run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::project::Project;

/// Everything that a finished run computes. Times are omitted, since they differ from run to run.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Results {
    history: String,
    report: Vec<u8>,
    pub(crate) model: Vec<u8>,
    predictions: Vec<u8>,
}

impl Results {
    /// Reads the results of a finished run.
    pub(crate) fn of(run: &Path) -> Self {
        let read = |name: &str| {
            let path = run.join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        Self {
            history: history_without_seconds(&String::from_utf8(read("history.csv")).unwrap()),
            report: read("report.json"),
            model: read("model.safetensors"),
            predictions: read("predictions.csv"),
        }
    }

    /// The epoch whose weights were tested.
    pub(crate) fn tested_epoch(&self) -> u64 {
        let report: Value = serde_json::from_slice(&self.report).unwrap();
        report["epoch"].as_u64().unwrap()
    }

    pub(crate) fn assert_same(&self, expected: &Self, context: &str) {
        assert_eq!(self.history, expected.history, "history.csv, {context}");
        assert!(self.report == expected.report, "report.json differs, {context}");
        assert!(self.model == expected.model, "model.safetensors differs, {context}");
        assert!(self.predictions == expected.predictions, "predictions.csv differs, {context}");
    }
}

/// The text of a history without the column `seconds`.
pub(crate) fn history_without_seconds(history: &str) -> String {
    let header = history.lines().next().unwrap();
    let seconds = header.split(',').position(|column| column == "seconds").unwrap();
    let without = |line: &str| {
        let cells = line.split(',').enumerate().filter(|(column, _)| *column != seconds);
        cells.map(|(_, cell)| cell).collect::<Vec<_>>().join(",") + "\n"
    };
    history.lines().map(without).collect()
}

/// The run directories in a directory, sorted. Hidden entries, such as `.kiln`, are not runs.
pub(crate) fn run_directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
    let mut runs: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    runs.sort();
    runs
}

/// The only run of a project, or `None` if the project has no run yet.
pub(crate) fn only_run(project: &Project) -> Option<PathBuf> {
    let runs = run_directories(&project.path("runs/columns"));
    assert!(runs.len() <= 1, "more than one run: {runs:?}");
    runs.into_iter().next()
}

/// Whether the history of a run has at least `epochs` rows.
pub(crate) fn has_epochs(run: &Path, epochs: usize) -> bool {
    // The first line is the header.
    fs::read_to_string(run.join("history.csv"))
        .is_ok_and(|history| history.lines().count() > epochs)
}

/// `run.json`, or `None` if it does not exist. An incomplete one is an error.
pub(crate) fn record(run: &Path, context: &str) -> Option<Value> {
    let text = fs::read_to_string(run.join("run.json")).ok()?;
    let record = serde_json::from_str(&text);
    Some(record.unwrap_or_else(|error| panic!("run.json: {error}, {context}\n{text}")))
}

/// The status in `run.json`, or `None` if there is no `run.json`.
pub(crate) fn status(run: &Path, context: &str) -> Option<String> {
    let status = record(run, context)?["status"].as_str().map(str::to_owned);
    Some(status.unwrap_or_else(|| panic!("run.json has no status, {context}")))
}

/// Applies a function to each run of a sweep. The keys are the ids of the runs.
fn by_id<T>(project: &Project, sweep: &str, value: impl Fn(&Path) -> T) -> BTreeMap<String, T> {
    let id = |run: &Path| run.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(project.path(sweep).is_dir(), "{sweep} does not exist");
    let runs = run_directories(&project.path(sweep));
    runs.iter().map(|run| (id(run), value(run))).collect()
}

/// The status of each run of a sweep.
pub(crate) fn statuses(project: &Project, sweep: &str) -> BTreeMap<String, String> {
    by_id(project, sweep, |run| status(run, sweep).unwrap())
}

/// The ids of the runs of a sweep that have this status.
pub(crate) fn with_status(project: &Project, sweep: &str, wanted: &str) -> Vec<String> {
    let found = statuses(project, sweep).into_iter();
    found.filter(|(_, status)| status == wanted).map(|(run, _)| run).collect()
}

/// The time at which each run of a sweep was started. Training a run again changes it.
pub(crate) fn start_times(project: &Project, sweep: &str) -> BTreeMap<String, String> {
    by_id(project, sweep, |run| record(run, sweep).unwrap()["started"].as_str().unwrap().to_owned())
}

/// The results of each run of a sweep whose runs are all finished.
pub(crate) fn results(project: &Project, sweep: &str) -> BTreeMap<String, Results> {
    by_id(project, sweep, Results::of)
}

/// Asserts that a run with a `report.json` is complete and has the expected results, and that one without a
/// `report.json` does not look finished.
pub(crate) fn assert_valid(project: &Project, run: &Path, expected: &Results, context: &str) {
    let recorded = status(run, context);
    if run.join("report.json").exists() {
        assert_eq!(recorded.as_deref(), Some("finished"), "{context}");
        Results::of(run).assert_same(expected, context);
        for name in ["config.toml", "report.md", "history.svg", "confusion.svg", "mistakes.png"] {
            let length = fs::metadata(run.join(name)).map_or(0, |metadata| metadata.len());
            assert!(length > 0, "{name} is missing or empty, {context}");
        }
    } else if recorded.as_deref() == Some("finished") {
        // The process ended between writing `run.json` and `report.json`. The program must notice that.
        let shown = project.kiln(&["show", run.to_str().unwrap()]);
        assert!(shown.stdout.contains("killed while its report"), "{}, {context}", shown.stdout);
    }
}

/// The partially written files and directories that a killed process has left in a run directory.
pub(crate) fn partial_files(run: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![run.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(".partial-") {
                found.push(path);
            } else if path.is_dir() {
                directories.push(path);
            }
        }
    }
    found
}

/// Asserts that `kiln resume` finishes the project's run with the expected results. If the run has no `run.json` or no
/// `config.toml` yet, asserts that the error names the missing file.
pub(crate) fn assert_resumes(project: &Project, expected: &Results, context: &str) {
    let Some(run) = only_run(project) else { return };
    let was_finished = run.join("report.json").exists();
    let continues = !was_finished && has_checkpoint(&run);
    let position = record(&run, context).and_then(|record| interrupted_at(&record));
    let resumed = project.kiln(&["resume", run.to_str().unwrap()]);
    let context = format!("{context}, then resumed:\n{}", resumed.stderr);
    resumed.assert_no_panic(&context);
    let missing = ["run.json", "config.toml"].into_iter().find(|name| !run.join(name).exists());
    if let Some(missing) = missing {
        assert_eq!(resumed.status, 1, "{context}");
        assert!(resumed.stderr.contains(missing), "the missing file is not named, {context}");
        let names_run = resumed.stderr.contains(run.to_str().unwrap());
        assert!(names_run, "the run is not named, {context}");
        return;
    }
    assert_eq!(resumed.status, 0, "{context}");
    assert_eq!(resumed.stderr.contains("resuming "), continues, "{context}");
    if let Some(position) = position {
        let line = resumed.stderr.lines().find(|line| line.starts_with("resuming "));
        assert_eq!(line.map(numbers), Some(numbers(&position)), "{context}");
    }
    assert_eq!(status(&run, &context).as_deref(), Some("finished"), "{context}");
    assert_valid(project, &run, expected, &context);
    assert!(run.join("report.json").exists(), "{context}");
    let left = partial_files(&run);
    assert!(left.is_empty(), "{left:?} were not removed, {context}");
}

/// The numbers in a text: the epoch and the step of a position.
fn numbers(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).collect()
}

/// The position at which a run was interrupted, if it had time to record it.
fn interrupted_at(record: &Value) -> Option<String> {
    let is_interrupted = record["status"] == "interrupted";
    let reason = record["stop_reason"].as_str().filter(|_| is_interrupted)?;
    reason.split_once("; ").map(|(position, _)| position.to_owned())
}

/// Whether a run has a complete checkpoint. A partially written one has another name.
fn has_checkpoint(run: &Path) -> bool {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("epoch-"))
}
