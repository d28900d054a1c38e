//! A real Slurm of several nodes on this machine: a controller, and a `slurmd` for each node. The tests need root and Debian's
//! packages `slurm-wlm` and `munge`, and are skipped with a message elsewhere, unless `KILN_REQUIRE_SLURM` is set. They take
//! minutes and the whole machine, so `cargo test` leaves them out. To run them:
//!
//! ```sh
//! cargo test --workspace --test program cluster::slurm -- --ignored --test-threads=1
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::project_with;
use super::slurm_cluster::{Cluster, LIMIT, NODE_TIMEOUT, wait_until};
use crate::processes::{is_alive, try_signal};
use crate::project::Project;
use crate::reliability::{Rng, print_figures, short_or_long};
use crate::run_state::{results, run_directories, statuses};

/// 24 runs that take about a second each.
fn sweep(epochs: usize) -> String {
    format!(
        "name = \"grid\"\nexperiment = \"experiment.toml\"\n\
         [grid]\nlearning_rate = [0.01, 0.03, 0.1, 0.3]\nhidden.units = [4, 8]\nepochs = [{epochs}]\n\
         [repeat]\nseed = [1, 2, 3]\n[slurm]\nworkers = 3\n"
    )
}

/// A project, and the results of its sweep on this machine in `expected/grid`.
fn project_with_results(epochs: usize) -> Project {
    let project = project_with(&sweep(epochs));
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    project
}

fn assert_expected(project: &Project) {
    let (found, expected) = (results(project, "runs/grid"), results(project, "expected/grid"));
    assert_eq!(found.len(), expected.len());
    for (id, result) in &found {
        result.assert_same(&expected[id], id);
    }
}

/// The output of all workers.
fn output_of_workers(project: &Project) -> String {
    let entries = fs::read_dir(project.path("runs/grid/.kiln/slurm")).unwrap().flatten();
    let outputs = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "out"));
    outputs.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The processes of the program whose arguments name a directory.
fn processes_in(directory: &Path) -> Vec<u32> {
    let name = directory.display().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let text = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        is_alive(*id) && String::from_utf8_lossy(&text).contains(&name)
    })
    .collect()
}

/// Whether a process is that of a run. Between fork and exec, it is still a copy of its worker.
fn is_run(process: u32) -> bool {
    let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    arguments.ends_with(b"\0work\0")
}

/// Whether a worker has closed the standard input of a run, by which it asks the run to stop.
fn is_asked_to_stop(run: u32, worker: u32) -> bool {
    let input = fs::read_link(format!("/proc/{run}/fd/0")).ok();
    let mut files = fs::read_dir(format!("/proc/{worker}/fd")).into_iter().flatten().flatten();
    !files.any(|file| fs::read_link(file.path()).ok() == input)
}

/// Suspends the runs of all workers, except those that have to stop.
fn suspend_runs(project: &Project) {
    for worker in processes_in(&project.path("runs")) {
        for run in crate::processes::children(worker).into_iter().filter(|it| is_run(*it)) {
            let signal = if is_asked_to_stop(run, worker) { "-CONT" } else { "-STOP" };
            try_signal(run, signal);
        }
    }
}

/// Continues what [`suspend_runs`] has suspended.
fn continue_runs(project: &Project) {
    for worker in processes_in(&project.path("runs")) {
        for run in crate::processes::children(worker) {
            try_signal(run, "-CONT");
        }
    }
}

const SUBMIT: [&str; 3] = ["sweep", "sweep.toml", "--launcher=slurm"];

#[test]
#[ignore = "starts a Slurm"]
fn a_sweep_on_three_nodes_has_the_bytes_of_a_local_one() {
    let Some(cluster) = Cluster::start(3) else { return };
    let project = project_with_results(6);
    cluster.kiln_ok(&project, &SUBMIT);
    // A second submission while the first one runs adds workers.
    let waited = cluster.kiln_ok(&project, &[SUBMIT.as_slice(), &["--wait"]].concat());
    assert!(waited.reports_all_finished(24), "{}", waited.stdout);
    assert!(waited.stdout.contains("best by validation"), "{}", waited.stdout);
    cluster.wait_for_end();
    assert_expected(&project);
    let trained = output_of_workers(&project).matches("  finished  last").count();
    assert_eq!(trained, 24, "each run is trained once");
    let status = cluster.kiln_ok(&project, &["status", "grid"]);
    assert!(status.stdout.contains("grid: 24 runs: 24 finished"), "{}", status.stdout);
    let again = cluster.kiln_ok(&project, &SUBMIT);
    assert!(again.stdout.contains("24 runs: all done"), "{}", again.stdout);
    assert!(processes_in(&project.path("runs")).is_empty());
}

#[test]
#[ignore = "starts a Slurm"]
fn what_slurm_refuses_is_reported_with_the_key_to_change() {
    let Some(cluster) = Cluster::start(1) else { return };
    let project = project_with(&sweep(1));
    for (argument, key) in [
        ("slurm.partition=nowhere", "slurm.partition"),
        ("slurm.gres=gpu:1", "slurm.gres"),
        ("slurm.mem=99999G", "slurm.mem"),
        ("slurm.constraint=quick", "slurm.constraint"),
        ("slurm.arguments=--no-such-option", "slurm.arguments"),
        ("slurm.workers=160", "slurm.workers"),
    ] {
        let output =
            cluster.kiln(&project, &[SUBMIT.as_slice(), &["seed=1..20", argument]].concat());
        assert_eq!(output.status, 1, "{argument}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains("Slurm refuses the job: "), "{argument}: {}", output.stderr);
        assert!(output.stderr.contains(key), "{argument}: {}", output.stderr);
    }
    assert!(cluster.is_empty());
}

#[test]
#[ignore = "starts a Slurm"]
fn cancel_gives_back_the_runs_and_the_sweep_can_be_submitted_again() {
    let Some(cluster) = Cluster::start(3) else { return };
    let project = project_with_results(6);
    let long = [SUBMIT.as_slice(), &["epochs=100000", "name=endless"]].concat();
    cluster.kiln_ok(&project, &long);
    wait_until("running runs", || {
        cluster.kiln(&project, &["status", "endless"]).stdout.contains("3 running")
    });
    let output = cluster.kiln_ok(&project, &["cancel", "endless"]);
    assert!(output.stderr.contains("canceled 3 workers in 1 job"), "{}", output.stderr);
    assert!(cluster.is_empty());
    let found = statuses(&project, "runs/endless");
    assert_eq!(found.len(), 3);
    assert!(found.values().all(|status| status == "interrupted"), "{found:?}");
    assert!(processes_in(&project.path("runs")).is_empty());
    // The controller is restarted while a job waits and another one runs.
    cluster.kiln_ok(&project, &SUBMIT);
    cluster.end("controller");
    cluster.start_controller();
    let output = cluster.kiln_ok(&project, &[SUBMIT.as_slice(), &["--wait"]].concat());
    assert!(output.reports_all_finished(24), "{}", output.stdout);
    assert_expected(&project);
}

#[test]
#[ignore = "starts a Slurm"]
fn the_runs_of_a_failed_node_are_taken_over() {
    let Some(cluster) = Cluster::with(3, 1, 8, "") else { return };
    let project = project_with_results(20);
    cluster.kiln_ok(&project, &SUBMIT);
    wait_until("running runs", || {
        cluster.kiln(&project, &["status", "grid"]).stdout.contains("3 running")
    });
    // The daemon of a node, its steps and everything below.
    let node = cluster.process("n2").unwrap();
    let worker = processes_in(&project.path("runs"));
    let on_node = |process: &u32| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains("SLURMD_NODENAME=n2")
    };
    let mut processes = vec![node];
    for process in worker.into_iter().filter(on_node) {
        processes.extend(crate::processes::children(process).into_iter().chain([process]));
    }
    // Some of them may have ended since.
    let mut kill = Command::new("kill");
    kill.arg("-KILL").args(processes.iter().map(u32::to_string)).stderr(Stdio::null());
    kill.status().unwrap();
    wait_until("the remaining runs", || {
        cluster.hurry();
        cluster.kiln(&project, &["status", "grid"]).stdout.contains("24 runs: 24 finished")
    });
    assert_expected(&project);
    cluster.start_node(2);
}

#[test]
#[ignore = "starts a Slurm"]
fn preempted_and_canceled_workers_lose_nothing() {
    let Some(cluster) = Cluster::start(3) else { return };
    let rounds = short_or_long(1, 4);
    let mut events = [0; 4];
    for round in 0..rounds {
        let mut rng = Rng::new("preemption", round);
        let project = project_with_results(short_or_long(20, 100));
        let mut finished = BTreeMap::new();
        cluster.kiln_ok(&project, &SUBMIT);
        let started = Instant::now();
        loop {
            let limit = short_or_long(1, 4) * LIMIT;
            assert!(started.elapsed() < limit, "{}", output_of_workers(&project));
            sleep(Duration::from_millis(200 + rng.below(1500) as u64));
            // A finished run never changes again.
            for run in run_directories(&project.path("runs/grid")) {
                if run.join("report.json").exists()
                    && let Ok(record) = fs::read_to_string(run.join("run.json"))
                    && record.contains("\"finished\"")
                {
                    assert_eq!(finished.entry(run).or_insert_with(|| record.clone()), &record);
                }
            }
            if finished.len() == 24 {
                break;
            }
            let running =
                cluster.run("squeue", &["-h", "-r", "-t", "RUNNING", "-p", "main", "-o", "%A"]);
            let running: Vec<&str> = running.lines().map(str::trim).collect();
            let event = rng.below(5);
            match event {
                0 => {
                    cluster
                        .run("sbatch", &["-p", "urgent", "-o", "/dev/null", "--wrap", "sleep 1"]);
                }
                1 if !running.is_empty() => {
                    cluster.run("scancel", &[running[rng.below(running.len())]]);
                }
                2 if !running.is_empty() => {
                    cluster.run("scontrol", &["requeue", running[rng.below(running.len())]]);
                }
                3 if !running.is_empty() => {
                    let job = running[rng.below(running.len())];
                    // If the job was preempted at the same moment, `scancel` tries again for many minutes.
                    let scancel = ["5", "scancel", "--batch", "--signal=USR2", job];
                    cluster.run("timeout", &scancel);
                }
                _ => {
                    cluster.kiln_ok(&project, &SUBMIT);
                    continue;
                }
            }
            events[event] += 1;
            cluster.hurry();
        }
        assert_expected(&project);
        cluster.kiln_ok(&project, &["cancel", "grid"]);
        cluster.wait_for_end();
        assert!(processes_in(&project.path("runs")).is_empty());
    }
    print_figures(&format!(
        "cluster: {rounds} sweeps of 24 runs; {} preemptions, {} scancel, {} requeues, {} signals before a limit",
        events[0], events[1], events[2], events[3]
    ));
}

#[test]
#[ignore = "starts a Slurm"]
fn a_run_that_needs_longer_than_the_time_limit_gets_there_in_pieces() {
    // The workers end with this status. In the other tests, they call `scontrol requeue`.
    let requeue = "RequeueExit=99";
    let Some(cluster) = Cluster::with(2, 1, NODE_TIMEOUT, requeue) else { return };
    let is_long = short_or_long(false, true);
    // In the long form about as many epochs as the shortest time limit of Slurm allows, several times.
    let project = project_with(&sweep(short_or_long(60, 1500)));
    let few = ["learning_rate=0.1", "hidden.units=8", "seed=1,2"];
    project.kiln_ok(&[["sweep", "sweep.toml", "--runs=expected"].as_slice(), &few].concat());
    cluster.kiln_ok(&project, &[SUBMIT.as_slice(), &few, &["slurm.time=1"]].concat());
    let started = Instant::now();
    let pieces = || output_of_workers(&project).matches("gave back 1 run").count();
    // Slurm has no shorter limit than a minute. In the short form, the runs need longer because they are suspended until their
    // worker is signaled.
    while !is_long && pieces() < 2 {
        assert!(started.elapsed() < LIMIT, "{}", output_of_workers(&project));
        suspend_runs(&project);
        cluster.hurry();
        sleep(Duration::from_millis(100));
    }
    continue_runs(&project);
    while !cluster.kiln(&project, &["status", "grid"]).stdout.contains("2 runs: 2 finished") {
        assert!(started.elapsed() < 2 * LIMIT, "{}", output_of_workers(&project));
        cluster.hurry();
        sleep(Duration::from_secs(1));
    }
    assert_expected(&project);
    let pieces = pieces();
    assert!(pieces >= 2, "{pieces}");
    print_figures(&format!("cluster: two runs in {pieces} pieces of a minute"));
}

#[test]
#[ignore = "starts a Slurm"]
fn workers_of_which_a_fifth_is_preempted_train_every_run_once() {
    let (processors, seeds) = short_or_long((3, 3), (20, 20));
    let (workers, runs) = (5 * processors, 8 * seeds);
    let Some(cluster) = Cluster::with(5, processors, NODE_TIMEOUT, "") else { return };
    let project = project_with(&sweep(short_or_long(20, 10)));
    let seeds = format!("seed=1..{seeds}");
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected", &seeds]);
    let more = [seeds, format!("slurm.workers={workers}")];
    cluster.kiln_ok(&project, &[SUBMIT.as_slice(), &more.each_ref().map(String::as_str)].concat());
    let is_done = || {
        let status = cluster.kiln(&project, &["status", "grid"]).stdout;
        status.contains(&format!("{runs} runs: {runs} finished"))
    };
    let running =
        || cluster.run("squeue", &["-h", "-r", "-t", "RUNNING", "-p", "main"]).lines().count();
    // Suspended runs do not end before a worker is preempted, however fast the machine is.
    wait_until("all workers", || {
        suspend_runs(&project);
        running() == workers
    });
    // A job of higher priority takes one of the five nodes.
    let mut rng = Rng::new("preempted", 0);
    sleep(Duration::from_millis(rng.below(1000) as u64));
    let node = format!("--nodelist=n{}", 1 + rng.below(5));
    let urgent = ["-p", "urgent", "--exclusive", &node, "-o", "/dev/null", "--wrap", "sleep 1"];
    cluster.run("sbatch", &urgent);
    let preempted = || {
        let jobs = cluster.run("scontrol", &["show", "jobs", "--oneliner"]);
        let restarts = jobs.split_whitespace().filter_map(|field| field.strip_prefix("Restarts="));
        restarts.map(|number| number.parse::<usize>().unwrap()).sum::<usize>()
    };
    wait_until("preempted workers", || {
        suspend_runs(&project);
        cluster.hurry();
        preempted() > 0
    });
    continue_runs(&project);
    wait_until("the remaining runs", || {
        cluster.hurry();
        is_done()
    });
    let preempted = preempted();
    assert_expected(&project);
    let trained = output_of_workers(&project).matches("  finished  last").count();
    assert_eq!(trained, runs, "each run is trained once");
    cluster.kiln_ok(&project, &["cancel", "grid"]);
    cluster.wait_for_end();
    assert!(processes_in(&project.path("runs")).is_empty());
    print_figures(&format!(
        "cluster: {runs} runs, {workers} workers, {preempted} of them preempted"
    ));
}

#[test]
#[ignore = "starts a Slurm"]
fn directories_may_have_spaces_and_characters_with_a_meaning_for_slurm() {
    let Some(cluster) = Cluster::start(1) else { return };
    let project = project_with(&sweep(1));
    let runs = "it's #1 at 50%j \"$HOME\"/runs";
    let few = ["learning_rate=0.1", "hidden.units=8", "seed=1,2", "slurm.workers=1"];
    let option = format!("--runs={runs}");
    let output =
        cluster.kiln_ok(&project, &[SUBMIT.as_slice(), &few, &[&option, "--wait"]].concat());
    assert!(output.reports_all_finished(2), "{}", output.stdout);
    let directory = project.path(runs).join("grid/.kiln/slurm");
    let outputs: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "out"))
        .collect();
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    assert!(fs::read_to_string(&outputs[0]).unwrap().contains("worker of grid"));
}
