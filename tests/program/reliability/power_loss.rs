//! The machine loses power during a run or while a run resumes. Data that was not synced is lost, all of it or a part.

use std::path::{Path, PathBuf};

use super::disk_model::Disk;
use super::single_faults::{journal, kiln_with_fault};
use super::{Rng, Subject, in_memory_project, in_parallel, print_figures, short_or_long, subjects};
use crate::project::copy_directory;
use crate::run_state::{Results, assert_resumes, assert_valid, only_run};

/// A disk as it was before a command, and the operations of the command.
struct Recording {
    before: Disk,
    operations: Vec<String>,
}

#[test]
fn run_resumes_to_identical_results_after_a_power_loss() {
    subjects().iter().for_each(assert_survives_power_loss);
}

fn assert_survives_power_loss(subject: &Subject) {
    let project = subject.project();
    let operations = journal(&project, &["run", "experiment.toml"]);
    let expected = Results::of(&only_run(&project).unwrap());
    let count = operations.len();
    let recordings = [
        Recording { before: Disk::empty(), operations },
        // Killed near its beginning, in the middle and near its end.
        resumption(subject, count / 4),
        resumption(subject, count / 2),
        resumption(subject, count * 19 / 20),
    ];
    let rounds: Vec<usize> =
        (0..short_or_long(if subject.all_faults { 30 } else { 15 }, 300)).collect();
    in_parallel(&rounds, |round| {
        let mut rng = Rng::new("power loss", *round);
        // More than half of the rounds are of the first recording, the run itself.
        let index = if rng.coin() { 0 } else { rng.below(recordings.len()) };
        let Recording { before, operations } = &recordings[index];
        let done = rng.below(operations.len() + 1);
        let mut disk = before.clone();
        operations[..done].iter().for_each(|operation| disk.apply(operation));
        let loses_all = rng.coin();
        let left = disk.lose_power(if loses_all { None } else { Some(&mut rng) });
        let project = subject.project();
        left.write(&project.path("."));

        let lost = if loses_all { "all" } else { "some" };
        let last = done.checked_sub(1).map_or("", |last| &operations[last]);
        let last = last.get(..160).unwrap_or(last);
        let context = format!(
            "{}, round {round}: power loss after operation {done} of {}, {last}, {lost} unsynced data was lost",
            subject.name,
            operations.len()
        );
        for path in durable_paths(&operations[..done]) {
            assert!(project.path(&path).exists(), "{path} is lost, {context}");
        }
        let Some(run) = only_run(&project) else { return };
        assert_valid(&project, &run, &expected, &context);
        assert_resumes(&project, &expected, &context);
    });
    print_figures(&format!(
        "power loss: {} crash points of {count} operations of a {} run",
        rounds.len(),
        subject.name
    ));
}

/// The targets of renames that must survive a power loss: those after which Kiln has performed another operation.
fn durable_paths(operations: &[String]) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let operation: serde_json::Value = serde_json::from_str(operation).unwrap();
        let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
        match text("operation").as_str() {
            "rename" => {
                paths.retain(|path| *path != text("path"));
                // The operation after a rename is the sync of the directory. Without it the rename may be lost.
                if !text("to").contains("/.partial-") && index + 1 < operations.len() {
                    paths.push(text("to"));
                }
            }
            "remove" => paths.retain(|path| *path != text("path")),
            _ => {}
        }
    }
    paths
}

/// Kills a run at an operation, and records its resumption.
fn resumption(subject: &Subject, killed_at: usize) -> Recording {
    let project = subject.project();
    kiln_with_fault(&project, &["run", "experiment.toml"], "die", killed_at);
    let run = only_run(&project).unwrap();
    let run: PathBuf = Path::new("runs/columns").join(run.file_name().unwrap());
    let before = Disk::with_content(&project.path("."), "runs");
    let copy = subject.project();
    copy_directory(&project.path("runs"), &copy.path("runs"));
    let operations = journal(&copy, &["resume", run.to_str().unwrap()]);
    Recording { before, operations }
}

/// Shows that the simulation works: if Kiln did not sync, everything would be lost.
#[test]
fn run_without_syncs_is_lost() {
    let operations = journal(&in_memory_project(), &["run", "experiment.toml"]);
    let mut disk = Disk::empty();
    let is_sync = |operation: &&String| operation.contains(r#""operation":"sync"#);
    operations.iter().filter(|line| !is_sync(line)).for_each(|operation| disk.apply(operation));
    assert!(disk.lose_power(None).files.is_empty());
}
