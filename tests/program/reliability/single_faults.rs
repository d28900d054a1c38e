//! Each operation on the disk fails once, and each is the last that a process does.

use std::fs;
use std::path::Path;

use super::run_state::{Results, assert_no_panic, assert_resumes, assert_valid, only_run, status};
use super::{in_parallel, quick_world, tell};
use crate::world::{Ran, World};

const FAULTS: [&str; 3] = ["enospc", "eio", "die"];

/// What a process that aborts leaves as its status.
const DIED: i32 = -1;

#[test]
fn a_run_whose_writes_fail_one_by_one_goes_on_to_the_same_result() {
    let (undisturbed, operations) = undisturbed();
    assert!(operations.len() > 150, "only {} operations", operations.len());
    let cases: Vec<(usize, &str)> = cases(operations.len()).collect();
    in_parallel(&cases, |(number, fault)| {
        let world = quick_world();
        let operation = &operations[number - 1];
        let context = format!("{fault} at operation {number}, {}", brief(operation));
        let ran = kiln_with_fault(&world, &["run", "experiment.toml"], fault, *number);
        assert_met(&world, &ran, fault, None, &undisturbed, &context);
        assert_resumes(&world, &undisturbed, &format!("{context}:\n{}", ran.stderr));
    });
    tell(&format!("single faults in a run: {} operations, {} runs", operations.len(), cases.len()));
}

#[test]
fn a_resumed_run_whose_writes_fail_one_by_one_goes_on_to_the_same_result() {
    let (undisturbed, operations) = undisturbed();
    // In the midst of the second epoch.
    let interrupted = quick_world();
    let at = operations.len() / 2;
    kiln_with_fault(&interrupted, &["run", "experiment.toml"], "die", at);
    let run = only_run(&interrupted).unwrap();
    let run = Path::new("runs/columns").join(run.file_name().unwrap());

    let world = quick_world();
    copy_tree(&interrupted.path("runs"), &world.path("runs"));
    let operations = journal(&world, &["resume", run.to_str().unwrap()]);
    let cases: Vec<(usize, &str)> = cases(operations.len()).collect();
    in_parallel(&cases, |(number, fault)| {
        let world = quick_world();
        copy_tree(&interrupted.path("runs"), &world.path("runs"));
        let operation = &operations[number - 1];
        let context = format!("resuming, {fault} at operation {number}, {}", brief(operation));
        let ran = kiln_with_fault(&world, &["resume", run.to_str().unwrap()], fault, *number);
        assert_met(&world, &ran, fault, Some("running"), &undisturbed, &context);
        assert_resumes(&world, &undisturbed, &format!("{context}:\n{}", ran.stderr));
    });
    tell(&format!(
        "single faults while resuming: {} operations, {} runs",
        operations.len(),
        cases.len()
    ));
}

fn cases(operations: usize) -> impl Iterator<Item = (usize, &'static str)> {
    (1..=operations).flat_map(|number| FAULTS.map(|fault| (number, fault)))
}

/// The process has died, has ended in good order, or has gone on to the end, and what it leaves is what it says.
/// `before` is the status that the run had: one that was never touched keeps it.
fn assert_met(
    world: &World,
    ran: &Ran,
    fault: &str,
    before: Option<&str>,
    undisturbed: &Results,
    context: &str,
) {
    assert_no_panic(ran, context);
    let Some(run) = only_run(world) else {
        assert!(ran.status == 1 && ran.stderr.contains("runs") || fault == "die", "{context}");
        return;
    };
    assert_valid(world, &run, undisturbed, context);
    match (fault, ran.status) {
        // Some are met when everything is done, or by what no result depends on.
        (_, 0) => assert!(run.join("report.json").exists(), "{context}\n{}", ran.stderr),
        ("die", status) => assert_eq!(status, DIED, "{context}\n{}", ran.stderr),
        (_, exit) => {
            assert_eq!(exit, 1, "{context}\n{}", ran.stderr);
            assert!(ran.stderr.contains("runs/columns"), "where? {context}\n{}", ran.stderr);
            assert!(!run.join("report.json").exists(), "{context}\n{}", ran.stderr);
            if before.is_none() {
                let history = fs::read(run.join("history.csv")).unwrap_or_else(|_| vec![b'\n']);
                assert!(history.ends_with(b"\n"), "half a row is left, {context}");
            }
            if let Some(status) = status(&run, context) {
                let is_true = status == "failed" || Some(status.as_str()) == before;
                assert!(is_true, "it is {status}, {context}\n{}", ran.stderr);
            }
        }
    }
}

/// What the run comes to without a fault, and what it does to the disk.
fn undisturbed() -> (Results, Vec<String>) {
    let world = quick_world();
    let operations = journal(&world, &["run", "experiment.toml"]);
    let results = Results::of(&only_run(&world).unwrap());
    // What the last epoch does not decide is what a resumed run must remember.
    assert_eq!(results.tested_epoch(), 2);
    (results, operations)
}

/// Runs a command to its good end and gives the lines of its journal.
pub(super) fn journal(world: &World, arguments: &[&str]) -> Vec<String> {
    let mut command = world.command();
    command.args(arguments).env("KILN_FAULT_JOURNAL", world.path("journal"));
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    world.read("journal").lines().map(str::to_owned).collect()
}

pub(super) fn kiln_with_fault(
    world: &World,
    arguments: &[&str],
    fault: &str,
    number: usize,
) -> Ran {
    let mut command = world.command();
    command.args(arguments).env("KILN_FAULT", format!("{fault}@{number}"));
    Ran::from(command.output().unwrap())
}

/// An operation without what it writes.
fn brief(operation: &str) -> String {
    let mut operation: serde_json::Value = serde_json::from_str(operation).unwrap();
    operation.as_object_mut().unwrap().remove("bytes");
    operation.to_string()
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
