//! Event files, exported and written while a run trains, read by TensorBoard's own reader.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::processes::{signal, start, wait_until};
use crate::project::Project;
use crate::python::{Python, python_with};
use crate::run_state::{has_epochs, run_directories};

/// The content of `events` according to TensorBoard.
fn read(project: &Project, python: &Python) -> Value {
    read_in(&project.path("events"), python)
}

/// The content of the event files below a directory.
fn read_in(directory: &Path, python: &Python) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/tensorboard.py");
    let output = python.run(&script, &[directory.to_str().unwrap()]);
    serde_json::from_str(&output).unwrap()
}

/// The column of a run's history, by epoch.
fn column(project: &Project, run: &str, name: &str) -> Vec<(u64, f64)> {
    let history = project.read(format!("{run}/history.csv"));
    let mut reader = csv::Reader::from_reader(history.as_bytes());
    let place = reader.headers().unwrap().iter().position(|column| column == name).unwrap();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| (row[0].parse().unwrap(), row[place].parse().unwrap())).collect()
}

fn scalars(run: &Value, tag: &str) -> Vec<(u64, f64)> {
    let Some(values) = run["scalars"][tag].as_array() else { panic!("no {tag}: {run}") };
    values.iter().map(|value| (value[0].as_u64().unwrap(), value[1].as_f64().unwrap())).collect()
}

fn assert_close(found: &[(u64, f64)], expected: &[(u64, f64)]) {
    assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
    for ((step, value), (epoch, number)) in found.iter().zip(expected) {
        assert_eq!(step, epoch);
        // TensorBoard has 32-bit numbers.
        assert!((value - number).abs() <= number.abs() * 1e-7, "{value} {number}");
    }
}

#[test]
fn tensorboard_reads_histories_settings_results_and_pictures() {
    let Some(python) = python_with("tensorboard") else { return };
    let project = Project::new();
    project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "learning_rate=0.1,0.3",
        "weights=best",
        "seed=1,2",
    ]);
    // A repeated export has each step once.
    for _ in 0..2 {
        let arguments = ["export", "runs/columns", "--tensorboard", "events"];
        let output = project.kiln_ok(&arguments);
        assert_eq!(output.last_line(), "events");
        assert!(output.stderr.contains("4 runs; to see them: tensorboard --logdir events"));
    }
    let found = read(&project, &python);
    let runs = found.as_object().unwrap();
    assert_eq!(runs.len(), 5, "the experiment and four runs: {found}");

    let experiment = &found["."]["hyperparameters"]["_hparams_/experiment"]["experiment"];
    let expected = json!([{ "name": "learning_rate", "type": "DATA_TYPE_FLOAT64" }]);
    assert_eq!(experiment["hparamInfos"], expected);
    let metrics: Vec<&str> = experiment["metricInfos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["name"]["tag"].as_str().unwrap())
        .collect();
    for tag in ["kept/val_accuracy", "best/val_loss", "test/accuracy"] {
        assert!(metrics.contains(&tag), "{metrics:?}");
    }

    let mut groups = std::collections::BTreeSet::new();
    for (name, run) in runs.iter().filter(|(name, _)| *name != ".") {
        let directory = format!("runs/{name}");
        for tag in ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"] {
            assert_close(&scalars(run, tag), &column(&project, &directory, tag));
        }
        let losses = column(&project, &directory, "val_loss");
        let best = losses.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_close(&scalars(run, "best/val_loss"), &[best]);
        assert_close(&scalars(run, "kept/val_loss"), &[best]);
        let report = project.read_json(format!("{directory}/report.json"));
        let accuracy = report["accuracy"].as_f64().unwrap();
        assert_close(&scalars(run, "test/accuracy"), &[(best.0, accuracy)]);

        let start = &run["hyperparameters"]["_hparams_/session_start_info"]["sessionStartInfo"];
        let rate = column(&project, &directory, "learning_rate")[0].1;
        assert_eq!(start["hparams"]["learning_rate"], json!(rate));
        groups.insert(start["groupName"].as_str().unwrap().to_owned());
        let end = &run["hyperparameters"]["_hparams_/session_end_info"]["sessionEndInfo"];
        assert_eq!(end["status"], "STATUS_SUCCESS");
        for tag in ["test/confusion", "test/mistakes"] {
            assert!(run["images"][tag][0][0].as_u64().unwrap() > 50, "{tag}: {}", run["images"]);
        }
    }
    assert_eq!(groups.len(), 2, "the seeds of a learning rate are a group");
}

#[test]
fn damaged_runs_are_named_and_skipped() {
    let Some(python) = python_with("tensorboard") else { return };
    let project = Project::new();
    let intact = project.train(&[]);
    let damaged = project.train(&["seed=2"]);
    project.flip_bit(format!("{damaged}/history.csv"));
    let output = project.kiln(&["export", "runs/columns", "--tensorboard", "events"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains(&damaged), "{}", output.stderr);
    assert!(output.stderr.contains("1 run;"), "{}", output.stderr);
    let found = read(&project, &python);
    let run = &found[intact.strip_prefix("runs/").unwrap()];
    assert_close(&scalars(run, "loss"), &column(&project, &intact, "loss"));

    let output = project.kiln(&["export", "runs/missing", "--tensorboard", "events"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("runs/missing"), "{}", output.stderr);
    let output = project.kiln(&["export", &intact, "--tensorboard", "events", "--onnx", "file"]);
    assert_eq!(output.status, 2);
}

/// The event file of a run, which it wrote while it trained, has what an export writes.
fn assert_like_export(project: &Project, python: &Python, run: &str) {
    project.kiln_ok(&["export", run, "--tensorboard", "events"]);
    let exported = read(project, python)[run.strip_prefix("runs/").unwrap()].clone();
    let live = read_in(&project.path(run), python)["tensorboard"].clone();
    for tag in exported["scalars"].as_object().unwrap().keys() {
        assert_eq!(scalars(&live, tag), scalars(&exported, tag), "{tag}");
    }
    assert_eq!(live["scalars"], exported["scalars"]);
    assert_eq!(live["images"], exported["images"]);
}

#[test]
fn a_run_writes_for_tensorboard_while_it_trains() {
    let Some(python) = python_with("tensorboard") else { return };
    let project = Project::new();
    let run = project.train(&["logging.tensorboard=true", "weights=best"]);
    assert_like_export(&project, &python, &run);
    assert!(
        project.read(format!("{run}/config.toml")).ends_with("[logging]\ntensorboard = true\n")
    );
    project.kiln_ok(&["doctor", &run]);
    project.kiln_ok(&["verify", &run]);
    // A run without the key has no trace of it.
    let without = project.train(&["weights=best"]);
    assert!(!project.path(&without).join("tensorboard").exists());
    assert!(!project.read(format!("{without}/config.toml")).contains("logging"));
    let model = |run: &str| fs::read(project.path(run).join("model.safetensors")).unwrap();
    assert!(model(&run) == model(&without), "it changes no result");
}

#[test]
fn the_key_is_no_part_of_the_id_of_a_run() {
    let Some(python) = python_with("tensorboard") else { return };
    let project = Project::new();
    project.write(
        "logged.toml",
        format!("{}\n[logging]\ntensorboard = true\n", crate::columns::EXPERIMENT),
    );
    project.kiln_ok(&["sweep", "logged.toml", "seed=1,2"]);
    let runs = run_directories(&project.path("runs/columns"));
    assert_eq!(runs.len(), 2);
    for run in &runs {
        let run = format!("runs/columns/{}", run.file_name().unwrap().to_string_lossy());
        assert_like_export(&project, &python, &run);
    }
    let output = project.kiln_ok(&["sweep", "experiment.toml", "seed=1,2"]);
    assert!(output.stdout.contains("2 runs: all already finished"), "{}", output.stdout);
}

#[test]
fn an_event_file_has_each_epoch_once_after_a_kill() {
    let Some(python) = python_with("tensorboard") else { return };
    let project = Project::new();
    let mut child =
        start(&project, &["run", "experiment.toml", "epochs=400", "logging.tensorboard=true"]);
    let mut path = None;
    wait_until("three epochs", || {
        path = run_directories(&project.path("runs/columns")).pop();
        path.as_ref().is_some_and(|run| has_epochs(run, 3))
    });
    signal(child.id(), "-KILL");
    child.wait().unwrap();
    let path = path.unwrap();
    let run = format!("runs/columns/{}", path.file_name().unwrap().to_string_lossy());
    let live = || read_in(&path, &python)["tensorboard"].clone();
    let before = scalars(&live(), "loss");
    assert!(!before.is_empty());
    // The last epoch is trained again.
    let mut checkpoints: Vec<_> = fs::read_dir(path.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    checkpoints.sort();
    fs::remove_dir_all(checkpoints.pop().unwrap()).unwrap();
    project.kiln_ok(&["resume", &run]);
    assert_like_export(&project, &python, &run);
    let after = scalars(&live(), "loss");
    assert_eq!(after.len(), 400);
    assert_eq!(after[..before.len()], before, "a reader that has read them continues");
}

#[test]
fn a_run_trains_on_if_its_event_file_cannot_be_written() {
    let project = Project::new();
    project.write(
        "logged.toml",
        format!("{}\n[logging]\ntensorboard = true\n", crate::columns::EXPERIMENT),
    );
    let mut child = start(&project, &["run", "logged.toml", "epochs=400"]);
    let mut path = None;
    wait_until("three epochs", || {
        path = run_directories(&project.path("runs/columns")).pop();
        path.as_ref().is_some_and(|run| has_epochs(run, 3))
    });
    signal(child.id(), "-INT");
    child.wait().unwrap();
    let path = path.unwrap();
    fs::remove_dir_all(path.join("tensorboard")).unwrap();
    fs::write(path.join("tensorboard"), "in the way").unwrap();
    let run = format!("runs/columns/{}", path.file_name().unwrap().to_string_lossy());
    let output = project.kiln_ok(&["resume", &run]);
    let warning = "warning: the event file for TensorBoard is no longer written: ";
    assert!(output.stderr.contains(warning), "{}", output.stderr);
}
