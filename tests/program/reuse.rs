//! Sweeps that reuse finished runs.

use std::fs;

use crate::project::Project;
use crate::run_state::{Results, results, run_directories, statuses};
use crate::sweep::runs_trained;

const SWEEP: [&str; 3] = ["sweep", "experiment.toml", "seed=1,2"];

fn sweep(project: &Project, more: &[&str]) -> crate::project::CommandOutput {
    project.kiln_ok(&[SWEEP.as_slice(), more].concat())
}

#[test]
fn finished_runs_of_another_sweep_and_of_kiln_run_are_reused() {
    let project = Project::new();
    let single = project.train(&["seed=2", "name=single"]);
    project.kiln_ok(&["sweep", "experiment.toml", "learning_rate=0.1,0.2", "name=other"]);
    let planned = sweep(&project, &["--dry-run"]);
    assert!(planned.stdout.contains("2 runs, 0 to do"), "{}", planned.stdout);
    let expected = "reused 2 finished runs of other, single";
    assert!(planned.stdout.contains(expected), "{}", planned.stdout);
    assert!(!project.path("runs/columns").exists());

    let output = sweep(&project, &[]);
    assert_eq!(runs_trained(&output), 0, "{}", output.stderr);
    assert!(output.stdout.contains("2 runs: 2 finished"), "{}", output.stdout);
    assert!(output.stdout.contains(expected), "{}", output.stdout);
    let examined = project.kiln_ok(&["doctor", "runs"]);
    assert_eq!(examined.stdout, "5 runs: 5 intact\n");

    // The bytes are those of the original, and of training.
    let reused = results(&project, "runs/columns");
    let original = Results::of(&project.path(&single));
    assert_eq!(reused.values().filter(|result| **result == original).count(), 1);
    for run in reused.keys() {
        let run = format!("runs/columns/{run}");
        let record = project.read_json(format!("{run}/run.json"));
        assert_eq!(
            (&record["name"], record["id"].as_str()),
            (&"columns".into(), run.rsplit('/').next())
        );
        let from = &record["reused"];
        let from =
            format!("runs/{}/{}", from["name"].as_str().unwrap(), from["id"].as_str().unwrap());
        for name in ["config.toml", "report.md", "model.safetensors", "log.jsonl"] {
            let [own, original] =
                [&run, &from].map(|run| fs::read(project.path(run).join(name)).unwrap());
            assert!(own == original, "{name}");
        }
        let verified = project.kiln_ok(&["verify", &run]);
        assert!(verified.stdout.starts_with("identical: 3 epochs, "), "{}", verified.stdout);
    }
    let again = sweep(&project, &[]);
    assert_eq!(runs_trained(&again), 0, "{}", again.stderr);
    assert!(!again.stdout.contains("reused"), "{}", again.stdout);
}

#[test]
fn no_reuse_trains_again() {
    let project = Project::new();
    project.train(&["name=single"]);
    let output = sweep(&project, &["--no-reuse"]);
    assert_eq!(runs_trained(&output), 2, "{}", output.stderr);
}

#[test]
fn runs_that_are_not_the_same_or_not_intact_are_not_reused() {
    let project = Project::new();
    let name = |name: &str| format!("name={name}");
    let damaged = project.train(&[&name("damaged")]);
    project.flip_bit(format!("{damaged}/predictions.csv"));
    let unfinished = project.train(&[&name("unfinished")]);
    fs::remove_file(project.path(&unfinished).join("report.json")).unwrap();
    let edited = project.train(&[&name("edited"), "epochs=2"]);
    let config =
        project.read(format!("{edited}/config.toml")).replacen("epochs = 2", "epochs = 3", 1);
    project.write(format!("{edited}/config.toml"), config);
    let version = project.train(&[&name("other-version")]);
    let directory = kiln_store::RunDirectory::open(project.path(&version)).unwrap();
    let mut record = directory.read_record().unwrap();
    record.versions.kiln = "0.0.9".to_owned();
    directory.write_record(&record).unwrap();
    let revision = project.train(&[&name("other-revision")]);
    let directory = kiln_store::RunDirectory::open(project.path(&revision)).unwrap();
    let mut record = directory.read_record().unwrap();
    record.versions.numerics = 0;
    directory.write_record(&record).unwrap();
    let unchecked = project.train(&[&name("no-checksum")]);
    project.edit_record(&unchecked, |_| {});
    let config = project.train(&[&name("other-config")]);
    let changed = project.read(format!("{config}/config.toml")).replacen("seed = 1", "seed = 3", 1);
    project.write(format!("{config}/config.toml"), changed);
    let labels = "data/columns/train-labels-idx1-ubyte";
    let original = fs::read(project.path(labels)).unwrap();
    let mut corrected = original.clone();
    *corrected.last_mut().unwrap() = (original[original.len() - 1] + 1) % 3;
    project.write(labels, corrected);
    project.train(&[&name("other-data")]);
    project.write(labels, original);
    let output = sweep(&project, &[]);
    assert_eq!(runs_trained(&output), 2, "{}", output.stderr);
    for damaged in [&damaged, &edited] {
        let warning = format!("cannot reuse {damaged}: ");
        assert!(output.stderr.contains(&warning), "{}", output.stderr);
    }
    assert!(!output.stdout.contains("reused"), "{}", output.stdout);
}

#[test]
fn interrupted_run_is_replaced_by_a_finished_one_elsewhere() {
    let project = Project::new();
    sweep(&project, &[]);
    let runs = statuses(&project, "runs/columns");
    for run in runs.keys() {
        fs::remove_file(project.path(format!("runs/columns/{run}/report.json"))).unwrap();
    }
    project.train(&["seed=1"]);
    let output = sweep(&project, &[]);
    assert_eq!(runs_trained(&output), 1, "{}", output.stderr);
    assert!(output.stdout.contains("reused 1 finished run of columns\n"), "{}", output.stdout);
}

/// The process is killed at each of its disk operations: the run must be complete or missing.
#[test]
fn killed_while_it_reuses_a_run() {
    let project = Project::new();
    project.train(&["name=single"]);
    let mut is_complete = false;
    for operation in 1..100 {
        let mut command = project.command();
        command.args(["sweep", "experiment.toml", "seed=1"]);
        command.env("KILN_FAULT", format!("die@{operation}"));
        let ended = command.output().unwrap();
        for run in run_directories(&project.path("runs/columns")) {
            let examined = project.kiln_ok(&["doctor", run.to_str().unwrap()]);
            assert!(
                examined.stdout.contains("1 run: 1 intact"),
                "{operation}: {}",
                examined.stdout
            );
        }
        if ended.status.success() {
            is_complete = true;
            break;
        }
        // The next one starts from the same state.
        let _ = fs::remove_dir_all(project.path("runs/columns"));
    }
    assert!(is_complete, "no sweep was complete");
    project.kiln_ok(&["doctor", "runs"]);
}
