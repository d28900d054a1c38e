//! `kiln verify`.

use std::fs;

use crate::project::Project;
use crate::run_state::with_status;

#[test]
fn runs_of_any_kind_are_reproduced() {
    let project = Project::new();
    let layers = "layers=[{type=\"flatten\"},{type=\"dense\",units=5},{type=\"batch_normalization\"},\
                  {type=\"dropout\",rate=0.3},{type=\"dense\",units=\"classes\",activation=\"softmax\"}]";
    for overrides in [
        vec![],
        vec!["save_initial=true", "optimizer={type=\"adam\"}", "weights=best", "top_k=[2]"],
        vec![layers, "engine=generic", "validation=0"],
    ] {
        let run = project.train(&overrides);
        let listing = project.listing();
        let output = project.kiln(&["verify", &run]);
        assert_eq!(output.status, 0, "{overrides:?}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.starts_with("identical: 3 epochs, "), "{}", output.stdout);
        for name in ["model.safetensors", "report.json", "predictions.csv", "splits.csv"] {
            assert!(output.stdout.contains(name), "{}", output.stdout);
        }
        assert_eq!(project.listing(), listing, "verify must not change the run");
    }
}

#[test]
fn missing_file_is_reported() {
    let project = Project::new();
    for name in ["model.safetensors", "predictions.csv"] {
        let run = project.train(&[]);
        fs::remove_file(project.path(&run).join(name)).unwrap();
        let output = project.kiln(&["verify", &run]);
        assert_eq!(output.status, 1, "{name}: {}", output.stdout);
        assert!(
            output.stdout.contains(&format!("{name} is missing\n")),
            "{name}: {}",
            output.stdout
        );
    }
}

/// Training a changed experiment would give other results, whether or not the machine reproduces the run.
#[test]
fn changed_config_is_reported_before_training() {
    let project = Project::new();
    let run = project.train(&[]);
    let config = project.read(format!("{run}/config.toml"));
    project
        .write(format!("{run}/config.toml"), config.replacen("batch_size = ", "batch_size = 1", 1));
    let output = project.kiln(&["verify", &run]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.contains("config.toml is damaged: "), "{}", output.stderr);
}

#[test]
fn diverged_and_pruned_runs_are_reproduced_up_to_their_end() {
    let project = Project::new();
    let diverged = project.kiln(&["run", "experiment.toml", "learning_rate=1e20"]);
    let output = project.kiln(&["verify", &diverged.last_line()]);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "identical: 0 epochs, model.safetensors, splits.csv\n")
    );

    project.write(
        "sweep.toml",
        "name = \"pruned\"\nexperiment = \"experiment.toml\"\n[grid]\nlearning_rate = [0.3, 1e-8]\n\
         [prune]\nmetric = \"val_loss\"\nmin_epochs = 1\nreduction = 2\n",
    );
    project.kiln(&["sweep", "sweep.toml", "--jobs=1"]);
    let pruned = &with_status(&project, "runs/pruned", "pruned")[0];
    let output = project.kiln(&["verify", &format!("runs/pruned/{pruned}")]);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "identical: 1 epoch, model.safetensors, splits.csv\n")
    );
}

#[test]
fn first_differing_epoch_is_reported_with_the_difference() {
    let project = Project::new();
    let run = project.train(&[]);
    let history = project.read(format!("{run}/history.csv"));
    let row = history.lines().nth(2).unwrap();
    let cells: Vec<&str> = row.split(',').collect();
    let changed = row.replacen(cells[3], "0.5", 1);
    project.write(format!("{run}/history.csv"), history.replace(row, &changed));
    let output = project.kiln(&["verify", &run]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.contains("history.csv is damaged: "), "{}", output.stderr);
    // Without its checksum, the file may be what the run wrote.
    project.edit_record(&run, |record| {
        record["files"].as_object_mut().unwrap().remove("history.csv");
    });
    let output = project.kiln(&["verify", &run]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let words = format!("epoch 2 differs: val_loss was 0.5 and is {}, by ", cells[3]);
    assert!(
        output.stdout.starts_with(&words) && output.stdout.contains("(relative "),
        "{}",
        output.stdout
    );
    assert!(!output.stderr.contains("Epoch 3/3"), "verify must stop there: {}", output.stderr);
}

#[test]
fn changed_kiln_version_is_reported_as_the_likely_reason() {
    let project = Project::new();
    let run = project.train(&[]);
    let model = format!("{run}/model.safetensors");
    let other = project.train(&["seed=2"]);
    fs::copy(project.path(&other).join("model.safetensors"), project.path(&model)).unwrap();
    project.edit_record(&run, |record| {
        record["versions"]["kiln"] = "0.0.9".into();
        // Without its checksum, the file may be what the run wrote.
        record["files"].as_object_mut().unwrap().remove("model.safetensors");
    });
    let output = project.kiln(&["verify", &run]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("warning: Kiln changed from 0."), "{}", output.stderr);
    assert!(output.stdout.contains("most in layers."), "{}", output.stdout);
    assert!(output.stdout.contains("identical: report.json, predictions.csv"), "{}", output.stdout);
}

#[test]
fn damaged_file_is_distinguished_from_one_that_is_not_reproduced() {
    let project = Project::new();
    let run = project.train(&[]);
    project.flip_bit(format!("{run}/predictions.csv"));
    let output = project.kiln(&["verify", &run]);
    assert_eq!(output.status, 1);
    assert!(output.stdout.starts_with("predictions.csv was damaged later"), "{}", output.stdout);
    assert!(!output.stderr.contains("likely reason"), "{}", output.stderr);
}
