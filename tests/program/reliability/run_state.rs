//! How a run stands on disk, and whether it is what it would have been without a disturbance.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{Ran, World};

/// What a run computes, without times.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Results {
    history: String,
    report: Vec<u8>,
    model: Vec<u8>,
    predictions: Vec<u8>,
}

impl Results {
    /// Of a run that is finished.
    pub(crate) fn of(run: &Path) -> Self {
        let read = |name: &str| {
            let path = run.join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let history = String::from_utf8(read("history.csv")).unwrap();
        // No experiment here has further columns, so that `seconds` is the last.
        let history =
            history.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n");
        Self {
            history: history.collect(),
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

    pub(crate) fn assert_same(&self, undisturbed: &Self, context: &str) {
        assert_eq!(self.history, undisturbed.history, "history.csv, {context}");
        assert!(self.report == undisturbed.report, "report.json differs, {context}");
        assert!(self.model == undisturbed.model, "model.safetensors differs, {context}");
        assert!(self.predictions == undisturbed.predictions, "predictions.csv differs, {context}");
    }
}

/// The one run directory of a world, where there is one.
pub(crate) fn only_run(world: &World) -> Option<PathBuf> {
    let entries = fs::read_dir(world.path("runs/columns")).into_iter().flatten().flatten();
    let visible = |path: &PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with('.');
    let mut runs = entries.map(|entry| entry.path()).filter(visible);
    let run = runs.next();
    assert!(runs.next().is_none(), "more than one run in {}", world.path("runs").display());
    run
}

/// `run.json`, where it is there: then it is whole.
pub(crate) fn record(run: &Path, context: &str) -> Option<Value> {
    let text = fs::read_to_string(run.join("run.json")).ok()?;
    let record = serde_json::from_str(&text);
    Some(record.unwrap_or_else(|error| panic!("run.json: {error}, {context}\n{text}")))
}

pub(crate) fn status(run: &Path, context: &str) -> Option<String> {
    let status = record(run, context)?["status"].as_str().map(str::to_owned);
    Some(status.unwrap_or_else(|| panic!("a run.json without a status, {context}")))
}

/// A run with a `report.json` is complete and what it should be. One without may not look finished.
pub(crate) fn assert_valid(world: &World, run: &Path, undisturbed: &Results, context: &str) {
    let recorded = status(run, context);
    if run.join("report.json").exists() {
        assert_eq!(recorded.as_deref(), Some("finished"), "{context}");
        Results::of(run).assert_same(undisturbed, context);
        for name in ["config.toml", "report.md", "history.svg", "confusion.svg", "mistakes.png"] {
            let length = fs::metadata(run.join(name)).map_or(0, |metadata| metadata.len());
            assert!(length > 0, "{name} is not there, {context}");
        }
    } else if recorded.as_deref() == Some("finished") {
        // Cut off between the two files. The program knows.
        let shown = world.kiln(&["show", run.to_str().unwrap()]);
        assert!(shown.stdout.contains("cut off while its report"), "{}, {context}", shown.stdout);
    }
}

/// What was half written when a process died, anywhere in a run directory.
pub(crate) fn partial(run: &Path) -> Vec<PathBuf> {
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

/// `kiln resume` brings the world's run to what it would have been, or says why there is nothing to go on with.
pub(crate) fn assert_resumes(world: &World, undisturbed: &Results, context: &str) {
    let Some(run) = only_run(world) else { return };
    let was_finished = run.join("report.json").exists();
    let goes_on = !was_finished && has_checkpoint(&run);
    let place = record(&run, context).and_then(|record| interrupted_at(&record));
    let resumed = world.kiln(&["resume", run.to_str().unwrap()]);
    let context = format!("{context}, then resumed:\n{}", resumed.stderr);
    assert_no_panic(&resumed, &context);
    let missing = ["run.json", "config.toml"].into_iter().find(|name| !run.join(name).exists());
    if let Some(missing) = missing {
        assert_eq!(resumed.status, 1, "{context}");
        assert!(resumed.stderr.contains(missing), "which file is missing? {context}");
        assert!(resumed.stderr.contains(run.to_str().unwrap()), "where? {context}");
        return;
    }
    assert_eq!(resumed.status, 0, "{context}");
    assert_eq!(resumed.stderr.contains("resuming "), goes_on, "{context}");
    if let Some(place) = place {
        assert!(resumed.stderr.contains(&format!("resuming {place}\n")), "{context}");
    }
    assert_eq!(status(&run, &context).as_deref(), Some("finished"), "{context}");
    assert_valid(world, &run, undisturbed, &context);
    assert!(run.join("report.json").exists(), "{context}");
    let left = partial(&run);
    assert!(left.is_empty(), "{left:?} is left, {context}");
}

/// Where a run was interrupted that had the time to say so.
fn interrupted_at(record: &Value) -> Option<String> {
    let is_interrupted = record["status"] == "interrupted";
    let reason = record["stop_reason"].as_str().filter(|_| is_interrupted)?;
    reason.split_once("; ").map(|(place, _)| place.to_owned())
}

/// One that appeared whole: what is half written has another name.
fn has_checkpoint(run: &Path) -> bool {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("epoch-"))
}

pub(crate) fn assert_no_panic(ran: &Ran, context: &str) {
    assert!(!ran.stderr.contains("panicked"), "{context}\n{}", ran.stderr);
}
