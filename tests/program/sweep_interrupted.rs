//! Sweeps that are interrupted, or not alone.

use std::fs;
use std::process::Child;

use crate::reliability::processes::{children, signal, start, wait_until};
use crate::sweep::{statuses, trained_here};
use crate::world::{Ran, World};

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_is_told_with_its_log_and_run_again() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "epochs=100000,1,2", "--jobs=1"];
    let sweep = start(&world, &arguments);
    let process = sweep.id();
    let trains = || {
        let entries = fs::read_dir(world.path("runs/columns")).into_iter().flatten().flatten();
        let mut histories =
            entries.map(|entry| fs::read_to_string(entry.path().join("history.csv")));
        histories.any(|history| history.is_ok_and(|history| history.lines().count() > 3))
    };
    wait_until("the longest run", trains);
    let [child] = children(process)[..] else { panic!("one job is one process") };
    signal(child, "-KILL");
    let ran = Ran::from(sweep.wait_with_output().unwrap());
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("3 runs: 2 finished, 1 failed"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("epochs=100000  FAILED: the process was killed (signal 9)"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("\n    | "), "the end of its log:\n{}", ran.stderr);
    let found = statuses(&world, "runs/columns");
    assert_eq!(found.values().filter(|status| *status == "failed").count(), 1, "{found:?}");

    // What crashed is run again, and nothing else.
    let sweep = start(&world, &arguments);
    let failed = found.iter().find(|(_, status)| *status == "failed").unwrap().0;
    wait_until("the failed run", || {
        let record = fs::read_to_string(world.path("runs/columns").join(failed).join("run.json"));
        record.is_ok_and(|record| record.contains("\"running\""))
    });
    signal(sweep.id(), "-INT");
    let ran = Ran::from(sweep.wait_with_output().unwrap());
    assert_eq!(ran.status, 130, "{}", ran.stderr);
    assert!(ran.stdout.contains("2 finished, 1 interrupted"), "{}", ran.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_stops_the_runs_and_the_same_command_goes_on() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3,4,5", "epochs=300", "--jobs=2"];
    let sweep = start(&world, &arguments);
    let process = sweep.id();
    wait_until("a second run", || {
        children(process).len() == 2 && world.path("runs/columns").exists()
    });
    let running = children(process);
    signal(process, "-INT");
    let ran = Ran::from(sweep.wait_with_output().unwrap());
    assert_eq!(ran.status, 130, "{}", ran.stderr);
    assert_eq!(ran.last_line(), "runs/columns");
    for child in running {
        assert!(!world.path(&format!("/proc/{child}")).exists(), "{child} is left");
    }
    let found = statuses(&world, "runs/columns");
    assert!(found.values().all(|status| status != "running"), "{found:?}");
    let ran = world.kiln(&["sweep", "experiment.toml", "seed=1,2,3,4,5", "epochs=300"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let found = statuses(&world, "runs/columns");
    assert_eq!(found.values().filter(|status| *status == "finished").count(), 5, "{found:?}");
}

/// As another machine does on a file system whose locks do not reach it, when this one was asleep.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_another_machine_has_taken_over_is_not_written_to_any_more() {
    let world = World::new();
    let sweep = start(&world, &["sweep", "experiment.toml", "epochs=100000", "--jobs=1"]);
    let history =
        |run: &str| fs::read_to_string(world.path(&format!("runs/columns/{run}/history.csv")));
    let run = || {
        let entries = fs::read_dir(world.path("runs/columns")).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.find(|name| history(name).is_ok_and(|history| history.lines().count() > 3))
    };
    wait_until("the run", || run().is_some());
    let run = run().unwrap();
    let claim = format!("runs/columns/.kiln/{run}.claim");
    let holder = r#"{"format_version": 1, "machine": "ada", "boot": "another", "process": 17,
        "since": "2026-01-02T03:04:05Z"}"#;
    world.write(&claim, holder);
    wait_until("the end of the run here", || children(sweep.id()).is_empty());
    // The sweep waits for the other.
    signal(sweep.id(), "-INT");
    let ran = Ran::from(sweep.wait_with_output().unwrap());
    assert_eq!(ran.status, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("was taken over by process 17 on ada"), "{}", ran.stderr);
    assert!(ran.stdout.contains("1 run: 1 not run"), "{}", ran.stdout);
    // What is there is the other's, and so is the claim.
    assert_eq!(statuses(&world, "runs/columns")[&run], "running");
    assert!(!world.path(&format!("runs/columns/{run}/report.md")).exists());
    assert_eq!(world.read(&claim), holder);
}

#[test]
fn two_sweeps_at_once_share_the_work() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3,4,5,6,7,8", "epochs=300", "--jobs=2"];
    let sweeps: Vec<Child> = (0..3).map(|_| start(&world, &arguments)).collect();
    let ran: Vec<Ran> =
        sweeps.into_iter().map(|sweep| Ran::from(sweep.wait_with_output().unwrap())).collect();
    for ran in &ran {
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("8 runs: 8 finished"), "{}", ran.stdout);
    }
    let trained: Vec<usize> = ran.iter().map(trained_here).collect();
    assert_eq!(trained.iter().sum::<usize>(), 8, "each run once: {trained:?}");
    assert!(trained.iter().filter(|runs| **runs > 0).count() > 1, "one did it all: {trained:?}");
    assert_eq!(statuses(&world, "runs/columns").len(), 8);
}
