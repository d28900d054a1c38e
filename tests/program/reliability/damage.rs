//! Files of an interrupted run that were damaged since, or that are no longer those it was begun with.

use std::fs;
use std::path::{Path, PathBuf};

use super::run_state::{Results, assert_no_panic, assert_resumes, assert_valid, only_run};
use super::single_faults::{copy_tree, journal, kiln_with_fault};
use super::{Generator, in_parallel, quick_world, short_or_long, tell};
use crate::world::World;

/// A run that died in its third epoch, before its row in the history, and what it would have come to.
fn interrupted() -> (World, Results) {
    let whole = quick_world();
    let operations = journal(&whole, &["run", "experiment.toml"]);
    let is_row = |index: &usize| {
        let operation = &operations[*index];
        operation.contains(r#""operation":"write""#) && operation.contains("/history.csv")
    };
    // Counted from 1, this is the operation before the third row.
    let before_third = (0..operations.len()).filter(is_row).nth(2).unwrap();
    let world = quick_world();
    kiln_with_fault(&world, &["run", "experiment.toml"], "die", before_third);
    (world, Results::of(&only_run(&whole).unwrap()))
}

/// Another world with the same run in it, and the run's directory.
fn copy(world: &World) -> (World, PathBuf) {
    let copy = quick_world();
    copy_tree(&world.path("runs"), &copy.path("runs"));
    let run = only_run(&copy).unwrap();
    (copy, run)
}

#[test]
fn a_history_that_is_cut_anywhere_loses_its_last_row_at_most_and_says_so() {
    let (world, undisturbed) = interrupted();
    let history = fs::read(only_run(&world).unwrap().join("history.csv")).unwrap();
    assert_eq!(history.iter().filter(|byte| **byte == b'\n').count(), 3);
    let lengths: Vec<usize> = (0..=history.len()).collect();
    in_parallel(&lengths, |length| {
        let (world, run) = copy(&world);
        let context = format!("history.csv cut to {length} of {} bytes", history.len());
        fs::write(run.join("history.csv"), &history[..*length]).unwrap();
        let shown = world.kiln(&["show", run.to_str().unwrap()]);
        assert_eq!(shown.status, 0, "{}, {context}", shown.stderr);
        let rows = history[..*length].iter().filter(|byte| **byte == b'\n').count();
        let has_epoch = |epoch: usize| {
            let is_row = |line: &str| line.split_whitespace().next() == Some(&epoch.to_string());
            shown.stdout.lines().any(is_row)
        };
        for epoch in 1..=2 {
            assert_eq!(
                has_epoch(epoch),
                rows > epoch,
                "epoch {epoch} in {}, {context}",
                shown.stdout
            );
        }
        let resumed = world.kiln(&["resume", run.to_str().unwrap()]);
        let context = format!("{context}:\n{}", resumed.stderr);
        assert_eq!(resumed.status, 0, "{context}");
        assert_valid(&world, &run, &undisturbed, &context);
        let ends =
            format!("history.csv is damaged: it ends after epoch {} of 2", rows.saturating_sub(1));
        assert_eq!(resumed.stderr.contains(&ends), rows < 3, "{context}");
        assert_eq!(resumed.stderr.contains("warning: "), rows < 3, "{context}");
        // The rows are in the checkpoint, too.
        assert!(resumed.stderr.contains("goes on in epoch 3, after step 2\n"), "{context}");
    });
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let (world, undisturbed) = interrupted();
    let rounds: Vec<usize> = (0..short_or_long(40, 1000)).collect();
    in_parallel(&rounds, |round| {
        let mut chance = Generator::new("damage", *round);
        let (world, run) = copy(&world);
        let mut checkpoints = entries(&run.join("checkpoints"));
        checkpoints.retain(|path| !path.to_string_lossy().contains(".partial-"));
        let newest = checkpoints.pop().unwrap();
        let files = entries(&newest);
        let file = &files[chance.below(files.len())];
        let context = damage(file, &mut chance);
        let resumed = world.kiln(&["resume", run.to_str().unwrap()]);
        let context = format!("round {round}: {context}:\n{}", resumed.stderr);
        assert_no_panic(&resumed, &context);
        assert_eq!(resumed.status, 0, "{context}");
        let name = newest.file_name().unwrap().to_str().unwrap();
        assert!(resumed.stderr.contains("warning: "), "{context}");
        assert!(resumed.stderr.contains(name), "which checkpoint? {context}");
        // The run died after the third epoch's last step, which has no checkpoint of its own.
        assert!(resumed.stderr.contains("goes on in epoch 3, after step 1\n"), "{context}");
        assert_valid(&world, &run, &undisturbed, &context);
        assert!(run.join("report.json").exists(), "{context}");
    });
    tell(&format!("damaged checkpoints: {}", rounds.len()));
}

#[test]
fn with_every_checkpoint_damaged_the_run_begins_anew() {
    let (world, undisturbed) = interrupted();
    let (world, run) = copy(&world);
    let checkpoints = entries(&run.join("checkpoints"));
    for checkpoint in &checkpoints {
        fs::write(checkpoint.join("tensors.safetensors"), "no tensors").unwrap();
    }
    let resumed = world.kiln(&["resume", run.to_str().unwrap()]);
    assert!(resumed.stderr.contains("it begins anew"), "{}", resumed.stderr);
    assert!(resumed.stderr.matches("is damaged").count() > 1, "{}", resumed.stderr);
    Results::of(&run).assert_same(&undisturbed, &resumed.stderr);
}

#[test]
fn another_configuration_or_dataset_is_refused_with_the_difference() {
    let (world, undisturbed) = interrupted();
    let (changed, run) = copy(&world);
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    let other = config.replace("learning_rate = 0.3", "learning_rate = 0.4");
    assert!(other != config, "{config}");
    fs::write(run.join("config.toml"), other).unwrap();
    let resumed = changed.kiln(&["resume", run.to_str().unwrap()]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    let difference = "learning_rate from 0.3 to 0.4";
    assert!(resumed.stderr.contains(difference), "{}", resumed.stderr);
    // Put right, it goes on: nothing was touched.
    fs::write(run.join("config.toml"), config).unwrap();
    assert_resumes(&changed, &undisturbed, "the configuration was put right");

    let (changed, run) = copy(&world);
    let images = changed.path("data/columns/train-images-idx3-ubyte");
    let whole = fs::read(&images).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&images, other).unwrap();
    let resumed = changed.kiln(&["resume", run.to_str().unwrap()]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("its dataset columns changed from"), "{}", resumed.stderr);
    fs::write(&images, whole).unwrap();
    assert_resumes(&changed, &undisturbed, "the dataset was put right");
}

/// What is in a directory, in order.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// Damages a file in one of the ways that disks do, and tells which.
fn damage(file: &Path, chance: &mut Generator) -> String {
    let mut content = fs::read(file).unwrap();
    let at = chance.below(content.len());
    let what = match chance.below(4) {
        0 => {
            fs::remove_file(file).unwrap();
            return format!("{} is missing", file.display());
        }
        1 => {
            content.truncate(at);
            "is cut"
        }
        2 => {
            content[at] ^= 1 << chance.below(8);
            "has another bit"
        }
        _ => {
            content[at..].fill(0);
            "ends in zeros"
        }
    };
    fs::write(file, content).unwrap();
    format!("{} {what} at {at}", file.display())
}
