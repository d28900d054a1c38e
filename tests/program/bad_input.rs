//! Each mistake is reported once, with its place, and leaves nothing behind that looks finished.

use std::fs;
use std::io::Write;

use crate::columns::{EXPERIMENT, idx_header};
use crate::project::{CommandOutput, Project};
use crate::run_state::only_run;

/// Asserts that a command fails with one error message that contains all parts, and creates no files.
fn assert_refused(project: &Project, arguments: &[&str], status: i32, parts: &[&str]) {
    let before = project.listing();
    let output = project.kiln(arguments);
    assert_eq!(output.status, status, "{}", output.stderr);
    for part in parts {
        assert!(output.stderr.contains(part), "`{part}` is not in:\n{}", output.stderr);
    }
    assert_eq!(
        output.stderr.matches("error: ").count(),
        1,
        "not exactly one error:\n{}",
        output.stderr
    );
    output.assert_no_panic("refused command");
    assert_eq!(output.stdout, "");
    assert_eq!(project.listing(), before, "a refused command must not create files");
}

/// Replaces a text in the experiment, and asserts that `kiln run` refuses the result.
fn assert_experiment_refused(from: &str, to: &str, parts: &[&str]) {
    let project = Project::new();
    assert!(EXPERIMENT.contains(from));
    project.write("experiment.toml", EXPERIMENT.replacen(from, to, 1));
    assert_refused(&project, &["run", "experiment.toml"], 2, parts);
}

#[test]
fn missing_experiment() {
    let project = Project::new();
    assert_refused(
        &project,
        &["run", "missing.toml"],
        2,
        &["cannot read missing.toml", "check the path"],
    );
}

#[test]
fn invalid_toml() {
    assert_experiment_refused("seed = 1", "seed = = 1", &["invalid TOML", "experiment.toml:2:"]);
}

#[test]
fn unknown_key() {
    assert_experiment_refused(
        "learning_rate",
        "learnig_rate",
        &["learnig_rate", "experiment.toml:17:1", "did you mean `learning_rate`?"],
    );
}

#[test]
fn negative_units() {
    assert_experiment_refused(
        "units = 8",
        "units = -3",
        &["-3", "experiment.toml:11:29", "above 0"],
    );
}

#[test]
fn learning_rate_that_is_a_string() {
    assert_experiment_refused(
        "learning_rate = 0.1",
        "learning_rate = \"fast\"",
        &["\"fast\"", "experiment.toml:17:17", "expected a number"],
    );
}

#[test]
fn validation_larger_than_the_dataset() {
    assert_experiment_refused(
        "validation = 24",
        "validation = 500",
        &["validation = 500", "from the 120", "experiment.toml:6:14"],
    );
}

#[test]
fn name_that_leads_out_of_the_runs_directory() {
    assert_experiment_refused(
        "name = \"columns\"",
        "name = \"../escape\"",
        &["`/` is not allowed", "experiment.toml:1:8"],
    );
}

#[test]
fn unknown_dataset() {
    assert_experiment_refused(
        "source = \"columns\"",
        "source = \"fashion-mnits\"",
        &["did you mean `fashion-mnist`?", "experiment.toml:5:10"],
    );
}

#[test]
fn usage_errors() {
    let project = Project::new();
    for arguments in [vec!["fire"], vec!["run"], vec!["run", "experiment.toml", "--velocity=9"]] {
        let output = project.kiln(&arguments);
        assert_eq!(output.status, 2, "{arguments:?}");
        assert!(output.stderr.contains("Usage:"), "{}", output.stderr);
    }
    assert_refused(
        &project,
        &["run", "experiment.toml", "epochs"],
        2,
        &["missing value for `epochs`"],
    );
    let too_many = ["run", "experiment.toml", "epochs=100001"];
    assert_refused(&project, &too_many, 2, &["a whole number from 1 to 100000"]);
}

/// Replaces one file of the dataset, and asserts that the error names it.
fn assert_data_refused(file: &str, content: &[u8], parts: &[&str]) {
    let project = Project::new();
    project.write(format!("data/columns/{file}"), content);
    assert_refused(&project, &["run", "experiment.toml"], 1, &[[file].as_slice(), parts].concat());
}

#[test]
fn missing_data_file() {
    let project = Project::new();
    fs::remove_file(project.path("data/columns/t10k-labels-idx1-ubyte")).unwrap();
    assert_refused(
        &project,
        &["run", "experiment.toml"],
        1,
        &["t10k-labels-idx1-ubyte is missing"],
    );
}

#[test]
fn truncated_gzip() {
    let project = Project::new();
    let images = fs::read(project.path("data/columns/train-images-idx3-ubyte")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&images).unwrap();
    let complete = encoder.finish().unwrap();
    let half = &complete[..complete.len() / 2];
    assert_data_refused("train-images-idx3-ubyte", half, &["gzip", "truncated"]);
}

#[test]
fn fewer_labels_than_images() {
    let mut labels = idx_header(&[7]);
    labels.extend([0; 7]);
    assert_data_refused("train-labels-idx1-ubyte", &labels, &["7 labels for the 120 images"]);
}

#[test]
fn header_that_claims_four_billion_images() {
    let mut images = idx_header(&[u32::MAX, 4, 4]);
    images.extend([0; 64]);
    assert_data_refused("train-images-idx3-ubyte", &images, &["4294967295"]);
}

#[test]
fn label_outside_the_classes() {
    let mut labels = idx_header(&[30]);
    labels.extend([0; 29]);
    labels.push(200);
    assert_data_refused("t10k-labels-idx1-ubyte", &labels, &["row 29", "label 200"]);
}

#[test]
fn runs_directory_that_is_a_file() {
    let project = Project::new();
    project.write("occupied", "a file where a directory should be");
    assert_refused(
        &project,
        &["run", "experiment.toml", "--runs", "occupied"],
        1,
        &["occupied/columns"],
    );
}

/// Runs the experiment with files limited to so many blocks of 512 bytes. Writing more fails, as on a full disk.
#[cfg(unix)]
fn run_with_file_size_limit(project: &Project, blocks: usize) -> CommandOutput {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run experiment.toml");
    let program = env!("CARGO_BIN_EXE_kiln");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, program]).current_dir(project.path("."));
    CommandOutput::from(command.output().unwrap())
}

#[cfg(unix)]
#[test]
fn full_disk() {
    // No space at all, space for `run.json` only, and space for more but not for a chart.
    for blocks in [0, 4, 8] {
        let project = Project::new();
        let output = run_with_file_size_limit(&project, blocks);
        assert_eq!(output.status, 1, "{}", output.stderr);
        let errors: Vec<&str> =
            output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(matches!(errors.as_slice(), [one] if one.contains("runs/columns/")), "{errors:?}");
        output.assert_no_panic("full disk");
        let Some(run) = only_run(&project) else {
            // Without any space the run directory is not created.
            assert_eq!(blocks, 0, "{errors:?}");
            continue;
        };
        assert!(!run.join("report.json").exists(), "the run looks finished");
        for entry in fs::read_dir(&run).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with('.'), "{name} is a partial file");
        }
        let record = fs::read_to_string(run.join("run.json"));
        assert_eq!(record.is_ok(), blocks > 0, "{record:?}");
        if let Ok(record) = record {
            assert!(record.contains("\"status\": \"failed\""), "{record}");
        }
        assert!(!run.join("predictions.csv").exists(), "a part of the report is left");
    }
}
