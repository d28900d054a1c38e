//! A resumed run ends with exactly the result of an uninterrupted one.

mod damaged;
mod interrupted;
mod queue;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use kiln_store::RunDirectory;
use kiln_train::{
    Declaration, EpochEnd, Observer, Progress, Resumed, Run, RunLock, Stop, TrainingOutcome,
};

use crate::columns::EXPERIMENT;
use crate::common::World;

/// The files that must be identical, and the history without its seconds.
#[derive(PartialEq, Eq)]
struct Results {
    files: Vec<(&'static str, Vec<u8>)>,
    history: String,
}

impl Results {
    fn of(run: &RunDirectory) -> Self {
        let names = ["model.safetensors", "report.json", "predictions.csv", "mistakes.png"];
        let read = |name| (name, fs::read(run.path().join(name)).unwrap());
        let history = fs::read_to_string(run.history_path()).unwrap();
        let without_seconds = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.remove(6);
            cells.join(",")
        };
        Self {
            files: names.map(read).into(),
            history: history.lines().map(without_seconds).collect::<Vec<_>>().join("\n"),
        }
    }

    fn assert_same(&self, other: &Self, what: &str) {
        assert_eq!(self.history, other.history, "{what}: the history");
        for ((name, ours), (_, theirs)) in self.files.iter().zip(&other.files) {
            assert!(ours == theirs, "{what}: {name} differs");
        }
    }
}

/// Interrupts the run after `step` steps. With a `snapshot`, from one directory to another, copies the directory of the
/// run instead, in the state in which a kill would leave it.
struct At {
    step: usize,
    done: usize,
    snapshot: Option<(PathBuf, PathBuf)>,
}

impl At {
    fn stop(step: usize) -> Self {
        Self { step, done: 0, snapshot: None }
    }
}

impl Observer for At {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }

    fn on_step_end(&mut self, _: Progress<'_>) -> ControlFlow<Stop> {
        self.done += 1;
        match (&self.snapshot, self.done == self.step) {
            (Some((from, to)), true) => copy(from, to),
            (None, true) => return ControlFlow::Break(Stop::Interrupted),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn resume(world: &World, run: &RunDirectory) -> (Resumed, RunDirectory) {
    let data = world.runs().parent().unwrap().to_owned();
    let run = RunDirectory::open(run.path()).unwrap();
    (Run::resume(run.clone(), &data, RunLock::Caller(None), None).unwrap(), run)
}

fn resumed(world: &World, run: &RunDirectory, observer: &mut dyn Observer) -> TrainingOutcome {
    resume(world, run).0.run.train(observer).unwrap()
}

/// Steps per epoch of the small experiment: 80 training rows in batches of 16.
const STEPS: usize = 5;

/// Trains a run, and copies it to `copied` in the state in which a kill after `step` steps would leave it. Returns the
/// results of the uninterrupted run.
fn killed_at(world: &World, step: usize, overrides: &[&str], copied: &Path) -> Results {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let declaration = Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap();
    let data = world.runs().parent().unwrap().to_owned();
    let run = Run::prepare(declaration, &data, &world.runs(), None).unwrap();
    let directory = run.directory().clone();
    let snapshot = Some((directory.path().to_owned(), copied.to_owned()));
    run.train(&mut At { step, done: 0, snapshot }).unwrap();
    Results::of(&directory)
}

const SMALL: [&str; 5] =
    ["epochs=4", "batch_size=16", "validation=40", "optimizer={type='adam'}", "weights=best"];
