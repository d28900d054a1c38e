//! `kiln verify`.

use std::fs;

use crate::doctor::flip;
use crate::sweep::statuses;
use crate::world::World;

#[test]
fn a_run_of_any_kind_comes_again() {
    let world = World::new();
    let layers = "layers=[{type=\"flatten\"},{type=\"dense\",units=5},{type=\"batch_normalization\"},\
                  {type=\"dropout\",rate=0.3},{type=\"dense\",units=\"classes\",activation=\"softmax\"}]";
    for overrides in [
        vec![],
        vec!["save_initial=true", "optimizer={type=\"adam\"}", "weights=best", "top_k=[2]"],
        vec![layers, "engine=generic", "validation=0"],
    ] {
        let run = world.trained(&overrides);
        let listing = world.listing();
        let ran = world.kiln(&["verify", &run]);
        assert_eq!(ran.status, 0, "{overrides:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.starts_with("the same bytes: 3 epochs, "), "{}", ran.stdout);
        for name in ["model.safetensors", "report.json", "predictions.csv"] {
            assert!(ran.stdout.contains(name), "{}", ran.stdout);
        }
        assert_eq!(world.listing(), listing, "it leaves the run as it is");
    }
}

#[test]
fn a_file_that_is_gone_is_told() {
    let world = World::new();
    for name in ["model.safetensors", "predictions.csv"] {
        let run = world.trained(&[]);
        fs::remove_file(world.path(&run).join(name)).unwrap();
        let ran = world.kiln(&["verify", &run]);
        assert_eq!(ran.status, 1, "{name}: {}", ran.stdout);
        assert!(ran.stdout.contains(&format!("{name} is missing\n")), "{name}: {}", ran.stdout);
    }
}

/// Another experiment comes to other numbers, and says nothing of the machine.
#[test]
fn an_experiment_that_was_changed_is_told_before_anything_is_trained() {
    let world = World::new();
    let run = world.trained(&[]);
    let config = world.read(format!("{run}/config.toml"));
    world.write(
        &format!("{run}/config.toml"),
        config.replacen("batch_size = ", "batch_size = 1", 1),
    );
    let ran = world.kiln(&["verify", &run]);
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("config.toml is damaged: "), "{}", ran.stderr);
}

#[test]
fn a_run_that_was_cut_short_comes_again_as_far_as_it_goes() {
    let world = World::new();
    let diverged = world.kiln(&["run", "experiment.toml", "learning_rate=1e20"]);
    let ran = world.kiln(&["verify", &diverged.last_line()]);
    assert_eq!(
        (ran.status, ran.stdout.as_str()),
        (0, "the same bytes: 0 epochs, model.safetensors\n")
    );

    world.write(
        "sweep.toml",
        "name = \"pruned\"\nexperiment = \"experiment.toml\"\n[grid]\nlearning_rate = [0.3, 1e-8]\n\
         [prune]\nmetric = \"val_loss\"\nmin_epochs = 1\nreduction = 2\n",
    );
    world.kiln(&["sweep", "sweep.toml", "--jobs=1"]);
    let pruned = statuses(&world, "runs/pruned");
    let pruned = pruned.iter().find(|(_, status)| *status == "pruned").unwrap().0;
    let ran = world.kiln(&["verify", &format!("runs/pruned/{pruned}")]);
    assert_eq!(
        (ran.status, ran.stdout.as_str()),
        (0, "the same bytes: 1 epoch, model.safetensors\n")
    );
}

#[test]
fn the_first_epoch_that_differs_is_told_and_by_how_much() {
    let world = World::new();
    let run = world.trained(&[]);
    let history = world.read(format!("{run}/history.csv"));
    let row = history.lines().nth(2).unwrap();
    let cells: Vec<&str> = row.split(',').collect();
    let changed = row.replacen(cells[3], "0.5", 1);
    world.write(&format!("{run}/history.csv"), history.replace(row, &changed));
    let ran = world.kiln(&["verify", &run]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    let words = format!("epoch 2 differs: val_loss was 0.5 and is {}, by ", cells[3]);
    assert!(ran.stdout.starts_with(&words) && ran.stdout.contains("(relative "), "{}", ran.stdout);
    assert!(!ran.stderr.contains("Epoch 3/3"), "it stops there: {}", ran.stderr);
}

#[test]
fn what_has_changed_since_is_named_as_the_reason() {
    let world = World::new();
    let run = world.trained(&[]);
    let path = format!("{run}/run.json");
    world.write(&path, world.read(&path).replace("\"kiln\": \"", "\"kiln\": \"0."));
    let model = format!("{run}/model.safetensors");
    let other = world.trained(&["seed=2"]);
    fs::copy(world.path(&other).join("model.safetensors"), world.path(&model)).unwrap();
    // Its sum would tell that it was changed later.
    world.write(&path, world.read(&path).replace("\"model.safetensors\"", "\"other\""));
    let ran = world.kiln(&["verify", &run]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("warning: Kiln changed from 0."), "{}", ran.stderr);
    assert!(ran.stdout.contains("most in layers."), "{}", ran.stdout);
    assert!(ran.stdout.contains("the same are: report.json, predictions.csv"), "{}", ran.stdout);
}

#[test]
fn a_file_that_was_damaged_is_told_from_one_that_does_not_come_again() {
    let world = World::new();
    let run = world.trained(&[]);
    flip(&world, &format!("{run}/predictions.csv"));
    let ran = world.kiln(&["verify", &run]);
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.starts_with("predictions.csv was damaged later"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("likely reason"), "{}", ran.stderr);
}
