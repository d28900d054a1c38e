//! `kiln run`.

use std::fs;
use std::process::Stdio;

use crate::project::Project;

#[test]
fn a_run_ends_with_its_directory_and_the_directory_is_complete() {
    let project = Project::new();
    let output = project.kiln(&["run", "experiment.toml", "epochs=12", "save_initial=true"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let run = output.last_line();
    assert!(run.starts_with("runs/columns/"), "{run}");
    for file in [
        "config.toml",
        "run.json",
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
    let record: serde_json::Value =
        serde_json::from_str(&project.read(format!("{run}/run.json"))).unwrap();
    assert_eq!(record["status"], "finished");
    assert_eq!(record["format_version"], 1);
    let report: serde_json::Value =
        serde_json::from_str(&project.read(format!("{run}/report.json"))).unwrap();
    assert_eq!(report["examples"], 30);
    assert!(report["accuracy"].as_f64().unwrap() > 0.9);
    for line in project.read(format!("{run}/log.jsonl")).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn the_record_names_the_release_of_burn_that_was_compiled_in() {
    let lock = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let (_, behind) = lock.split_once("name = \"burn\"\nversion = \"").unwrap();
    let (version, _) = behind.split_once('"').unwrap();
    let project = Project::new();
    let run = project.trained(&[]);
    let record = project.read(format!("{run}/run.json"));
    assert!(record.contains(&format!("\"burn\": \"{version}\"")), "{record}");
}

#[test]
fn off_a_terminal_an_epoch_is_a_line_without_colour() {
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
fn quiet_leaves_only_the_results() {
    let output = Project::new().kiln(&["run", "--quiet", "experiment.toml"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(output.stdout.lines().count(), 2);
}

/// The history but for the seconds.
fn history(project: &Project, run: &str) -> String {
    let text = project.read(format!("{run}/history.csv"));
    text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n").collect()
}

#[test]
fn the_same_file_gives_the_same_bytes_elsewhere_and_from_its_own_config() {
    let project = Project::new();
    let first = project.trained(&[]);
    let second = project.trained(&["--runs", "other/place"]);
    assert!(second.starts_with("other/place/columns/"), "{second}");
    let config = format!("{first}/config.toml");
    let output = project.kiln(&["run", &config]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    for other in [second, output.last_line()] {
        assert_eq!(history(&project, &first), history(&project, &other));
        for file in ["model.safetensors", "config.toml", "predictions.csv"] {
            let bytes = |run: &str| fs::read(project.path(run).join(file)).unwrap();
            assert!(bytes(&first) == bytes(&other), "{file} of {other}");
        }
    }
}

#[test]
fn runs_at_the_same_time_get_directories_of_their_own() {
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
    let entries = fs::read_dir(project.path("runs/columns")).unwrap();
    assert_eq!(
        entries.filter(|entry| entry.as_ref().unwrap().path().join("run.json").exists()).count(),
        3
    );
}

#[test]
fn overrides_change_the_experiment_and_stand_in_the_config() {
    let project = Project::new();
    let run = project.trained(&["learning_rate=0.03", "hidden.repeat=2", "name=deeper"]);
    assert!(run.starts_with("runs/deeper/"), "{run}");
    let config = project.read(format!("{run}/config.toml"));
    for line in ["learning_rate = 0.03", "repeat = 2", "name = \"deeper\""] {
        assert!(config.contains(line), "{config}");
    }
}

#[test]
fn a_diverged_run_fails_and_says_where() {
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
