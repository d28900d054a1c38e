//! Runs of a sweep that have their training in common: it is trained once, and each run has the bytes that it has alone.

use std::fs;

use crate::processes::{signal, start, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{Results, has_epochs, results, run_directories};

/// A project whose network has dropout and batch normalization.
fn project() -> Project {
    let project = Project::new();
    let experiment = project.read("experiment.toml").replace(
        "  { type = \"dense\", units = \"classes\"",
        "  { type = \"batch_normalization\" },\n  { type = \"dropout\", rate = 0.3 },\n  { type = \"dense\", units = \"classes\"",
    );
    project.write("experiment.toml", experiment);
    project
}

/// The number of epochs that a run took over from others.
fn shared_epochs(project: &Project, run: &std::path::Path) -> u64 {
    let record = project.read_json(run.join("run.json"));
    record["shared"]["epochs"].as_u64().unwrap_or(0)
}

/// Asserts that the runs of a sweep have the bytes of separate runs, and returns how many epochs were shared.
fn assert_as_alone(project: &Project, sweep: &str) -> u64 {
    let mut shared = 0;
    for run in run_directories(&project.path(sweep)) {
        let config = run.join("config.toml");
        let output = project.kiln_ok(&["run", config.to_str().unwrap(), "--runs=alone", "-q"]);
        let alone = Results::of(&project.path(output.last_line()));
        Results::of(&run).assert_same(&alone, &run.display().to_string());
        shared += shared_epochs(project, &run);
    }
    let left = fs::read_dir(project.path(sweep).join(".kiln/shared")).into_iter().flatten().count();
    assert_eq!(left, 0, "stored epochs are left");
    shared
}

const SWEEP: [&str; 6] = [
    "sweep",
    "experiment.toml",
    "epochs=2,5,7",
    "training.weights=last,best",
    "test.flip=false,true",
    "name=shared",
];

#[test]
fn runs_that_end_and_keep_differently_train_once_with_the_bytes_of_separate_runs() {
    for optimizer in
        ["optimizer={type=\"sgd\",momentum=0.9,learning_rate=0.1}", "optimizer.type=adam"]
    {
        let project = project();
        let arguments = [SWEEP.as_slice(), &[optimizer]].concat();
        let planned = project.kiln_ok(&[arguments.as_slice(), &["--dry-run"]].concat());
        // One of twelve trains seven epochs.
        let expected = "11 runs train like others up to their last epoch: 49 of 56 epochs";
        assert!(planned.stdout.contains(expected), "{}", planned.stdout);
        let output = project.kiln_ok(&arguments);
        let expected = "11 runs used 49 epochs that other runs had trained";
        assert!(output.stdout.contains(expected), "{}{}", output.stdout, output.stderr);
        assert_eq!(assert_as_alone(&project, "runs/shared"), 49);
        // Each run holds by itself: it is verified by training it alone.
        let shared = run_directories(&project.path("runs/shared"))
            .into_iter()
            .find(|run| shared_epochs(&project, run) > 0)
            .unwrap();
        project.kiln_ok(&["verify", shared.to_str().unwrap()]);
        let examined = project.kiln_ok(&["doctor", "runs/shared"]);
        assert!(examined.stdout.contains("12 intact"), "{}", examined.stdout);
    }
}

#[test]
fn early_stopping_monitors_metrics_and_averages_share_what_they_can() {
    let project = project();
    project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "epochs=6",
        "early_stopping={patience=1},{patience=2,restore_best=true},{patience=50}",
        "training.monitor=val_loss,val_macro_f1",
        "name=stopped",
    ]);
    assert!(assert_as_alone(&project, "runs/stopped") > 0);
    // A running average is a part of each step, so these share only with each other.
    project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "training.weights=last,average",
        "epochs=3,4",
        "top_k=[],[2]",
        "evaluate_training_set=false,true",
        "name=average",
    ]);
    assert!(assert_as_alone(&project, "runs/average") > 0);
}

#[test]
fn a_schedule_that_depends_on_the_number_of_epochs_shares_nothing() {
    let project = project();
    for (schedule, is_shared) in [("cosine", false), ("one_cycle", false), ("exponential", true)] {
        let output = project.kiln_ok(&[
            "sweep",
            "experiment.toml",
            "epochs=2,4",
            &format!("schedule.type={schedule}"),
            "--dry-run",
        ]);
        let found = output.stdout.contains("1 run trains like another up to its last epoch");
        assert_eq!(found, is_shared, "{schedule}: {}", output.stdout);
    }
}

#[test]
fn a_sweep_that_is_killed_and_resumed_has_the_same_bytes() {
    let project = project();
    let long =
        ["sweep", "experiment.toml", "epochs=30,60", "training.weights=last,best", "name=shared"];
    let mut sweep = start(&project, &long);
    wait_until("some epochs", || {
        run_directories(&project.path("runs/shared")).iter().any(|run| has_epochs(run, 10))
    });
    signal(sweep.id(), "-KILL");
    sweep.wait().unwrap();
    // A damaged epoch is trained again.
    let directory = fs::read_dir(project.path("runs/shared/.kiln/shared")).unwrap().next();
    let stored = directory.unwrap().unwrap().path().join("5.safetensors");
    let mut bytes = fs::read(&stored).unwrap();
    bytes[40] ^= 1;
    fs::write(&stored, bytes).unwrap();
    let resumed = start(&project, &["resume", "runs/shared"]);
    let output = CommandOutput::from(resumed.wait_with_output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(assert_as_alone(&project, "runs/shared") > 60);
    assert_eq!(results(&project, "runs/shared").len(), 4);
}
