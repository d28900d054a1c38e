//! What is wrong is said once, with its place, and nothing that looks finished is left.

use std::fs;
use std::io::Write;

use crate::columns::{EXPERIMENT, header};
use crate::reliability::run_state::only_run;
use crate::world::{Ran, World};

/// One message, no panic, and nothing left behind.
fn assert_refused(world: &World, arguments: &[&str], status: i32, parts: &[&str]) {
    let before = world.listing();
    let ran = world.kiln(arguments);
    assert_eq!(ran.status, status, "{}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` is not in:\n{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "said once:\n{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    assert_eq!(world.listing(), before, "something was left");
}

/// The experiment with one text in place of another, and what the program says about it.
fn refused_experiment(from: &str, to: &str, parts: &[&str]) {
    let world = World::new();
    assert!(EXPERIMENT.contains(from));
    world.write("experiment.toml", EXPERIMENT.replacen(from, to, 1));
    assert_refused(&world, &["run", "experiment.toml"], 2, parts);
}

#[test]
fn an_experiment_that_is_not_there() {
    let world = World::new();
    assert_refused(
        &world,
        &["run", "missing.toml"],
        2,
        &["cannot read missing.toml", "check the path"],
    );
}

#[test]
fn a_text_that_is_not_toml() {
    refused_experiment("seed = 1", "seed = = 1", &["invalid TOML", "experiment.toml:2:"]);
}

#[test]
fn an_unknown_key() {
    refused_experiment(
        "learning_rate",
        "learnig_rate",
        &["learnig_rate", "experiment.toml:17:1", "did you mean `learning_rate`?"],
    );
}

#[test]
fn a_negative_number_of_units() {
    refused_experiment("units = 8", "units = -3", &["-3", "experiment.toml:11:29", "above 0"]);
}

#[test]
fn a_learning_rate_that_is_text() {
    refused_experiment(
        "learning_rate = 0.1",
        "learning_rate = \"fast\"",
        &["\"fast\"", "experiment.toml:17:17", "expected a number"],
    );
}

#[test]
fn a_validation_larger_than_the_data() {
    refused_experiment(
        "validation = 24",
        "validation = 500",
        &["validation = 500", "have 120", "experiment.toml:6:14"],
    );
}

#[test]
fn a_name_that_climbs_out_of_the_runs() {
    refused_experiment(
        "name = \"columns\"",
        "name = \"../escape\"",
        &["`/` is not allowed", "experiment.toml:1:8"],
    );
}

#[test]
fn a_dataset_that_nobody_knows() {
    refused_experiment(
        "source = \"columns\"",
        "source = \"fashion-mnits\"",
        &["did you mean `fashion-mnist`?", "experiment.toml:5:10"],
    );
}

#[test]
fn a_wrong_command_line() {
    let world = World::new();
    for arguments in [vec!["fire"], vec!["run"], vec!["run", "experiment.toml", "--speed=9"]] {
        let ran = world.kiln(&arguments);
        assert_eq!(ran.status, 2, "{arguments:?}");
        assert!(ran.stderr.contains("Usage:"), "{}", ran.stderr);
    }
    assert_refused(&world, &["run", "experiment.toml", "epochs"], 2, &["expected KEY=VALUE"]);
    let too_many = ["run", "experiment.toml", "epochs=100001"];
    assert_refused(&world, &too_many, 2, &["a whole number from 1 to 100000"]);
}

/// The small dataset with one file replaced.
fn refused_data(file: &str, content: &[u8], parts: &[&str]) {
    let world = World::new();
    world.write(&format!("data/columns/{file}"), content);
    assert_refused(&world, &["run", "experiment.toml"], 1, &[[file].as_slice(), parts].concat());
}

#[test]
fn a_data_file_that_is_not_there() {
    let world = World::new();
    fs::remove_file(world.path("data/columns/t10k-labels-idx1-ubyte")).unwrap();
    assert_refused(&world, &["run", "experiment.toml"], 1, &["t10k-labels-idx1-ubyte is missing"]);
}

#[test]
fn a_truncated_gzip() {
    let world = World::new();
    let images = fs::read(world.path("data/columns/train-images-idx3-ubyte")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&images).unwrap();
    let whole = encoder.finish().unwrap();
    let half = &whole[..whole.len() / 2];
    refused_data("train-images-idx3-ubyte", half, &["gzip", "truncated"]);
}

#[test]
fn labels_of_another_length() {
    let mut labels = header(&[7]);
    labels.extend([0; 7]);
    refused_data("train-labels-idx1-ubyte", &labels, &["7 labels for the 120 images"]);
}

#[test]
fn a_header_that_claims_four_billion_images() {
    let mut images = header(&[u32::MAX, 4, 4]);
    images.extend([0; 64]);
    refused_data("train-images-idx3-ubyte", &images, &["4294967295"]);
}

#[test]
fn a_label_without_a_class() {
    let mut labels = header(&[30]);
    labels.extend([0; 29]);
    labels.push(200);
    refused_data("t10k-labels-idx1-ubyte", &labels, &["row 29", "label 200"]);
}

#[test]
fn runs_that_cannot_be_written() {
    let world = World::new();
    world.write("occupied", "a file where a directory should be");
    assert_refused(
        &world,
        &["run", "experiment.toml", "--runs", "occupied"],
        1,
        &["occupied/columns"],
    );
}

/// A file may grow to so many blocks of 512 bytes and no further, as on a disk that is full.
#[cfg(unix)]
fn with_room_for(world: &World, blocks: usize) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run experiment.toml");
    let program = env!("CARGO_BIN_EXE_kiln");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, program]).current_dir(world.path("."));
    Ran::from(command.output().unwrap())
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up() {
    // With no room at all, with room for the record but not for a picture.
    for blocks in [0, 2, 8] {
        let world = World::new();
        let ran = with_room_for(&world, blocks);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        let errors = ran.stderr.lines().filter(|line| line.starts_with("error: "));
        let errors: Vec<&str> = errors.collect();
        assert!(matches!(errors.as_slice(), [one] if one.contains("runs/columns/")), "{errors:?}");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        let Some(run) = only_run(&world) else {
            // Without any room it did not come to a run.
            assert_eq!(blocks, 0, "{errors:?}");
            continue;
        };
        assert!(!run.join("report.json").exists(), "it looks finished");
        for entry in fs::read_dir(&run).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with('.'), "{name} is half written");
        }
        // With no room at all there is no record either.
        let record = fs::read_to_string(run.join("run.json"));
        assert_eq!(record.is_ok(), blocks > 0, "{record:?}");
        if let Ok(record) = record {
            assert!(record.contains("\"status\": \"failed\""), "{record}");
        }
        assert!(!run.join("predictions.csv").exists(), "half a report was left");
    }
}
