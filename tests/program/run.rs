//! `kiln run`.

use std::fs;
use std::process::Stdio;

use crate::project::Project;
use crate::run_state::{Results, run_directories};

#[test]
fn run_prints_its_directory_and_fills_it() {
    let project = Project::new();
    let output = project.kiln_ok(&["run", "experiment.toml", "epochs=12", "save_initial=true"]);
    let run = output.last_line();
    assert!(run.starts_with("runs/columns/"), "{run}");
    for file in [
        "config.toml",
        "run.json",
        "splits.csv",
        "history.csv",
        "history.svg",
        "report.json",
        "report.md",
        "predictions.csv",
        "confusion.svg",
        "mistakes.png",
        "model.safetensors",
        "initial.safetensors",
        "log.jsonl",
    ] {
        assert!(project.path(&run).join(file).metadata().unwrap().len() > 0, "{file}");
    }
    assert!(output.stdout.contains("test: loss "), "{}", output.stdout);

    let history = project.read(format!("{run}/history.csv"));
    assert_eq!(
        history.lines().next(),
        Some("epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds")
    );
    assert_eq!(history.lines().count(), 13);
    let record = project.read_json(format!("{run}/run.json"));
    assert_eq!(record["status"], "finished");
    assert_eq!(record["format_version"], 1);
    let report = project.read_json(format!("{run}/report.json"));
    assert_eq!(report["examples"], 30);
    assert!(report["accuracy"].as_f64().unwrap() > 0.9);
    for line in project.read(format!("{run}/log.jsonl")).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// A network whose first layer is a convolution, and one whose first layer with weights is not.
#[test]
fn run_draws_the_filters_of_the_first_convolution() {
    let project = Project::new();
    let convolution = "{ type = \"conv2d\", name = \"stem\", filters = 3, kernel_size = 2 },";
    let normalization = "{ type = \"batch_normalization\" },";
    let experiment = crate::columns::EXPERIMENT;
    for (layers, has_filters) in [
        (convolution.to_owned(), true),
        (format!("{{ type = \"activation\", activation = \"relu\" }}, {convolution}"), true),
        (format!("{normalization} {convolution}"), false),
        (String::new(), false),
        // The fused engine does not support a softmax in the middle.
        ("{ type = \"activation\", activation = \"softmax\" },".to_owned(), false),
    ] {
        let text = experiment.replace("layers = [", &format!("layers = [{layers}"));
        project.write("convolution.toml", text);
        let run = project.kiln_ok(&["run", "convolution.toml"]).last_line();
        let report = project.read(format!("{run}/report.md"));
        let record = project.read_json(format!("{run}/run.json"));
        let shown = project.kiln_ok(&["show", &run]).stdout;
        assert_eq!(project.path(format!("{run}/filters.png")).is_file(), has_filters, "{layers}");
        assert_eq!(report.contains("filters.png"), has_filters, "{report}");
        assert_eq!(record["files"]["filters.png"].is_object(), has_filters, "{record}");
        assert_eq!(shown.contains("filters.png"), has_filters, "{shown}");
        if has_filters {
            assert!(report.contains("The 3 filters of the first layer with weights, stem, of 2×2"));
        }
        let unsupported = record["unsupported_by_fused"].as_str();
        assert_eq!(unsupported.is_some(), layers.contains("softmax"), "{record}");
        assert_eq!(unsupported.is_some(), record["engine"] == "generic", "{record}");
        if let Some(unsupported) = unsupported {
            let line = format!(
                "engine         generic ({unsupported} is not supported by the fused engine)"
            );
            assert!(shown.contains(&line), "`{line}` is not in\n{shown}");
        }
        project.kiln_ok(&["doctor", &run]);
        project.kiln_ok(&["verify", &run]);
    }
}

#[test]
fn record_has_the_version_of_burn_in_the_lock_file() {
    let lock = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let (_, rest) = lock.split_once("name = \"burn\"\nversion = \"").unwrap();
    let (version, _) = rest.split_once('"').unwrap();
    let project = Project::new();
    let run = project.train(&[]);
    let record = project.read(format!("{run}/run.json"));
    assert!(record.contains(&format!("\"burn\": \"{version}\"")), "{record}");
}

#[test]
fn epochs_are_plain_lines_if_stderr_is_not_a_terminal() {
    let output = Project::new().kiln(&["run", "experiment.toml"]);
    let epochs: Vec<&str> =
        output.stderr.lines().filter(|line| line.starts_with("Epoch ")).collect();
    assert_eq!(epochs.len(), 3, "{}", output.stderr);
    assert!(epochs[0].starts_with("Epoch 1/3  10 steps in "), "{}", epochs[0]);
    for name in ["loss ", "accuracy ", "val_loss ", "val_accuracy "] {
        assert!(epochs[0].contains(name), "{}", epochs[0]);
    }
    assert!(!(output.stdout + &output.stderr).contains('\u{1b}'));
}

#[test]
fn quiet_prints_only_the_results() {
    let output = Project::new().kiln(&["run", "--quiet", "experiment.toml"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(output.stdout.lines().count(), 2);
}

#[test]
fn repeated_run_gives_identical_bytes() {
    let project = Project::new();
    let first = project.train(&[]);
    let second = project.train(&["--runs", "other/place"]);
    assert!(second.starts_with("other/place/columns/"), "{second}");
    let config = format!("{first}/config.toml");
    let third = project.kiln_ok(&["run", &config]).last_line();
    for other in [second, third] {
        let results = Results::of(&project.path(&other));
        results.assert_same(&Results::of(&project.path(&first)), &other);
        assert_eq!(project.read(format!("{other}/config.toml")), project.read(&config));
    }
}

#[test]
fn concurrent_runs_get_separate_directories() {
    let project = Project::new();
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            let mut command = project.command();
            command.args(["run", "-q", "experiment.toml"]).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let runs = run_directories(&project.path("runs/columns"));
    assert_eq!(runs.iter().filter(|run| run.join("run.json").exists()).count(), 3);
}

#[test]
fn overrides_are_recorded_in_config_toml() {
    let project = Project::new();
    let run = project.train(&["learning_rate=0.03", "hidden.repeat=2", "name=deeper"]);
    assert!(run.starts_with("runs/deeper/"), "{run}");
    let config = project.read(format!("{run}/config.toml"));
    for line in ["learning_rate = 0.03", "repeat = 2", "name = \"deeper\""] {
        assert!(config.contains(line), "{config}");
    }
}

#[test]
fn diverged_run_fails_and_reports_the_step() {
    let project = Project::new();
    let output = project.kiln(&["run", "experiment.toml", "learning_rate=1e30"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("diverged: the loss became "), "{}", output.stderr);
    let run = output.last_line();
    assert!(!project.path(&run).join("report.json").exists());
    assert!(project.path(&run).join("model.safetensors").exists());
    let record = project.read(format!("{run}/run.json"));
    assert!(record.contains("\"status\": \"diverged\""), "{record}");
}

#[test]
fn warnings_about_initial_weights_are_printed_and_recorded() {
    let project = Project::new();
    let source = project.train(&["name=source", "hidden.units=5"]);
    let key = format!("initial_weights={source}");
    let output = project.kiln_ok(&["run", "experiment.toml", &key, "-q", "batch_size=500"]);
    let warning = "initial weights: 1 tensor loaded from ";
    assert!(output.stderr.starts_with(&format!("warning: {warning}")), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    let run = output.last_line();
    let recorded = &project.read_json(format!("{run}/run.json"))["warnings"];
    assert!(recorded[0].as_str().unwrap().starts_with(warning), "{recorded}");
    let shown = project.kiln_ok(&["show", &run]);
    assert!(shown.stdout.contains("initial weights: 1 tensor loaded from"), "{}", shown.stdout);
}
