//! Workers, started by their batch script as Slurm starts them, without Slurm.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::stand_ins::{StandIns, preloaded};
use super::{SWEEP, project_with};
use crate::processes::{children, is_alive, signal, signal_all, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{has_epochs, results, run_directories, start_times, statuses};
use crate::sweep::{PRUNING_SWEEP, runs_trained};

/// Submits `sweep.toml` and starts the workers of the job.
pub(super) fn start_workers(
    project: &Project,
    slurm: &StandIns<'_>,
    count: usize,
    more: &[&str],
) -> Vec<Child> {
    let workers = format!("slurm.workers={count}");
    let arguments = ["sweep", "sweep.toml", "--launcher=slurm", &workers];
    let output = slurm.kiln_ok(&[arguments.as_slice(), more].concat());
    let job: usize = slurm.read("next").trim().parse::<usize>().unwrap() - 1;
    let script = project.path(output.last_line()).join(format!(".kiln/slurm/job-{job}.sh"));
    (0..count).map(|index| start_worker(slurm, &script, job, index, count)).collect()
}

fn start_worker(
    slurm: &StandIns<'_>,
    script: &std::path::Path,
    job: usize,
    index: usize,
    count: usize,
) -> Child {
    let mut task = slurm.task(script, &job.to_string(), index, count);
    task.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(super) fn outputs(workers: Vec<Child>) -> Vec<CommandOutput> {
    workers.into_iter().map(|it| CommandOutput::from(it.wait_with_output().unwrap())).collect()
}

/// Asserts that two sweeps have the same runs with the same results.
pub(super) fn assert_same_results(project: &Project, sweep: &str, expected: &str) {
    let (found, expected) = (results(project, sweep), results(project, expected));
    let ids: Vec<_> = found.keys().collect();
    assert_eq!(ids, expected.keys().collect::<Vec<_>>());
    for (id, result) in &found {
        result.assert_same(&expected[id], id);
    }
}

#[test]
fn workers_draw_the_samples_of_a_sweep_together() {
    let project = project_with(crate::sampling::SWEEP);
    let slurm = StandIns::new(&project);
    let mut trained = 0;
    for output in outputs(start_workers(&project, &slurm, 3, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
        trained += output.stderr.matches("  finished  last").count();
    }
    assert_eq!((trained, statuses(&project, "runs/tpe").len()), (14, 14));
    let status = project.kiln_ok(&["status", "runs/tpe"]);
    assert!(status.stdout.contains("tpe: 14 runs: 14 finished"), "{}", status.stdout);
    let again = slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm"]);
    assert!(again.stdout.contains("14 runs: all done"), "{}", again.stdout);
}

#[test]
fn workers_share_a_budget_of_time() {
    let sweep = crate::sampling::SWEEP.replace("count = 14", "budget = \"30s\"");
    let project = project_with(&sweep);
    let slurm = StandIns::new(&project);
    for output in outputs(start_workers(&project, &slurm, 2, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    let found = statuses(&project, "runs/tpe");
    let is_complete = |status: &String| ["finished", "pruned", "diverged"].contains(&&**status);
    assert!(!found.is_empty() && found.values().all(is_complete), "{found:?}");
    let again = project.kiln_ok(&["resume", "runs/tpe"]);
    assert_eq!(runs_trained(&again), 0, "{}", again.stdout);
    assert!(again.stdout.contains(" of the budget of 30.0 s"), "{}", again.stdout);
}

#[test]
fn workers_train_every_run_once_with_the_bytes_of_a_local_sweep() {
    let project = project_with(SWEEP);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    let slurm = StandIns::new(&project);
    let outputs = outputs(start_workers(&project, &slurm, 5, &[]));
    let mut trained = 0;
    for output in &outputs {
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.stderr.contains("no free run is left"), "{}", output.stderr);
        trained += output.stderr.matches("  finished  last").count();
    }
    assert_eq!(trained, 12, "each run is trained once");
    assert_same_results(&project, "runs/rates", "expected/rates");
    let doctor = project.kiln_ok(&["doctor", "runs/rates"]);
    assert!(doctor.stdout.contains("12"), "{}", doctor.stdout);
    // The marks are only hints: without a run's directory, it is trained again.
    let id = statuses(&project, "runs/rates").into_keys().next().unwrap();
    std::fs::remove_dir_all(project.path(format!("runs/rates/{id}"))).unwrap();
    let before = start_times(&project, "runs/rates");
    for output in self::outputs(start_workers(&project, &slurm, 1, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    let after = start_times(&project, "runs/rates");
    assert_eq!(after.len(), 12);
    assert!(
        before.iter().all(|(run, time)| after[run] == *time),
        "only the missing run was trained"
    );
}

#[test]
fn a_run_that_is_trained_again_and_interrupted_is_not_done() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let one = ["learning_rate=0.1", "seed=1", "epochs=500"];
    let train = || {
        for output in outputs(start_workers(&project, &slurm, 1, &one)) {
            assert_eq!(output.status, 0, "{}", output.stderr);
        }
        assert_eq!(
            statuses(&project, "runs/rates").into_values().collect::<Vec<_>>(),
            ["finished"]
        );
    };
    train();
    let run = run_directories(&project.path("runs/rates")).pop().unwrap();
    std::fs::remove_dir_all(&run).unwrap();
    let worker = start_workers(&project, &slurm, 1, &one).pop().unwrap();
    wait_until("some epochs", || has_epochs(&run, 3));
    signal(worker.id(), "-TERM");
    let output = CommandOutput::from(worker.wait_with_output().unwrap());
    assert!(output.stderr.contains("gave back 1 run"), "{}", output.stderr);
    train();
}

#[test]
fn a_signal_before_the_time_limit_makes_the_worker_give_back_its_run() {
    for status in [None, Some(99)] {
        let project = project_with(SWEEP);
        let slurm = StandIns::new(&project);
        if let Some(status) = status {
            slurm.write("config", &format!("RequeueExit             = {status}\n"));
        }
        let long = ["learning_rate=0.1", "seed=1,2", "epochs=90"];
        project.kiln_ok(&[["sweep", "sweep.toml", "--runs=expected"].as_slice(), &long].concat());
        let mut workers = start_workers(&project, &slurm, 1, &long);
        let (script, job) = (project.path("runs/rates/.kiln/slurm/job-4711.sh"), 4711);
        let (mut rounds, mut given_back) = (0, 0);
        loop {
            rounds += 1;
            let worker = workers.pop().unwrap();
            let sent = wait_for_epochs(&project, &worker);
            if sent {
                signal(worker.id(), "-USR2");
            }
            let output = CommandOutput::from(worker.wait_with_output().unwrap());
            if output.stderr.contains("no free run is left") {
                assert_eq!(output.status, 0, "{}", output.stderr);
                break;
            }
            assert_eq!(output.status, status.unwrap_or(0), "{}", output.stderr);
            // The run may have ended by itself at this moment.
            let is_given_back = output.stderr.contains("gave back 1 run");
            assert!(
                is_given_back || output.stderr.contains("gave back 0 runs"),
                "{}",
                output.stderr
            );
            given_back += usize::from(is_given_back);
            let found = statuses(&project, "runs/rates");
            assert!(found.values().all(|it| it == "finished" || it == "interrupted"), "{found:?}");
            workers.push(start_worker(&slurm, &script, job, 0, 1));
        }
        assert!(given_back >= 2, "{given_back} of {rounds}");
        let requeued = slurm.read("requeued").lines().count();
        assert_eq!(requeued, if status.is_some() { 0 } else { rounds - 1 });
        assert_same_results(&project, "runs/rates", "expected/rates");
    }
}

/// Waits until the worker has trained some epochs of a run. Returns false if it has ended before.
fn wait_for_epochs(project: &Project, worker: &Child) -> bool {
    let epochs = || -> usize {
        let runs = run_directories(&project.path("runs/rates"));
        let lines = |run: &std::path::PathBuf| {
            std::fs::read_to_string(run.join("history.csv")).map_or(0, |it| it.lines().count())
        };
        runs.iter().map(lines).sum()
    };
    let start = epochs();
    wait_until("some epochs", || epochs() > start + 25 || !is_alive(worker.id()));
    is_alive(worker.id())
}

#[test]
fn a_preempted_worker_writes_checkpoints_and_ends_with_the_status_of_the_signal() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let worker = start_workers(&project, &slurm, 1, &["epochs=100000"]).pop().unwrap();
    wait_until("some epochs", || {
        run_directories(&project.path("runs/rates")).iter().any(|run| has_epochs(run, 3))
    });
    // Slurm signals all processes of the job, and repeats it.
    let runs = children(worker.id());
    signal_all(runs.iter().copied().chain([worker.id()]), "-TERM");
    sleep(Duration::from_millis(50));
    crate::processes::try_signal(worker.id(), "-TERM");
    let output = CommandOutput::from(worker.wait_with_output().unwrap());
    assert_eq!(output.status, 143, "{}", output.stderr);
    assert!(output.stderr.contains("gave back 1 run"), "{}", output.stderr);
    assert!(!output.stderr.contains("FAILED"), "{}", output.stderr);
    assert!(runs.iter().all(|run| !is_alive(*run)));
    let found = statuses(&project, "runs/rates");
    assert_eq!(found.into_values().collect::<Vec<_>>(), ["interrupted"]);
    let output = slurm.kiln_ok(&["status", "rates"]);
    assert!(output.stdout.contains("1 interrupted, 11 waiting"), "{}", output.stdout);
}

#[test]
fn others_take_over_the_run_of_a_killed_worker() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let long = ["learning_rate=0.1", "seed=1,2,3", "epochs=50"];
    project.kiln_ok(&[["sweep", "sweep.toml", "--runs=expected"].as_slice(), &long].concat());
    let mut workers = start_workers(&project, &slurm, 2, &long);
    wait_until("some epochs", || {
        run_directories(&project.path("runs/rates")).iter().filter(|run| has_epochs(run, 3)).count()
            >= 2
    });
    let killed = workers.remove(0);
    signal_all(children(killed.id()).into_iter().chain([killed.id()]), "-KILL");
    killed.wait_with_output().unwrap();
    for output in outputs(workers) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_same_results(&project, "runs/rates", "expected/rates");
}

#[test]
fn a_run_that_is_killed_just_before_its_worker_has_not_failed() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let long = ["learning_rate=0.1", "seed=1", "epochs=50"];
    project.kiln_ok(&[["sweep", "sweep.toml", "--runs=expected"].as_slice(), &long].concat());
    let mut workers = start_workers(&project, &slurm, 1, &long);
    wait_until("some epochs", || {
        run_directories(&project.path("runs/rates")).iter().any(|run| has_epochs(run, 3))
    });
    let killed = workers.remove(0);
    let run = children(killed.id())[0];
    signal(run, "-KILL");
    wait_until("the end of the run", || !is_alive(run));
    sleep(Duration::from_millis(300));
    signal(killed.id(), "-KILL");
    let output = CommandOutput::from(killed.wait_with_output().unwrap());
    assert!(!output.stderr.contains("FAILED"), "{}", output.stderr);
    // Slurm starts the same task again.
    let script = project.path("runs/rates/.kiln/slurm/job-4711.sh");
    for output in outputs(vec![start_worker(&slurm, &script, 4711, 0, 1)]) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_same_results(&project, "runs/rates", "expected/rates");
}

#[test]
fn a_failed_run_is_tried_once_by_each_submission() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    let id = statuses(&project, "expected/rates").into_keys().next().unwrap();
    // A file in the place of the run's directory: it can be neither read nor created.
    std::fs::create_dir_all(project.path("runs/rates")).unwrap();
    project.write(format!("runs/rates/{id}"), "");
    let ended = outputs(start_workers(&project, &slurm, 3, &[]));
    let failures: usize = ended.iter().map(|it| it.stderr.matches("FAILED").count()).sum();
    assert_eq!(failures, 1, "{}", ended.iter().map(|it| it.stderr.as_str()).collect::<String>());
    assert_eq!(ended.iter().filter(|it| it.status == 1).count(), 1);
    std::fs::remove_file(project.path(format!("runs/rates/{id}"))).unwrap();
    for output in outputs(start_workers(&project, &slurm, 1, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_same_results(&project, "runs/rates", "expected/rates");
}

#[test]
fn wait_follows_runs_that_are_trained_again_because_they_diverged() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let few = ["learning_rate=1e30", "seed=1"];
    project.kiln_ok(&[["sweep", "sweep.toml"].as_slice(), &few].concat());
    assert_eq!(statuses(&project, "runs/rates").into_values().collect::<Vec<_>>(), ["diverged"]);
    let mut command = slurm.command();
    command.args(["sweep", "sweep.toml", "--launcher=slurm", "--wait", "--retry-failed"]);
    let waiting = command.args(few).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let record = project.path("runs/rates/.kiln/slurm/job-4711.json");
    wait_until("the job", || record.exists() && record.with_extension("sh").exists());
    let script = record.with_extension("sh");
    for output in outputs(vec![start_worker(&slurm, &script, 4711, 0, 1)]) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    let output = CommandOutput::from(waiting.wait_with_output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stderr.contains("diverged"), "{}", output.stderr);
    assert!(!output.stderr.contains("in an earlier sweep"), "{}", output.stderr);
}

#[test]
fn several_workers_prune_the_runs_that_one_sweep_prunes() {
    let project = project_with(PRUNING_SWEEP);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected", "--jobs=1"]);
    let slurm = StandIns::new(&project);
    for output in outputs(start_workers(&project, &slurm, 4, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_eq!(statuses(&project, "runs/pruned"), statuses(&project, "expected/pruned"));
    // The rungs are at 1, 2, 4 and 8 epochs. The decisions are the same bytes, whichever worker has written them.
    let found = decisions(&project, "runs/pruned");
    assert_eq!(found, decisions(&project, "expected/pruned"));
    let rungs: Vec<&str> = found.keys().map(|name| name.split_once('-').unwrap().1).collect();
    assert_eq!(rungs, ["rung-0-1.json", "rung-0-2.json", "rung-0-4.json", "rung-0-8.json"]);
}

#[test]
fn the_file_of_a_rung_decides_for_all_workers() {
    let project = project_with(PRUNING_SWEEP);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    let (name, text) = decisions(&project, "expected/pruned").into_iter().next().unwrap();
    assert!(name.ends_with("-rung-0-1.json"), "{name}");
    let decision: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ids = |key: &str| -> Vec<String> { serde_json::from_value(decision[key].clone()).unwrap() };
    let (continued, pruned) = (ids("continued"), ids("pruned"));
    assert_eq!((continued.len(), pruned.len()), (3, 3));
    // The opposite of what the results say. A file without a checksum is one of an earlier version.
    let opposite = serde_json::json!({
        "format_version": 1, "continued": pruned, "pruned": continued,
    });
    for launcher in ["local", "slurm"] {
        let directory = project.path(launcher).join("pruned");
        std::fs::create_dir_all(directory.join(".kiln/decisions")).unwrap();
        project.write(format!("{launcher}/pruned/.kiln/decisions/{name}"), opposite.to_string());
        let runs = format!("--runs={launcher}");
        if launcher == "local" {
            project.kiln_ok(&["sweep", "sweep.toml", &runs]);
        } else {
            let slurm = StandIns::new(&project);
            for output in outputs(start_workers(&project, &slurm, 3, &[&runs])) {
                assert_eq!(output.status, 0, "{}", output.stderr);
            }
        }
        let found = statuses(&project, &format!("{launcher}/pruned"));
        assert_eq!(found.len(), 6);
        for id in &continued {
            assert_eq!(found[id], "pruned", "{launcher}: {found:?}");
            let record = project.read_json(format!("{launcher}/pruned/{id}/run.json"));
            assert_eq!(record["epochs"], 1, "{launcher}");
        }
        assert!(pruned.iter().any(|id| found[id] == "finished"), "{launcher}: {found:?}");
        assert_eq!(
            project.read(format!("{launcher}/pruned/.kiln/decisions/{name}")),
            opposite.to_string()
        );
    }
}

#[test]
fn several_workers_race_as_one_sweep_does() {
    let sweep = "name = \"raced\"\nexperiment = \"experiment.toml\"\n\
        [grid]\nlearning_rate = [0.3, 1e-9, 0.25, 1e-8]\nepochs = [4]\n[race]\nlooks = [2, 4]\n";
    let project = project_with(sweep);
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    let slurm = StandIns::new(&project);
    for output in outputs(start_workers(&project, &slurm, 3, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_eq!(statuses(&project, "runs/raced"), statuses(&project, "expected/raced"));
    assert_same_results(&project, "runs/raced", "expected/raced");
    let first = decisions(&project, "runs/raced");
    assert!(first.keys().any(|name| name.ends_with("-look-2.json")), "{first:?}");
    // The decisions do not depend on which worker writes them: one worker writes the same bytes.
    let other = project_with(sweep);
    let slurm = StandIns::new(&other);
    for output in outputs(start_workers(&other, &slurm, 1, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_eq!(decisions(&other, "runs/raced"), first);
}

const COMMON_SWEEP: &str = "name = \"common\"\nexperiment = \"experiment.toml\"\n\
    [grid]\nepochs = [3, 9, 15]\ntraining.weights = [\"last\", \"best\"]\n[repeat]\nseed = [1, 2]\n";

/// How many epochs the runs of the sweep `common` have not trained themselves.
fn shared_epochs(project: &Project) -> u64 {
    let records = run_directories(&project.path("runs/common")).into_iter();
    let records = records.map(|run| project.read_json(run.join("run.json")));
    records.map(|record| record["shared"]["epochs"].as_u64().unwrap_or(0)).sum()
}

#[test]
fn several_workers_train_the_epochs_that_runs_have_in_common_once() {
    let project = project_with(COMMON_SWEEP);
    let slurm = StandIns::new(&project);
    for output in outputs(start_workers(&project, &slurm, 3, &[])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    for run in run_directories(&project.path("runs/common")) {
        let config = run.join("config.toml");
        let output = project.kiln_ok(&["run", config.to_str().unwrap(), "--runs=alone", "-q"]);
        let alone = crate::run_state::Results::of(&project.path(output.last_line()));
        crate::run_state::Results::of(&run).assert_same(&alone, &run.display().to_string());
    }
    // For each seed, 15 of 54 epochs are trained.
    assert_eq!(shared_epochs(&project), 2 * 39);
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
#[test]
fn workers_that_start_at_the_same_moment_train_common_epochs_once() {
    let project = project_with(
        "name = \"common\"\nexperiment = \"experiment.toml\"\n\
         [grid]\nepochs = [100, 200]\ntraining.weights = [\"last\", \"best\"]\n",
    );
    let slurm = StandIns::new(&project);
    // Locking takes a second, so that all workers look at the locks before one of them has any.
    let slow = "#define _GNU_SOURCE\n#include <sys/file.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
        int flock(int file, int operation) {\n\
        if (operation & LOCK_EX) sleep(1);\n\
        return syscall(SYS_flock, file, operation);\n}\n";
    let Some(library) = preloaded(&project, "slow-locks", slow) else {
        eprintln!("skipped: this test needs a C compiler");
        return;
    };
    let preload = format!("slurm.setup=[\"export LD_PRELOAD={}\"]", library.display());
    for output in outputs(start_workers(&project, &slurm, 3, &[&preload])) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    assert_eq!(statuses(&project, "runs/common").len(), 4);
    // Of 600 epochs, 200 are trained.
    assert_eq!(shared_epochs(&project), 400);
}

/// The decision files of a sweep.
fn decisions(project: &Project, sweep: &str) -> BTreeMap<String, String> {
    let path = project.path(sweep).join(".kiln/decisions");
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let text = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(text).collect()
}

#[test]
fn a_worker_is_only_for_jobs() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let output = slurm.kiln(&["worker", "runs/rates", "--declaration=sweep-0.json"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("to train here: kiln sweep FILE"), "{}", output.stderr);
}

#[test]
fn wait_follows_a_budget_through_its_race() {
    let project = project_with(&crate::sampling::SWEEP.replace("count = 14", "budget = \"40s\""));
    let slurm = StandIns::new(&project);
    let mut command = slurm.command();
    command.args(["sweep", "sweep.toml", "--launcher=slurm", "--wait", "slurm.workers=2"]);
    let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let script = project.path("runs/tpe/.kiln/slurm/job-4711.sh");
    wait_until("the job", || script.exists());
    slurm.write("queue", "4711|0|RUNNING|n1|None\n4711|1|RUNNING|n1|None\n");
    let workers = (0..2).map(|index| start_worker(&slurm, &script, 4711, index, 2)).collect();
    for output in outputs(workers) {
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
    slurm.write("queue", "");
    let output = CommandOutput::from(waiting.wait_with_output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    let is_certain = output.stdout.contains("% sure: the best of");
    assert!(is_certain || output.stdout.contains("it is not certain"), "{}", output.stdout);
    // The answer is that of the complete race.
    let again = project.kiln_ok(&["resume", "runs/tpe"]);
    assert_eq!(again.stdout.contains("% sure: the best of"), is_certain, "{}", output.stdout);
}
