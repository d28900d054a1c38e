//! A disk that is really full, and one that may only be read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::run_state::{Results, assert_no_panic, assert_resumes, assert_valid, only_run, status};
use super::{in_memory_project, tell};
use crate::project::{CommandOutput, Project};

/// A disk of its own, in memory, taken away when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where that is not allowed.
    fn new(at: &Path, kibibytes: usize) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={kibibytes}k");
        let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], at);
        mounted.then(|| Self(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}")], &self.0), "{options}");
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let mut mount = Command::new("mount");
    let mount = mount.args(arguments).arg(at).stderr(Stdio::null());
    mount.status().is_ok_and(|status| status.success())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        // Where a test has failed already, that is what to tell.
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

/// Runs a command on disks that are each larger than the last by `step` KiB, until all of it fits, and gives `check` each
/// that is full. The number of these; `None` where mounting is not allowed.
fn until_it_fits(
    step: usize,
    command: &[&str],
    mut check: impl FnMut(&Project, &Mounted, &CommandOutput, &str),
) -> Option<usize> {
    for full in 0.. {
        let kibibytes = (full + 1) * step;
        let project = in_memory_project();
        let disk = Mounted::new(&project.path("runs"), kibibytes)?;
        let output = project.kiln(command);
        let context = format!("a disk of {kibibytes} KiB:\n{}", output.stderr);
        assert_no_panic(&output, &context);
        if output.status == 0 {
            return Some(full);
        }
        assert!(kibibytes < 10_000, "it never fits, {context}");
        assert_eq!(output.status, 1, "{context}");
        check(&project, &disk, &output, &context);
    }
    None
}

#[test]
fn a_full_disk_is_told_and_with_room_the_run_goes_on_to_the_same_result() {
    let undisturbed = {
        let project = in_memory_project();
        assert_eq!(project.kiln(&["run", "experiment.toml"]).status, 0);
        Results::of(&only_run(&project).unwrap())
    };
    let mut resumed = 0;
    // A page of memory is the least that a file takes.
    let full = until_it_fits(4, &["run", "experiment.toml"], |project, disk, output, context| {
        assert!(output.stderr.contains("the disk is full; free some space"), "{context}");
        assert!(output.stderr.contains(" runs/columns"), "where? {context}");
        if let Some(run) = only_run(project) {
            assert_valid(project, &run, &undisturbed, context);
            assert!(!run.join("report.json").exists(), "{context}");
            resumed += usize::from(run.join("run.json").exists());
        }
        disk.remount("size=10m");
        assert_resumes(project, &undisturbed, context);
    });
    let Some(full) = full else {
        return tell("full disk: skipped, for mounting is not allowed here");
    };
    assert!(full > 5 && resumed > 5, "{full} disks were full, {resumed} runs went on");
    tell(&format!("full disk: {full} sizes, {resumed} runs resumed"));
}

/// Each run's reason comes to the sweep's end, though there is no room for its log either.
#[test]
fn a_sweep_on_a_full_disk_says_why_and_with_room_goes_on() {
    let sweep = ["sweep", "experiment.toml", "seed=1,2", "--jobs=2"];
    let full = until_it_fits(12, &sweep, |project, disk, output, context| {
        for line in output.stderr.lines().filter(|line| line.contains("FAILED: ")) {
            assert!(line.contains("runs/columns"), "where? {context}");
            assert!(line.contains("the disk is full"), "{context}");
        }
        disk.remount("size=10m");
        let output = project.kiln(&sweep);
        assert_eq!(output.status, 0, "{}\nafter {context}", output.stderr);
        assert!(output.stdout.contains("2 runs: 2 finished"), "{}", output.stdout);
    });
    let Some(full) = full else {
        return tell("a sweep on a full disk: skipped, for mounting is not allowed here");
    };
    assert!(full > 3, "{full} disks were full");
}

#[test]
fn a_directory_that_may_only_be_read_is_told() {
    let project = in_memory_project();
    let Some(disk) = Mounted::new(&project.path("runs"), 10_000) else {
        tell("read-only: skipped, for mounting is not allowed here");
        return;
    };
    disk.remount("ro");
    let output = project.kiln(&["run", "experiment.toml"]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(
        output.stderr.contains("error: cannot create the directory runs/columns"),
        "{}",
        output.stderr
    );

    disk.remount("rw");
    let mut command = project.command();
    let died = command.args(["run", "experiment.toml"]).env("KILN_FAULT", "die@100").output();
    assert!(!died.unwrap().status.success());
    disk.remount("ro");
    let run = only_run(&project).unwrap();
    let output = project.kiln(&["resume", run.to_str().unwrap()]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains(project.path("runs").to_str().unwrap()), "{}", output.stderr);
    assert_eq!(status(&run, "").as_deref(), Some("running"));
    disk.remount("rw");
    assert_eq!(project.kiln(&["resume", run.to_str().unwrap()]).status, 0);
}
