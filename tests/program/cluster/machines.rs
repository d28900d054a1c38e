//! A sweep that several machines share, with and without locks that reach from one to the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use super::stand_ins::{StandIns, preloaded};
use super::workers::{assert_same_results, outputs, start_workers};
use super::{SWEEP, project_with};
use crate::processes::{children, signal_all, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{has_epochs, run_directories, statuses};
use crate::sweep::runs_trained;

/// The claim of a process on another machine, whose lock does not reach this one.
fn write_claim(project: &Project, id: &str) -> PathBuf {
    fs::create_dir_all(project.path("runs/rates/.kiln")).unwrap();
    let claim = format!("runs/rates/.kiln/{id}.claim");
    let owner = r#"{"format_version": 1, "machine": "far", "boot": "other", "process": 7, "since": "2026-11-26T10:00:00Z"}"#;
    project.write(&claim, owner);
    project.path(claim)
}

fn set_age(path: &Path, seconds: i64) {
    let now = SystemTime::now();
    let age = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { now + age } else { now - age };
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_worker_leaves_live_owners_on_other_machines_alone_and_takes_over_from_dead_ones() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    let ids: Vec<String> = statuses(&project, "expected/rates").into_keys().collect();
    let (live, dead) = (&ids[3], &ids[7]);
    // The clock of the other machine, or of its file server, is minutes ahead: its heartbeats are in the future.
    let claim = write_claim(&project, live);
    set_age(&claim, -300);
    set_age(&write_claim(&project, dead), 150);
    let mut worker = start_workers(&project, &slurm, 1, &[]).pop().unwrap();
    let (mut beats, mut idle) = (0, 0);
    while worker.try_wait().unwrap().is_none() {
        sleep(Duration::from_secs(1));
        beats += 1;
        set_age(&claim, -300 - beats);
        let runs = run_directories(&project.path("runs/rates"));
        let finished = runs.iter().filter(|run| run.join("report.json").exists()).count();
        idle += usize::from(finished == 11);
        assert!(idle < 60, "the worker waits for a run that another process trains");
    }
    let output = CommandOutput::from(worker.wait_with_output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    let found = statuses(&project, "runs/rates");
    assert_eq!(found.len(), 11, "{found:?}");
    assert!(found.contains_key(dead) && !found.contains_key(live), "{found:?}");
    // When its heartbeat stops, the run is free.
    set_age(&claim, 150);
    for output in outputs(start_workers(&project, &slurm, 1, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_same_results(&project, "runs/rates", "expected/rates");
}

/// Runs `kiln` on another machine, as far as one can be had here: with another boot id, and on a file system without locks.
/// `None` if this is not permitted, or if there is no C compiler.
fn on_other_machine(project: &Project, name: &str) -> Option<Command> {
    let source =
        "#include <errno.h>\nint flock(int file, int operation) { errno = ENOLCK; return -1; }\n";
    let library = preloaded(project, "no-locks", source)?;
    project.write(format!("boot-{name}"), format!("boot-of-{name}\n"));
    let mount = format!("mount --bind boot-{name} /proc/sys/kernel/random/boot_id");
    let mut command = Command::new("unshare");
    command.current_dir(project.path(".")).args(["--mount", "sh", "-c"]);
    let mut probe = Command::new("unshare");
    probe.current_dir(project.path(".")).args(["--mount", "sh", "-c", &mount]);
    probe.stderr(Stdio::null()).status().ok().filter(ExitStatus::success)?;
    command.arg(format!("{mount} && exec env LD_PRELOAD={} \"$@\"", library.display()));
    command.args(["sh", env!("CARGO_BIN_EXE_kiln")]);
    Some(command)
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
#[test]
fn a_directory_whose_locks_end_at_the_machine_causes_a_warning() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let mounts = "21 1 8:1 / / rw - nfs4 server:/home rw,vers=4.2,local_lock=all\n";
    project.write("mounts", mounts);
    let mount = "mount --bind mounts /proc/$$/mountinfo";
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", project.path("slurm-commands").display());
        command.current_dir(project.path(".")).env("PATH", path);
        command.args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_kiln")]);
        CommandOutput::from(command.output().unwrap())
    };
    if run(mount).status != 0 {
        eprintln!("skipped: this test mounts a file as a list of mounts, which needs root");
        return;
    }
    // `exec` keeps the process id.
    let sweep = "sweep sweep.toml --launcher=slurm";
    let output = run(&format!("{mount} && exec \"$@\" {sweep}"));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let warning = "warning: the locks of the file system of runs/rates end at the machine (nfs4, local_lock=all)";
    assert!(output.stderr.contains(warning), "{}", output.stderr);
    let output = slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm"]);
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
#[test]
fn machines_without_common_locks_share_a_sweep() {
    let project = project_with(SWEEP);
    let few = ["learning_rate=0.1", "seed=1,2,3,4", "epochs=20"];
    let sweep = |machine: &str| -> Option<Child> {
        let mut command = on_other_machine(&project, machine)?;
        command.args(["sweep", "sweep.toml", "--jobs=1"]).args(few);
        Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    project.kiln_ok(&[["sweep", "sweep.toml", "--runs=expected"].as_slice(), &few].concat());
    let (Some(ada), Some(grace)) = (sweep("ada"), sweep("grace")) else {
        eprintln!(
            "skipped: this test mounts a file as another boot id, which needs root and a C compiler"
        );
        return;
    };
    let outputs = outputs(vec![ada, grace]);
    let trained: usize = outputs.iter().map(runs_trained).sum();
    for output in &outputs {
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.reports_all_finished(4), "{}", output.stdout);
    }
    assert_eq!(trained, 4, "{}{}", outputs[0].stderr, outputs[1].stderr);
    assert_same_results(&project, "runs/rates", "expected/rates");

    // One machine is lost in the middle of a run. The other takes over when the heartbeat is two minutes old.
    fs::remove_dir_all(project.path("runs")).unwrap();
    let lost = sweep("ada").unwrap();
    wait_until("some epochs", || {
        run_directories(&project.path("runs/rates")).iter().any(|run| has_epochs(run, 3))
    });
    signal_all(children(lost.id()).into_iter().chain([lost.id()]), "-KILL");
    lost.wait_with_output().unwrap();
    let claims = fs::read_dir(project.path("runs/rates/.kiln")).unwrap().flatten();
    let claims = claims
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "claim"));
    let claims: Vec<_> = claims.collect();
    assert_eq!(claims.len(), 1);
    claims.iter().for_each(|claim| set_age(claim, 115));
    let output = CommandOutput::from(sweep("grace").unwrap().wait_with_output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_same_results(&project, "runs/rates", "expected/rates");
}
