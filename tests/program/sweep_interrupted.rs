//! Sweeps that are interrupted, or not alone.

use std::fs;
use std::process::Child;

use crate::project::{CommandOutput, Project};
use crate::reliability::processes::{children, signal, start, wait_until};
use crate::sweep::{statuses, trained_here};

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_is_told_with_its_log_and_run_again() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "epochs=100000,1,2", "--jobs=1"];
    let sweep = start(&project, &arguments);
    let process = sweep.id();
    let trains = || {
        let entries = fs::read_dir(project.path("runs/columns")).into_iter().flatten().flatten();
        let mut histories =
            entries.map(|entry| fs::read_to_string(entry.path().join("history.csv")));
        histories.any(|history| history.is_ok_and(|history| history.lines().count() > 3))
    };
    wait_until("the longest run", trains);
    let [child] = children(process)[..] else { panic!("one job is one process") };
    signal(child, "-KILL");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stdout.contains("3 runs: 2 finished, 1 failed"), "{}", output.stdout);
    assert!(
        output.stderr.contains("epochs=100000  FAILED: it was killed (signal 9)"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("\n    | "), "the end of its log:\n{}", output.stderr);
    let found = statuses(&project, "runs/columns");
    assert_eq!(found.values().filter(|status| *status == "failed").count(), 1, "{found:?}");

    // What crashed is run again, and nothing else.
    let sweep = start(&project, &arguments);
    let failed = found.iter().find(|(_, status)| *status == "failed").unwrap().0;
    wait_until("the failed run", || {
        let record = fs::read_to_string(project.path("runs/columns").join(failed).join("run.json"));
        record.is_ok_and(|record| record.contains("\"running\""))
    });
    signal(sweep.id(), "-INT");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    assert!(output.stdout.contains("2 finished, 1 interrupted"), "{}", output.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_stops_the_runs_and_the_same_command_goes_on() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3,4,5", "epochs=300", "--jobs=2"];
    let sweep = start(&project, &arguments);
    let process = sweep.id();
    wait_until("a second run", || {
        children(process).len() == 2 && project.path("runs/columns").exists()
    });
    let running = children(process);
    signal(process, "-INT");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    assert_eq!(output.last_line(), "runs/columns");
    for child in running {
        assert!(!project.path(&format!("/proc/{child}")).exists(), "{child} is left");
    }
    let found = statuses(&project, "runs/columns");
    assert!(found.values().all(|status| status != "running"), "{found:?}");
    let output = project.kiln(&["sweep", "experiment.toml", "seed=1,2,3,4,5", "epochs=300"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let found = statuses(&project, "runs/columns");
    assert_eq!(found.values().filter(|status| *status == "finished").count(), 5, "{found:?}");
}

/// As another machine does on a file system whose locks do not reach it, when this one was asleep.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_another_machine_has_taken_over_is_not_written_to_any_more() {
    let project = Project::new();
    let sweep = start(&project, &["sweep", "experiment.toml", "epochs=100000", "--jobs=1"]);
    let history =
        |run: &str| fs::read_to_string(project.path(&format!("runs/columns/{run}/history.csv")));
    let run = || {
        let entries = fs::read_dir(project.path("runs/columns")).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.find(|name| history(name).is_ok_and(|history| history.lines().count() > 3))
    };
    wait_until("the run", || run().is_some());
    let run = run().unwrap();
    let claim = format!("runs/columns/.kiln/{run}.claim");
    let holder = r#"{"format_version": 1, "machine": "ada", "boot": "another", "process": 17,
        "since": "2026-01-02T03:04:05Z"}"#;
    project.write(&claim, holder);
    wait_until("the end of the run here", || children(sweep.id()).is_empty());
    // The sweep waits for the other.
    signal(sweep.id(), "-INT");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    assert!(output.stderr.contains("was taken over by process 17 on ada"), "{}", output.stderr);
    assert!(output.stdout.contains("1 run: 1 not run"), "{}", output.stdout);
    // What is there is the other's, and so is the claim.
    assert_eq!(statuses(&project, "runs/columns")[&run], "running");
    assert!(!project.path(&format!("runs/columns/{run}/report.md")).exists());
    assert_eq!(project.read(&claim), holder);
}

#[test]
fn two_sweeps_at_once_share_the_work() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3,4,5,6,7,8", "epochs=300", "--jobs=2"];
    let sweeps: Vec<Child> = (0..3).map(|_| start(&project, &arguments)).collect();
    let output: Vec<CommandOutput> = sweeps
        .into_iter()
        .map(|sweep| CommandOutput::from(sweep.wait_with_output().unwrap()))
        .collect();
    for output in &output {
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.stdout.contains("8 runs: 8 finished"), "{}", output.stdout);
    }
    let trained: Vec<usize> = output.iter().map(trained_here).collect();
    assert_eq!(trained.iter().sum::<usize>(), 8, "each run once: {trained:?}");
    assert!(trained.iter().filter(|runs| **runs > 0).count() > 1, "one did it all: {trained:?}");
    assert_eq!(statuses(&project, "runs/columns").len(), 8);
}
