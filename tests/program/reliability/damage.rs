//! Files of an interrupted run that are damaged or replaced before it resumes.

use std::fs;
use std::path::{Path, PathBuf};

use super::single_faults::{journal, kiln_with_fault};
use super::{Rng, in_memory_project, in_parallel, print_figures, short_or_long};
use crate::project::{Project, copy_directory};
use crate::run_state::{Results, assert_resumes, assert_valid, only_run};

/// A run that was killed in its third epoch, before the row of that epoch was written, and the results of the same run
/// without an interruption.
fn interrupted() -> (Project, Results) {
    let complete = in_memory_project();
    let operations = journal(&complete, &["run", "experiment.toml"]);
    let is_row = |index: &usize| {
        let operation = &operations[*index];
        operation.contains(r#""operation":"write""#) && operation.contains("/history.csv")
    };
    // The index of the third row counts from 0. Faults count from 1, so this is the operation before the third row.
    let before_third = (0..operations.len()).filter(is_row).nth(2).unwrap();
    let project = in_memory_project();
    kiln_with_fault(&project, &["run", "experiment.toml"], "die", before_third);
    (project, Results::of(&only_run(&complete).unwrap()))
}

/// A copy of a project with its run, and the copy's run directory.
fn copy(project: &Project) -> (Project, PathBuf) {
    let copy = in_memory_project();
    copy_directory(&project.path("runs"), &copy.path("runs"));
    let run = only_run(&copy).unwrap();
    (copy, run)
}

#[test]
fn truncated_history_is_reported_and_restored_from_the_checkpoint() {
    let (project, expected) = interrupted();
    let history = fs::read(only_run(&project).unwrap().join("history.csv")).unwrap();
    assert_eq!(history.iter().filter(|byte| **byte == b'\n').count(), 3);
    let lengths: Vec<usize> = (0..=history.len()).collect();
    in_parallel(&lengths, |length| {
        let (project, run) = copy(&project);
        let context = format!("history.csv cut to {length} of {} bytes", history.len());
        fs::write(run.join("history.csv"), &history[..*length]).unwrap();
        let shown = project.kiln(&["show", run.to_str().unwrap()]);
        assert_eq!(shown.status, 0, "{}, {context}", shown.stderr);
        // Complete lines, including the header.
        let lines = history[..*length].iter().filter(|byte| **byte == b'\n').count();
        let has_epoch = |epoch: usize| {
            let is_row = |line: &str| line.split_whitespace().next() == Some(&epoch.to_string());
            shown.stdout.lines().any(is_row)
        };
        for epoch in 1..=2 {
            let is_shown = has_epoch(epoch);
            assert_eq!(is_shown, lines > epoch, "epoch {epoch} in {}, {context}", shown.stdout);
        }
        let resumed = project.kiln(&["resume", run.to_str().unwrap()]);
        let context = format!("{context}:\n{}", resumed.stderr);
        assert_eq!(resumed.status, 0, "{context}");
        assert_valid(&project, &run, &expected, &context);
        let ends =
            format!("history.csv is damaged: it ends after epoch {} of 2", lines.saturating_sub(1));
        assert_eq!(resumed.stderr.contains(&ends), lines < 3, "{context}");
        assert_eq!(resumed.stderr.contains("warning: "), lines < 3, "{context}");
        // The checkpoint contains the rows, too, so a truncated history does not set the run back.
        assert!(resumed.stderr.contains("resuming from epoch 3, step 2\n"), "{context}");
    });
}

#[test]
fn damaged_checkpoint_is_reported_and_the_previous_one_used() {
    let (project, expected) = interrupted();
    let rounds: Vec<usize> = (0..short_or_long(40, 1000)).collect();
    in_parallel(&rounds, |round| {
        let mut rng = Rng::new("damage", *round);
        let (project, run) = copy(&project);
        let mut checkpoints = entries(&run.join("checkpoints"));
        checkpoints.retain(|path| !path.to_string_lossy().contains(".partial-"));
        let newest = checkpoints.pop().unwrap();
        let files = entries(&newest);
        let file = &files[rng.below(files.len())];
        let context = damage(file, &mut rng);
        let resumed = project.kiln(&["resume", run.to_str().unwrap()]);
        let context = format!("round {round}: {context}:\n{}", resumed.stderr);
        resumed.assert_no_panic(&context);
        assert_eq!(resumed.status, 0, "{context}");
        let name = newest.file_name().unwrap().to_str().unwrap();
        assert!(resumed.stderr.contains("warning: "), "{context}");
        assert!(resumed.stderr.contains(name), "the checkpoint is not named, {context}");
        // The newest checkpoint is from after step 2: the last step of an epoch has no checkpoint of its own, and the
        // run was killed before the checkpoint of the third epoch.
        assert!(resumed.stderr.contains("resuming from epoch 3, step 1\n"), "{context}");
        assert_valid(&project, &run, &expected, &context);
        assert!(run.join("report.json").exists(), "{context}");
    });
    print_figures(&format!("damaged checkpoints: {}", rounds.len()));
}

#[test]
fn run_whose_checkpoints_are_all_damaged_restarts_from_scratch() {
    let (project, expected) = interrupted();
    let (project, run) = copy(&project);
    let checkpoints = entries(&run.join("checkpoints"));
    for checkpoint in &checkpoints {
        fs::write(checkpoint.join("tensors.safetensors"), "no tensors").unwrap();
    }
    let resumed = project.kiln(&["resume", run.to_str().unwrap()]);
    assert!(
        resumed.stderr.contains("no usable checkpoint, starting from scratch"),
        "{}",
        resumed.stderr
    );
    assert!(resumed.stderr.matches("is damaged").count() > 1, "{}", resumed.stderr);
    Results::of(&run).assert_same(&expected, &resumed.stderr);
}

#[test]
fn resume_refuses_another_configuration_or_dataset() {
    let (project, expected) = interrupted();
    let (changed, run) = copy(&project);
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    let other = config.replace("learning_rate = 0.3", "learning_rate = 0.4");
    assert!(other != config, "{config}");
    fs::write(run.join("config.toml"), other).unwrap();
    let resumed = changed.kiln(&["resume", run.to_str().unwrap()]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    let difference = "learning_rate from 0.3 to 0.4";
    assert!(resumed.stderr.contains(difference), "{}", resumed.stderr);
    // The refusal has changed nothing, so that the run resumes with the original file.
    fs::write(run.join("config.toml"), config).unwrap();
    assert_resumes(&changed, &expected, "the configuration was restored");

    let (changed, run) = copy(&project);
    let images = changed.path("data/columns/train-images-idx3-ubyte");
    let original = fs::read(&images).unwrap();
    let mut other = original.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&images, other).unwrap();
    let resumed = changed.kiln(&["resume", run.to_str().unwrap()]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("its dataset columns changed from"), "{}", resumed.stderr);
    fs::write(&images, original).unwrap();
    assert_resumes(&changed, &expected, "the dataset was restored");
}

/// The entries of a directory, sorted.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// Damages a file in one of the ways that disks do, and returns a description.
fn damage(file: &Path, rng: &mut Rng) -> String {
    let mut content = fs::read(file).unwrap();
    let at = rng.below(content.len());
    let kind = match rng.below(4) {
        0 => {
            fs::remove_file(file).unwrap();
            return format!("{} removed", file.display());
        }
        1 => {
            content.truncate(at);
            "truncated"
        }
        2 => {
            content[at] ^= 1 << rng.below(8);
            "with one bit flipped"
        }
        _ => {
            content[at..].fill(0);
            "filled with zeros to its end"
        }
    };
    fs::write(file, content).unwrap();
    format!("{} {kind} at byte {at}", file.display())
}
