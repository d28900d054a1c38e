//! The power goes at a moment of a run, or of its resumption: what was not synced is lost, or some of it.

use std::path::{Path, PathBuf};

use super::disk_model::Disk;
use super::run_state::{Results, assert_resumes, assert_valid, only_run};
use super::single_faults::{copy_tree, journal, kiln_with_fault};
use super::{Generator, in_memory_project, in_parallel, short_or_long, tell};
use crate::project::Project;

/// What was safe on a disk, and what was then done to it.
struct Story {
    before: Disk,
    operations: Vec<String>,
}

#[test]
fn a_run_whose_machine_lost_its_power_goes_on_to_the_same_result() {
    let project = in_memory_project();
    let operations = journal(&project, &["run", "experiment.toml"]);
    let undisturbed = Results::of(&only_run(&project).unwrap());
    let count = operations.len();
    let stories = [
        Story { before: Disk::empty(), operations },
        // In its beginning, its midst and its end.
        resumption(count / 4),
        resumption(count / 2),
        resumption(count * 19 / 20),
    ];
    let rounds: Vec<usize> = (0..short_or_long(30, 300)).collect();
    in_parallel(&rounds, |round| {
        let mut chance = Generator::new("power loss", *round);
        // Half of the rounds are of the undisturbed run.
        let story = &stories[if chance.coin() { 0 } else { chance.below(stories.len()) }];
        let at = chance.below(story.operations.len() + 1);
        let mut disk = story.before.clone();
        story.operations[..at].iter().for_each(|operation| disk.apply(operation));
        let all = chance.coin();
        let left = disk.lose_power(if all { None } else { Some(&mut chance) });
        let project = in_memory_project();
        left.write(&project.path("."));

        let lost = if all { "all" } else { "some" };
        let done = at.checked_sub(1).map_or("", |last| &story.operations[last]);
        let done = done.get(..160).unwrap_or(done);
        let context = format!(
            "round {round}: the power went after operation {at} of {}, {done}, {lost} was lost",
            story.operations.len()
        );
        for path in lasting(&story.operations[..at]) {
            assert!(project.path(&path).exists(), "{path} is lost, {context}");
        }
        let Some(run) = only_run(&project) else { return };
        assert_valid(&project, &run, &undisturbed, &context);
        assert_resumes(&project, &undisturbed, &context);
    });
    tell(&format!("power loss: {} crash points of {count} operations of a run", rounds.len()));
}

/// What has appeared under its name so long ago that Kiln has gone on with other things, and is not removed yet.
fn lasting(operations: &[String]) -> Vec<String> {
    let mut lasting: Vec<String> = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let operation: serde_json::Value = serde_json::from_str(operation).unwrap();
        let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
        match text("operation").as_str() {
            "rename" => {
                lasting.retain(|path| *path != text("path"));
                // The next is the sync of the directory.
                if !text("to").contains("/.partial-") && index + 1 < operations.len() {
                    lasting.push(text("to"));
                }
            }
            "remove" => lasting.retain(|path| *path != text("path")),
            _ => {}
        }
    }
    lasting
}

/// A run that died at an operation, and is resumed.
fn resumption(died_at: usize) -> Story {
    let project = in_memory_project();
    kiln_with_fault(&project, &["run", "experiment.toml"], "die", died_at);
    let run = only_run(&project).unwrap();
    let run: PathBuf = Path::new("runs/columns").join(run.file_name().unwrap());
    let before = Disk::holding(&project.path("."), "runs");
    let again = in_memory_project();
    copy_tree(&project.path("runs"), &again.path("runs"));
    let operations = journal(&again, &["resume", run.to_str().unwrap()]);
    Story { before, operations }
}

/// That the simulation bites: a project whose syncs were left out loses what Kiln keeps.
#[test]
fn without_its_syncs_a_run_would_be_lost() {
    let project: Project = in_memory_project();
    let operations = journal(&project, &["run", "experiment.toml"]);
    let mut disk = Disk::empty();
    let is_sync = |operation: &&String| operation.contains(r#""operation":"sync"#);
    operations.iter().filter(|line| !is_sync(line)).for_each(|operation| disk.apply(operation));
    assert!(disk.lose_power(None).files.is_empty());
}
