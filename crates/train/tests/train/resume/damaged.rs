//! Runs whose checkpoints or history were damaged, and runs that no longer match their checkpoints.

use std::fs;

use kiln_store::{Checkpoints, Position, RunDirectory};
use kiln_train::{Run, RunLock};

use super::{At, Results, SMALL, STEPS, copy, killed_at, resume};
use crate::common::World;

#[test]
fn a_damaged_checkpoint_is_reported_and_the_previous_one_used() {
    let world = World::new();
    for file in ["manifest.json", "state.json", "tensors.safetensors"] {
        let copied = world.runs().join("columns").join(format!("copied-{file}"));
        let uninterrupted = killed_at(&world, 3 * STEPS + 2, &SMALL, &copied);
        let run = RunDirectory::open(&copied).unwrap();
        let last = Checkpoints::of(&run).path(Position { epochs: 3, step: 0 }).join(file);
        let mut bytes = fs::read(&last).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x04;
        fs::write(&last, bytes).unwrap();
        let (found, run) = resume(&world, &run);
        assert_eq!(found.from, Some(Position { epochs: 2, step: 0 }), "{file}");
        assert!(found.damage[0].contains("epoch-00003"), "{:?}", found.damage);
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), file);
    }
}

#[test]
fn a_truncated_history_is_restored_from_the_checkpoint() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let uninterrupted = killed_at(&world, 3 * STEPS + 2, &SMALL, &copied);
    let text = fs::read_to_string(copied.join("history.csv")).unwrap();
    let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    for length in [0, 10, lines[0], lines[1] + 3, lines[2], lines[3] - 1] {
        let again = world.runs().join("columns").join(format!("cut-{length}"));
        copy(&copied, &again);
        fs::write(again.join("history.csv"), &text[..length]).unwrap();
        let (found, run) = resume(&world, &RunDirectory::open(&again).unwrap());
        assert_eq!(found.from, Some(Position { epochs: 3, step: 0 }), "{length}");
        let rows = lines.iter().filter(|end| **end <= length).count().saturating_sub(1);
        let ends = format!("history.csv is damaged: it ends after epoch {rows} of 3");
        assert!(found.damage[0].contains(&ends), "{length}: {:?}", found.damage);
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), &format!("truncated to {length} bytes"));
    }
}

#[test]
fn a_damaged_or_missing_history_is_restored_from_the_checkpoint() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let overrides = [SMALL.as_slice(), &["top_k=[2]"]].concat();
    let uninterrupted = killed_at(&world, 3 * STEPS + 2, &overrides, &copied);
    let text = fs::read_to_string(copied.join("history.csv")).unwrap();
    for (name, damaged, problem) in [
        ("extra line", Some(text.clone() + "junk\n"), "history.csv, line 5"),
        ("header", Some(text.replacen("epoch,", "epo", 1)), "history.csv, line 1"),
        (
            "number",
            Some(text.replacen("0.", "1.", 1)),
            "history.csv is damaged: it differs from the history in the checkpoint",
        ),
        ("missing", None, "history.csv: no such file"),
    ] {
        let again = world.runs().join("columns").join(name);
        copy(&copied, &again);
        match damaged {
            Some(text) => fs::write(again.join("history.csv"), text).unwrap(),
            None => fs::remove_file(again.join("history.csv")).unwrap(),
        }
        let (found, run) = resume(&world, &RunDirectory::open(&again).unwrap());
        assert_eq!(found.from, Some(Position { epochs: 3, step: 0 }), "{name}: {:?}", found.damage);
        assert!(found.damage[0].contains(problem), "{name}: {:?}", found.damage);
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), name);
    }
}

#[test]
fn a_truncated_header_is_restored() {
    let world = World::new();
    let overrides = [SMALL.as_slice(), &["top_k=[2]"]].concat();
    let (run, _) = world.run(&overrides);
    let uninterrupted = Results::of(&run);
    let (run, _) = world.observed_run(&world.runs(), &overrides, &mut At::stop(2));
    fs::write(run.history_path(), "epoch,lo").unwrap();
    let (found, run) = resume(&world, &run);
    assert_eq!(found.from, Some(Position { epochs: 0, step: 2 }), "{:?}", found.damage);
    assert!(found.damage[0].contains("its last row is incomplete"), "{:?}", found.damage);
    found.run.train(&mut ()).unwrap();
    uninterrupted.assert_same(&Results::of(&run), "a truncated header");
}

#[test]
fn a_changed_configuration_or_dataset_is_rejected_with_the_difference() {
    let world = World::new();
    let data = world.runs().parent().unwrap().to_owned();
    let (run, _) = world.observed_run(&world.runs(), &SMALL, &mut At::stop(STEPS + 2));
    let refusal = || {
        let run = RunDirectory::open(run.path()).unwrap();
        Run::resume(run, &data, RunLock::Caller(None), None)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let config = fs::read_to_string(run.config_path()).unwrap();
    fs::write(run.config_path(), config.replace("batch_size = 16", "batch_size = 8")).unwrap();
    let error = refusal();
    assert!(error.contains("training.batch_size from 16 to 8"), "{error}");

    // The interval of checkpoints does not affect the result.
    fs::write(run.config_path(), config.replace("minutes = 10.0", "minutes = 5.0")).unwrap();
    assert_eq!(refusal(), "");
    fs::write(run.config_path(), &config).unwrap();

    let images = data.join("columns/train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&images, bytes).unwrap();
    let error = refusal();
    assert!(error.contains("its dataset columns changed from"), "{error}");
}

/// Where the initial weights of a run that was killed between two checkpoints are damaged.
fn with_damaged_initial_weights(
    world: &World,
    overrides: &[&str],
    name: &str,
) -> (RunDirectory, Vec<u8>, Results) {
    let copied = world.runs().join("columns").join(name);
    let overrides = [SMALL.as_slice(), overrides].concat();
    let uninterrupted = killed_at(world, 3 * STEPS + 2, &overrides, &copied);
    let run = RunDirectory::open(&copied).unwrap();
    let intact = fs::read(run.initial_path()).unwrap();
    let mut damaged = intact.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(run.initial_path(), damaged).unwrap();
    (run, intact, uninterrupted)
}

#[test]
fn damaged_initial_weights_are_reported_and_written_again() {
    let world = World::new();
    let (source, _) = world.run(&["epochs=1", "name=source"]);
    let from_file = format!("initial_weights={}", source.path().display());
    for (name, key) in [("drawn", "save_initial=true"), ("loaded", from_file.as_str())] {
        let (run, intact, uninterrupted) = with_damaged_initial_weights(&world, &[key], name);
        let (found, run) = resume(&world, &run);
        assert_eq!(found.from, Some(Position { epochs: 3, step: 0 }), "{name}");
        let path = run.initial_path().display().to_string();
        assert_eq!(found.damage, [format!("{path} is damaged; it was written again")], "{name}");
        assert!(fs::read(run.initial_path()).unwrap() == intact, "{name}");
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), name);
    }
}

#[test]
fn damaged_initial_weights_that_cannot_be_written_again_are_reported() {
    let world = World::new();
    let (source, _) = world.run(&["epochs=1", "name=source"]);
    let key = format!("initial_weights={}", source.path().display());
    let (run, _, uninterrupted) = with_damaged_initial_weights(&world, &[&key], "loaded");
    let problem = |run: &RunDirectory| {
        let findings = kiln_train::check(run, &run.read_record().unwrap());
        let finding = findings.into_iter().find(|finding| finding.file == "initial.safetensors");
        finding.map(|finding| (finding.problem, finding.advice))
    };
    let (what, advice) = problem(&run).unwrap();
    assert!(what.contains("SHA-256 differs"), "{what}");
    assert!(advice.starts_with("kiln resume writes it again from "), "{advice}");

    fs::remove_file(source.model_path()).unwrap();
    let (found, run) = resume(&world, &run);
    let [warning] = found.damage.as_slice() else { panic!("{:?}", found.damage) };
    let file = source.model_path().display().to_string();
    let reason =
        format!("is damaged and was removed; it cannot be written again, because {file} is");
    assert!(warning.contains(&reason), "{warning}");
    found.run.train(&mut ()).unwrap();
    uninterrupted.assert_same(&Results::of(&run), "without initial weights");
    let (what, advice) = problem(&run).unwrap();
    assert_eq!(what, "it is missing");
    assert!(advice.contains("kiln verify needs "), "{advice}");
}
