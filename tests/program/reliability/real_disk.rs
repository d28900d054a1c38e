//! A file system that is really full, and one that is mounted read-only.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{in_memory_project, print_figures};
use crate::project::{CommandOutput, Project};
use crate::run_state::{Results, assert_resumes, assert_valid, only_run, status};

/// A file system in memory, unmounted when it is dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` if mounting is not allowed here.
    fn mount(at: &Path, kibibytes: usize) -> Option<Self> {
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

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        // A second panic would abort the process and hide the message of the first.
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

/// Runs a command on file systems that grow in steps of `step` KiB, until the command succeeds. Calls `check` with each
/// file system that was full. Returns how many were full, or `None` if mounting is not allowed.
fn on_growing_disks(
    step: usize,
    command: &[&str],
    mut check: impl FnMut(&Project, &Tmpfs, &CommandOutput, &str),
) -> Option<usize> {
    for full in 0.. {
        let kibibytes = (full + 1) * step;
        let project = in_memory_project();
        let disk = Tmpfs::mount(&project.path("runs"), kibibytes)?;
        let output = project.kiln(command);
        let context = format!("a disk of {kibibytes} KiB:\n{}", output.stderr);
        output.assert_no_panic(&context);
        if output.status == 0 {
            return Some(full);
        }
        assert!(kibibytes < 10_000, "the command does not succeed on any disk, {context}");
        assert_eq!(output.status, 1, "{context}");
        check(&project, &disk, &output, &context);
    }
    None
}

#[test]
fn full_disk_is_reported_and_the_run_resumes_once_there_is_space() {
    let uninterrupted = in_memory_project();
    uninterrupted.kiln_ok(&["run", "experiment.toml"]);
    let expected = Results::of(&only_run(&uninterrupted).unwrap());
    let mut resumed = 0;
    // 4 KiB, a page of memory, is the least that a file takes.
    let full =
        on_growing_disks(4, &["run", "experiment.toml"], |project, disk, output, context| {
            assert!(output.stderr.contains("the disk is full; free some space"), "{context}");
            let names_run = output.stderr.contains(" runs/columns");
            assert!(names_run, "the error does not name the place, {context}");
            if let Some(run) = only_run(project) {
                assert_valid(project, &run, &expected, context);
                assert!(!run.join("report.json").exists(), "{context}");
                resumed += usize::from(run.join("run.json").exists());
            }
            disk.remount("size=10m");
            assert_resumes(project, &expected, context);
        });
    let Some(full) = full else {
        return print_figures("full disk: skipped, since mounting is not allowed here");
    };
    assert!(full > 5 && resumed > 5, "{full} disks were full, {resumed} runs were resumed");
    print_figures(&format!("full disk: {full} sizes, {resumed} runs resumed"));
}

#[test]
fn sweep_on_a_full_disk_reports_why_and_resumes_once_there_is_space() {
    let sweep = ["sweep", "experiment.toml", "seed=1,2", "--jobs=2"];
    let full = on_growing_disks(12, &sweep, |project, disk, output, context| {
        // The sweep reports why each run failed, although there is no space for the log of the run either.
        for line in output.stderr.lines().filter(|line| line.contains("FAILED: ")) {
            assert!(line.contains("runs/columns"), "the error does not name the place, {context}");
            assert!(line.contains("the disk is full"), "{context}");
        }
        disk.remount("size=10m");
        let output = project.kiln(&sweep);
        assert_eq!(output.status, 0, "{}\nafter {context}", output.stderr);
        assert!(output.reports_all_finished(2), "{}", output.stdout);
    });
    let Some(full) = full else {
        return print_figures("full disk, sweep: skipped, since mounting is not allowed here");
    };
    assert!(full > 3, "{full} disks were full");
}

#[test]
fn read_only_disk_is_reported() {
    let project = in_memory_project();
    let Some(disk) = Tmpfs::mount(&project.path("runs"), 10_000) else {
        return print_figures("read-only disk: skipped, since mounting is not allowed here");
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
    let killed = command.args(["run", "experiment.toml"]).env("KILN_FAULT", "die@100").output();
    assert!(!killed.unwrap().status.success());
    disk.remount("ro");
    let run = only_run(&project).unwrap();
    let output = project.kiln(&["resume", run.to_str().unwrap()]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains(project.path("runs").to_str().unwrap()), "{}", output.stderr);
    assert_eq!(status(&run, "").as_deref(), Some("running"));
    disk.remount("rw");
    project.kiln_ok(&["resume", run.to_str().unwrap()]);
}
