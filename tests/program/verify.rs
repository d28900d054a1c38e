//! `kiln verify`.

use std::fs;

use crate::doctor::flip;
use crate::project::Project;
use crate::sweep::statuses;

#[test]
fn a_run_of_any_kind_comes_again() {
    let project = Project::new();
    let layers = "layers=[{type=\"flatten\"},{type=\"dense\",units=5},{type=\"batch_normalization\"},\
                  {type=\"dropout\",rate=0.3},{type=\"dense\",units=\"classes\",activation=\"softmax\"}]";
    for overrides in [
        vec![],
        vec!["save_initial=true", "optimizer={type=\"adam\"}", "weights=best", "top_k=[2]"],
        vec![layers, "engine=generic", "validation=0"],
    ] {
        let run = project.trained(&overrides);
        let listing = project.listing();
        let output = project.kiln(&["verify", &run]);
        assert_eq!(output.status, 0, "{overrides:?}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.starts_with("the same bytes: 3 epochs, "), "{}", output.stdout);
        for name in ["model.safetensors", "report.json", "predictions.csv"] {
            assert!(output.stdout.contains(name), "{}", output.stdout);
        }
        assert_eq!(project.listing(), listing, "it leaves the run as it is");
    }
}

#[test]
fn a_file_that_is_gone_is_told() {
    let project = Project::new();
    for name in ["model.safetensors", "predictions.csv"] {
        let run = project.trained(&[]);
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

/// Another experiment comes to other numbers, and says nothing of the machine.
#[test]
fn an_experiment_that_was_changed_is_told_before_anything_is_trained() {
    let project = Project::new();
    let run = project.trained(&[]);
    let config = project.read(format!("{run}/config.toml"));
    project.write(
        &format!("{run}/config.toml"),
        config.replacen("batch_size = ", "batch_size = 1", 1),
    );
    let output = project.kiln(&["verify", &run]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.contains("config.toml is damaged: "), "{}", output.stderr);
}

#[test]
fn a_run_that_was_cut_short_comes_again_as_far_as_it_goes() {
    let project = Project::new();
    let diverged = project.kiln(&["run", "experiment.toml", "learning_rate=1e20"]);
    let output = project.kiln(&["verify", &diverged.last_line()]);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "the same bytes: 0 epochs, model.safetensors\n")
    );

    project.write(
        "sweep.toml",
        "name = \"pruned\"\nexperiment = \"experiment.toml\"\n[grid]\nlearning_rate = [0.3, 1e-8]\n\
         [prune]\nmetric = \"val_loss\"\nmin_epochs = 1\nreduction = 2\n",
    );
    project.kiln(&["sweep", "sweep.toml", "--jobs=1"]);
    let pruned = statuses(&project, "runs/pruned");
    let pruned = pruned.iter().find(|(_, status)| *status == "pruned").unwrap().0;
    let output = project.kiln(&["verify", &format!("runs/pruned/{pruned}")]);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "the same bytes: 1 epoch, model.safetensors\n")
    );
}

#[test]
fn the_first_epoch_that_differs_is_told_and_by_how_much() {
    let project = Project::new();
    let run = project.trained(&[]);
    let history = project.read(format!("{run}/history.csv"));
    let row = history.lines().nth(2).unwrap();
    let cells: Vec<&str> = row.split(',').collect();
    let changed = row.replacen(cells[3], "0.5", 1);
    project.write(&format!("{run}/history.csv"), history.replace(row, &changed));
    let output = project.kiln(&["verify", &run]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let words = format!("epoch 2 differs: val_loss was 0.5 and is {}, by ", cells[3]);
    assert!(
        output.stdout.starts_with(&words) && output.stdout.contains("(relative "),
        "{}",
        output.stdout
    );
    assert!(!output.stderr.contains("Epoch 3/3"), "it stops there: {}", output.stderr);
}

#[test]
fn what_has_changed_since_is_named_as_the_reason() {
    let project = Project::new();
    let run = project.trained(&[]);
    let path = format!("{run}/run.json");
    project.write(&path, project.read(&path).replace("\"kiln\": \"", "\"kiln\": \"0."));
    let model = format!("{run}/model.safetensors");
    let other = project.trained(&["seed=2"]);
    fs::copy(project.path(&other).join("model.safetensors"), project.path(&model)).unwrap();
    // Its sum would tell that it was changed later.
    project.write(&path, project.read(&path).replace("\"model.safetensors\"", "\"other\""));
    let output = project.kiln(&["verify", &run]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("warning: Kiln was 0."), "{}", output.stderr);
    assert!(output.stdout.contains("most in layers."), "{}", output.stdout);
    assert!(
        output.stdout.contains("the same are: report.json, predictions.csv"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_file_that_was_damaged_is_told_from_one_that_does_not_come_again() {
    let project = Project::new();
    let run = project.trained(&[]);
    flip(&project, &format!("{run}/predictions.csv"));
    let output = project.kiln(&["verify", &run]);
    assert_eq!(output.status, 1);
    assert!(output.stdout.starts_with("predictions.csv was damaged later"), "{}", output.stdout);
    assert!(!output.stderr.contains("likely reason"), "{}", output.stderr);
}
