//! Each operation on the disk fails once, with each error, and the process is killed once at each operation.

use std::fs;
use std::path::Path;

use super::{Subject, in_parallel, print_figures, subjects};
use crate::project::{CommandOutput, Project, copy_directory};
use crate::run_state::{Results, assert_resumes, assert_valid, only_run, status};

/// `die` aborts the process. The others are errors that the operation returns.
const FAULTS: [&str; 3] = ["enospc", "eio", "die"];

/// The exit status of an aborted process.
const ABORTED: i32 = -1;

#[test]
fn run_with_any_failing_write_resumes_to_identical_results() {
    for subject in subjects() {
        let (expected, operations) = uninterrupted(&subject);
        assert!(operations.len() > 150, "only {} operations", operations.len());
        let cases = cases(&subject, operations.len());
        in_parallel(&cases, |(number, fault)| {
            let project = subject.project();
            let operation = without_bytes(&operations[number - 1]);
            let context = format!("{}: {fault} at operation {number}, {operation}", subject.name);
            let output = kiln_with_fault(&project, &["run", "experiment.toml"], fault, *number);
            assert_fault_is_handled(&project, &output, fault, None, &expected, &context);
            assert_resumes(&project, &expected, &format!("{context}:\n{}", output.stderr));
        });
        print_figures(&format!(
            "single faults in a {} run: {} operations, {} runs",
            subject.name,
            operations.len(),
            cases.len()
        ));
    }
}

#[test]
fn resumed_run_with_any_failing_write_resumes_to_identical_results() {
    for subject in subjects() {
        let (expected, operations) = uninterrupted(&subject);
        let interrupted = subject.project();
        // After half of its operations the run is within its second epoch.
        let half = operations.len() / 2;
        kiln_with_fault(&interrupted, &["run", "experiment.toml"], "die", half);
        let run = only_run(&interrupted).unwrap();
        let run = Path::new("runs/columns").join(run.file_name().unwrap());

        let project = subject.project();
        copy_directory(&interrupted.path("runs"), &project.path("runs"));
        let operations = journal(&project, &["resume", run.to_str().unwrap()]);
        let cases = cases(&subject, operations.len());
        in_parallel(&cases, |(number, fault)| {
            let project = subject.project();
            copy_directory(&interrupted.path("runs"), &project.path("runs"));
            let operation = without_bytes(&operations[number - 1]);
            let context =
                format!("resuming {}, {fault} at operation {number}, {operation}", subject.name);
            let arguments = ["resume", run.to_str().unwrap()];
            let output = kiln_with_fault(&project, &arguments, fault, *number);
            assert_fault_is_handled(&project, &output, fault, Some("running"), &expected, &context);
            assert_resumes(&project, &expected, &format!("{context}:\n{}", output.stderr));
        });
        print_figures(&format!(
            "single faults while resuming a {} run: {} operations, {} runs",
            subject.name,
            operations.len(),
            cases.len()
        ));
    }
}

/// Each operation, counted from 1, with each fault or with one of them.
fn cases(subject: &Subject, operations: usize) -> Vec<(usize, &'static str)> {
    let faults = |number: usize| {
        let one = number % FAULTS.len();
        if subject.all_faults { &FAULTS[..] } else { &FAULTS[one..=one] }
    };
    (1..=operations).flat_map(|number| faults(number).iter().map(move |it| (number, *it))).collect()
}

/// Asserts that the process was aborted, reported the error or completed, and that the files that it left agree with
/// that. `before` is the status that the run had before the command: a command that fails early does not change it.
fn assert_fault_is_handled(
    project: &Project,
    output: &CommandOutput,
    fault: &str,
    before: Option<&str>,
    expected: &Results,
    context: &str,
) {
    output.assert_no_panic(context);
    let Some(run) = only_run(project) else {
        let names_runs = output.status == 1 && output.stderr.contains("runs");
        assert!(names_runs || fault == "die", "{context}");
        return;
    };
    assert_valid(project, &run, expected, context);
    match (fault, output.status) {
        // Some faults come after the last result is written, or in an operation that no result depends on.
        (_, 0) => assert!(run.join("report.json").exists(), "{context}\n{}", output.stderr),
        ("die", status) => assert_eq!(status, ABORTED, "{context}\n{}", output.stderr),
        (_, exit) => {
            assert_eq!(exit, 1, "{context}\n{}", output.stderr);
            let names_run = output.stderr.contains("runs/columns");
            assert!(names_run, "the error does not name the place, {context}\n{}", output.stderr);
            assert!(!run.join("report.json").exists(), "{context}\n{}", output.stderr);
            // A process that was aborted earlier may have left a partial row. `kiln resume` removes it.
            if before.is_none() {
                let history = fs::read(run.join("history.csv")).unwrap_or_else(|_| vec![b'\n']);
                assert!(history.ends_with(b"\n"), "the last row is incomplete, {context}");
            }
            if let Some(status) = status(&run, context) {
                let is_correct = status == "failed" || Some(status.as_str()) == before;
                assert!(is_correct, "the status is {status}, {context}\n{}", output.stderr);
            }
        }
    }
}

/// The results of an uninterrupted run, and its operations on the disk.
fn uninterrupted(subject: &Subject) -> (Results, Vec<String>) {
    let project = subject.project();
    let operations = journal(&project, &["run", "experiment.toml"]);
    let results = Results::of(&only_run(&project).unwrap());
    // The best weights are not those of the last epoch, so that a resumed run must have restored them.
    assert_eq!(results.tested_epoch(), subject.tested_epoch);
    (results, operations)
}

/// Runs a command that must succeed, and returns the lines of its journal: one per operation on the disk.
pub(super) fn journal(project: &Project, arguments: &[&str]) -> Vec<String> {
    let mut command = project.command();
    command.args(arguments).env("KILN_FAULT_JOURNAL", project.path("journal"));
    let output = CommandOutput::from(command.output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    project.read("journal").lines().map(str::to_owned).collect()
}

/// Runs a command with a fault at one operation. `number` counts from 1.
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

/// A line of the journal without the bytes that are written.
fn without_bytes(operation: &str) -> String {
    let mut operation: serde_json::Value = serde_json::from_str(operation).unwrap();
    operation.as_object_mut().unwrap().remove("bytes");
    operation.to_string()
}
