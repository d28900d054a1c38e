//! What earlier versions left on disk is read, and gone on with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sweep::trained_here;
use crate::world::World;

/// A world for each version, with its name.
fn worlds() -> Vec<(String, World)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut versions: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    versions.sort();
    assert!(!versions.is_empty());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    versions.iter().map(|path| (name(path), World::copy_of(path))).collect()
}

/// The directories of the runs of a name, from the world's.
fn runs(world: &World, name: &str) -> Vec<String> {
    let entries = fs::read_dir(world.path("runs").join(name)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut runs: Vec<String> =
        names.filter(|name| !name.starts_with('.')).map(|id| format!("runs/{name}/{id}")).collect();
    runs.sort();
    runs
}

/// The run of a name that has only one.
fn run(world: &World, name: &str) -> String {
    let runs = runs(world, name);
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

/// The test accuracy that `kiln show` tells, where it tells one.
fn shown_accuracy(world: &World, run: &str) -> Option<f64> {
    let shown = world.kiln(&["show", run]);
    assert_eq!(shown.status, 0, "{}", shown.stderr);
    let line = shown.stdout.lines().find(|line| line.contains(" test images, with the weights"))?;
    let (_, rest) = line.split_once("accuracy ")?;
    rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
}

#[test]
fn golden_runs_are_shown() {
    for (version, world) in worlds() {
        for (name, words) in [
            ("columns", "finished: all epochs done"),
            ("normalized", "finished: all epochs done"),
            ("diverged", "diverged: the loss became NaN in epoch 1, step 3"),
            ("dropout", "interrupted: in epoch 5, after step 46"),
        ] {
            let shown = world.kiln(&["show", &run(&world, name)]);
            assert_eq!(shown.status, 0, "{version}: {}", shown.stderr);
            assert!(shown.stdout.contains(words), "{version}: {}", shown.stdout);
        }
        assert_eq!(shown_accuracy(&world, &run(&world, "columns")), Some(1.0));
        assert_eq!(shown_accuracy(&world, &run(&world, "normalized")), Some(0.9667));
        let pruned = runs(&world, "pruned");
        let endings: Vec<bool> = pruned
            .iter()
            .map(|run| world.kiln(&["show", run]).stdout.contains("pruned: after epoch 1"))
            .collect();
        assert_eq!(endings.iter().filter(|pruned| **pruned).count(), 2, "{version}");
    }
}

#[test]
fn golden_runs_are_compared() {
    for (version, world) in worlds() {
        let compared = world.kiln(&["compare", "runs", "--json"]);
        assert_eq!(compared.status, 0, "{version}: {}", compared.stderr);
        let compared: serde_json::Value = serde_json::from_str(&compared.stdout).unwrap();
        assert_eq!(compared["combinations"].as_array().unwrap().len(), 8, "{version}");
        assert_eq!(compared["left_out"].as_array().unwrap().len(), 0, "{version}");
    }
}

#[test]
fn golden_runs_are_whole() {
    for (version, world) in worlds() {
        let examined = world.kiln(&["doctor", "runs"]);
        assert_eq!(examined.status, 0, "{version}: {}", examined.stdout);
        assert_eq!(examined.last_line(), "8 runs: 6 whole, 2 unfinished", "{version}");
        let advice = format!(
            "go on from where it was in epoch 6, after step 39: kiln resume {}",
            run(&world, "dropout-state-2")
        );
        let is_told = |line: &str| line.ends_with(&advice);
        assert!(examined.stdout.lines().any(is_told), "{version}: {}", examined.stdout);
    }
}

#[test]
fn a_golden_network_predicts() {
    for (version, world) in worlds() {
        // The right column shines.
        let picture =
            image::GrayImage::from_fn(4, 4, |x, _| image::Luma([20 + 180 * u8::from(x == 2)]));
        picture.save(world.path("right.png")).unwrap();
        for name in ["columns", "normalized"] {
            let predicted = world.kiln(&["predict", &run(&world, name), "right.png"]);
            assert_eq!(predicted.status, 0, "{version}: {}", predicted.stderr);
            assert!(predicted.stdout.starts_with("right.png: right "), "{}", predicted.stdout);
        }
    }
}

#[test]
fn a_golden_run_that_was_interrupted_goes_on() {
    for (version, world) in worlds() {
        let run = run(&world, "dropout-state-2");
        let resumed = world.kiln(&["resume", &run]);
        if version != env!("CARGO_PKG_VERSION") {
            // Another program's rest would not be the rest of this run, and that is said.
            assert_eq!(resumed.status, 1, "{version}: {}", resumed.stderr);
            assert!(resumed.stderr.contains("Kiln changed from"), "{version}: {}", resumed.stderr);
            continue;
        }
        assert_eq!(resumed.status, 0, "{version}: {}", resumed.stderr);
        assert!(resumed.stderr.contains("goes on in epoch 6, after step 39"), "{}", resumed.stderr);
        assert_eq!(world.read(format!("{run}/history.csv")).lines().count(), 13);
        assert!(shown_accuracy(&world, &run).unwrap() > 0.9, "{version}");
        let examined = world.kiln(&["doctor", &run]);
        assert_eq!(examined.last_line(), "1 run: 1 whole", "{version}: {}", examined.stdout);
    }
}

#[test]
fn a_golden_run_with_an_older_state_is_left_as_it_is() {
    for (version, world) in worlds() {
        let run = run(&world, "dropout");
        let examined = world.kiln(&["doctor", &run]);
        assert!(examined.stdout.contains("kiln resume refuses"), "{}", examined.stdout);
        let listing = world.listing();
        let resumed = world.kiln(&["resume", &run]);
        assert_eq!(resumed.status, 1, "{version}: {}", resumed.stderr);
        let problem = "its checkpoints have format version 1, and this Kiln reads 2";
        assert!(resumed.stderr.contains(problem), "{version}: {}", resumed.stderr);
        assert_eq!(world.listing(), listing, "{version}");
    }
}

#[test]
fn a_golden_sweep_is_known_to_be_done() {
    for (version, world) in worlds() {
        // Where a later Kiln has other settings, its runs are others.
        if version == env!("CARGO_PKG_VERSION") {
            let again = world.kiln(&["resume", "runs/pruned", "--data", "data"]);
            assert_eq!(again.status, 0, "{}", again.stderr);
            assert!(again.stdout.contains("3 runs: 1 finished, 2 pruned"), "{}", again.stdout);
            assert_eq!(trained_here(&again), 0, "{}", again.stderr);
        }
    }
}
