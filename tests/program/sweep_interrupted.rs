//! Sweeps that are interrupted, and concurrent sweeps.

use std::fs;
use std::process::Child;

use crate::processes::start;
#[cfg(target_os = "linux")]
use crate::processes::{children, signal, wait_until};
use crate::project::{CommandOutput, Project};
#[cfg(target_os = "linux")]
use crate::run_state::{has_epochs, run_directories};
use crate::run_state::{statuses, with_status};
use crate::sweep::{PRUNING_SWEEP, runs_trained};

#[cfg(target_os = "linux")]
#[test]
fn killed_run_is_reported_with_its_log_and_trained_again() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "epochs=100000,1,2", "--jobs=1"];
    let sweep = start(&project, &arguments);
    let process = sweep.id();
    // The sweep starts with the longest run. The others have fewer than three epochs.
    wait_until("the longest run", || {
        run_directories(&project.path("runs/columns")).iter().any(|run| has_epochs(run, 3))
    });
    let [child] = children(process)[..] else { panic!("expected one process per job") };
    signal(child, "-KILL");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stdout.contains("3 runs: 2 finished, 1 failed"), "{}", output.stdout);
    assert!(
        output.stderr.contains("epochs=100000  FAILED: the process was killed (signal 9)"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("\n    | "),
        "the end of its log is missing:\n{}",
        output.stderr
    );
    let failed = with_status(&project, "runs/columns", "failed");
    assert_eq!(failed.len(), 1, "{failed:?}");

    // The same sweep trains only the failed run.
    let sweep = start(&project, &arguments);
    wait_until("the failed run", || {
        let record =
            fs::read_to_string(project.path(format!("runs/columns/{}/run.json", failed[0])));
        record.is_ok_and(|record| record.contains("\"running\""))
    });
    signal(sweep.id(), "-INT");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    assert!(output.stdout.contains("2 finished, 1 interrupted"), "{}", output.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_stops_the_runs_and_the_same_command_resumes() {
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
        assert!(!project.path(format!("/proc/{child}")).exists(), "process {child} still runs");
    }
    let found = statuses(&project, "runs/columns");
    assert!(found.values().all(|status| status != "running"), "{found:?}");
    project.kiln_ok(&["sweep", "experiment.toml", "seed=1,2,3,4,5", "epochs=300"]);
    let finished = with_status(&project, "runs/columns", "finished");
    assert_eq!(finished.len(), 5, "{finished:?}");
}

/// Another machine takes over a run if the file system does not share locks and this machine was suspended.
#[cfg(target_os = "linux")]
#[test]
fn run_that_another_machine_took_over_is_not_written_to() {
    let project = Project::new();
    let sweep = start(&project, &["sweep", "experiment.toml", "epochs=100000", "--jobs=1"]);
    let run = || {
        let runs = run_directories(&project.path("runs/columns"));
        runs.into_iter().find(|run| has_epochs(run, 3))
    };
    wait_until("the run", || run().is_some());
    let run = run().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let owner_file = format!("runs/columns/.kiln/{run}.claim");
    let owner = r#"{"format_version": 1, "machine": "ada", "boot": "another", "process": 17,
        "since": "2026-01-02T03:04:05Z"}"#;
    project.write(&owner_file, owner);
    wait_until("the end of the run here", || children(sweep.id()).is_empty());
    // The sweep still waits for the other machine to finish the run.
    signal(sweep.id(), "-INT");
    let output = CommandOutput::from(sweep.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    assert!(output.stderr.contains("was taken over by process 17 on ada"), "{}", output.stderr);
    assert!(output.stdout.contains("1 run: 1 not run"), "{}", output.stdout);
    // The sweep has not changed the run or its lock, which belong to the other machine now.
    assert_eq!(statuses(&project, "runs/columns")[&run], "running");
    assert!(!project.path(format!("runs/columns/{run}/report.md")).exists());
    assert_eq!(project.read(&owner_file), owner);
}

#[test]
fn concurrent_sweeps_share_the_runs() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3,4,5,6,7,8", "epochs=300", "--jobs=2"];
    let sweeps: Vec<Child> = (0..3).map(|_| start(&project, &arguments)).collect();
    let outputs: Vec<CommandOutput> = sweeps
        .into_iter()
        .map(|sweep| CommandOutput::from(sweep.wait_with_output().unwrap()))
        .collect();
    for output in &outputs {
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.stdout.contains("8 runs: 8 finished"), "{}", output.stdout);
    }
    let trained: Vec<usize> = outputs.iter().map(runs_trained).collect();
    assert_eq!(trained.iter().sum::<usize>(), 8, "not each run once: {trained:?}");
    assert!(
        trained.iter().filter(|runs| **runs > 0).count() > 1,
        "one sweep trained all runs: {trained:?}"
    );
    assert_eq!(statuses(&project, "runs/columns").len(), 8);
}

#[test]
fn concurrent_sweeps_prune_the_same_runs() {
    let project = Project::new();
    project.write("sweep.toml", PRUNING_SWEEP);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected", "--jobs=1"]);
    let expected = statuses(&project, "expected/pruned");
    assert_eq!(expected.values().filter(|status| *status == "pruned").count(), 5, "{expected:?}");
    let sweeps: Vec<Child> =
        (0..3).map(|_| start(&project, &["sweep", "sweep.toml", "--jobs=2"])).collect();
    for sweep in sweeps {
        let output = CommandOutput::from(sweep.wait_with_output().unwrap());
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.stdout.contains("6 runs: 1 finished, 5 pruned; in "), "{}", output.stdout);
    }
    assert_eq!(statuses(&project, "runs/pruned"), expected);
}
