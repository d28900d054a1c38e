//! Each operation on the disk fails once, and each is the last that a process does.

use std::fs;
use std::path::Path;

use super::run_state::{Results, assert_no_panic, assert_resumes, assert_valid, only_run, status};
use super::{in_memory_project, in_parallel, tell};
use crate::project::{CommandOutput, Project};

const FAULTS: [&str; 3] = ["enospc", "eio", "die"];

/// What a process that aborts leaves as its status.
const DIED: i32 = -1;

#[test]
fn a_run_whose_writes_fail_one_by_one_goes_on_to_the_same_result() {
    let (undisturbed, operations) = undisturbed();
    assert!(operations.len() > 150, "only {} operations", operations.len());
    let cases: Vec<(usize, &str)> = cases(operations.len()).collect();
    in_parallel(&cases, |(number, fault)| {
        let project = in_memory_project();
        let operation = &operations[number - 1];
        let context = format!("{fault} at operation {number}, {}", brief(operation));
        let output = kiln_with_fault(&project, &["run", "experiment.toml"], fault, *number);
        assert_met(&project, &output, fault, None, &undisturbed, &context);
        assert_resumes(&project, &undisturbed, &format!("{context}:\n{}", output.stderr));
    });
    tell(&format!("single faults in a run: {} operations, {} runs", operations.len(), cases.len()));
}

#[test]
fn a_resumed_run_whose_writes_fail_one_by_one_goes_on_to_the_same_result() {
    let (undisturbed, operations) = undisturbed();
    // In the midst of the second epoch.
    let interrupted = in_memory_project();
    let at = operations.len() / 2;
    kiln_with_fault(&interrupted, &["run", "experiment.toml"], "die", at);
    let run = only_run(&interrupted).unwrap();
    let run = Path::new("runs/columns").join(run.file_name().unwrap());

    let project = in_memory_project();
    copy_tree(&interrupted.path("runs"), &project.path("runs"));
    let operations = journal(&project, &["resume", run.to_str().unwrap()]);
    let cases: Vec<(usize, &str)> = cases(operations.len()).collect();
    in_parallel(&cases, |(number, fault)| {
        let project = in_memory_project();
        copy_tree(&interrupted.path("runs"), &project.path("runs"));
        let operation = &operations[number - 1];
        let context = format!("resuming, {fault} at operation {number}, {}", brief(operation));
        let output = kiln_with_fault(&project, &["resume", run.to_str().unwrap()], fault, *number);
        assert_met(&project, &output, fault, Some("running"), &undisturbed, &context);
        assert_resumes(&project, &undisturbed, &format!("{context}:\n{}", output.stderr));
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
    project: &Project,
    output: &CommandOutput,
    fault: &str,
    before: Option<&str>,
    undisturbed: &Results,
    context: &str,
) {
    assert_no_panic(output, context);
    let Some(run) = only_run(project) else {
        assert!(
            output.status == 1 && output.stderr.contains("runs") || fault == "die",
            "{context}"
        );
        return;
    };
    assert_valid(project, &run, undisturbed, context);
    match (fault, output.status) {
        // Some are met when everything is done, or by what no result depends on.
        (_, 0) => assert!(run.join("report.json").exists(), "{context}\n{}", output.stderr),
        ("die", status) => assert_eq!(status, DIED, "{context}\n{}", output.stderr),
        (_, exit) => {
            assert_eq!(exit, 1, "{context}\n{}", output.stderr);
            assert!(output.stderr.contains("runs/columns"), "where? {context}\n{}", output.stderr);
            assert!(!run.join("report.json").exists(), "{context}\n{}", output.stderr);
            if before.is_none() {
                let history = fs::read(run.join("history.csv")).unwrap_or_else(|_| vec![b'\n']);
                assert!(history.ends_with(b"\n"), "half a row is left, {context}");
            }
            if let Some(status) = status(&run, context) {
                let is_true = status == "failed" || Some(status.as_str()) == before;
                assert!(is_true, "it is {status}, {context}\n{}", output.stderr);
            }
        }
    }
}

/// What the run comes to without a fault, and what it does to the disk.
fn undisturbed() -> (Results, Vec<String>) {
    let project = in_memory_project();
    let operations = journal(&project, &["run", "experiment.toml"]);
    let results = Results::of(&only_run(&project).unwrap());
    // What the last epoch does not decide is what a resumed run must remember.
    assert_eq!(results.tested_epoch(), 2);
    (results, operations)
}

/// Runs a command to its good end and gives the lines of its journal.
pub(super) fn journal(project: &Project, arguments: &[&str]) -> Vec<String> {
    let mut command = project.command();
    command.args(arguments).env("KILN_FAULT_JOURNAL", project.path("journal"));
    let output = CommandOutput::from(command.output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    project.read("journal").lines().map(str::to_owned).collect()
}

pub(super) fn kiln_with_fault(
    project: &Project,
    arguments: &[&str],
    fault: &str,
    number: usize,
) -> CommandOutput {
    let mut command = project.command();
    command.args(arguments).env("KILN_FAULT", format!("{fault}@{number}"));
    CommandOutput::from(command.output().unwrap())
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
