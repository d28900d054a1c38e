//! `kiln export --onnx`, checked by ONNX's own checker and computed by ONNX Runtime.

use std::path::Path;

use crate::project::Project;
use crate::python::{Python, python_with};

/// All layers, with most activation functions.
const ALL_LAYERS: &str = r#"layers = [
  { type = "zero_padding2d", padding = [[1, 0], [0, 2]] },
  { type = "conv2d", filters = 4, kernel_size = [3, 2], padding = "same", strides = [1, 2], activation = "gelu" },
  { type = "batch_normalization", momentum = 0.9, center = false },
  { type = "depthwise_conv2d", kernel_size = 2, padding = "same", depth_multiplier = 2, activation = "silu" },
  { type = "residual", activation = "leaky_relu", layers = [
      { type = "conv2d", filters = 6, kernel_size = 3, padding = "same", dilation_rate = 2, groups = 2, use_bias = false },
      { type = "batch_normalization", momentum = 0.9, scale = false },
      { type = "activation", activation = "selu" },
    ], shortcut = [
      { type = "conv2d", filters = 6, kernel_size = 1, activation = "softplus" },
    ] },
  { type = "residual", layers = [{ type = "group_normalization", groups = 3, center = false }] },
  { type = "layer_normalization", scale = false },
  { type = "spatial_dropout2d", rate = 0.1 },
  { type = "max_pooling2d", pool_size = 2, strides = 1, padding = "same" },
  { type = "average_pooling2d", pool_size = [3, 2], strides = [2, 1], padding = "same" },
  { type = "conv2d", filters = 5, kernel_size = 2, activation = "elu" },
  { type = "flatten" },
  { type = "dense", units = 8, activation = "sigmoid", use_bias = false },
  { type = "layer_normalization" },
  { type = "group_normalization", groups = 2 },
  { type = "dense", units = 8, activation = "tanh" },
  { type = "batch_normalization", momentum = 0.9 },
  { type = "dropout", rate = 0.2 },
  { type = "dense", units = 8, activation = "softmax" },
  { type = "activation", activation = "linear" },
  { type = "dense", units = "classes", activation = "softmax" },
]"#;

/// The last layer has no softmax, which the probabilities have anyway.
const GLOBAL_POOLING: &str = r#"layers = [
  { type = "residual", layers = [
      { type = "conv2d", filters = 4, kernel_size = 3, padding = "same" },
    ], shortcut = [
      { type = "conv2d", filters = 4, kernel_size = 1 },
    ] },
  { type = "residual", activation = "relu", layers = [
      { type = "global_average_pooling2d" },
    ], shortcut = [
      { type = "global_max_pooling2d" },
    ] },
  { type = "dense", units = "classes" },
]"#;

/// An experiment with these layers.
fn project(layers: &str) -> Project {
    let project = Project::new();
    let experiment = project.read("experiment.toml");
    let (before, rest) = experiment.split_once("layers = [").unwrap();
    let (_, after) = rest.split_once("\n]").unwrap();
    project.write("experiment.toml", format!("{before}{layers}{after}"));
    project
}

/// Exports a run, computes the file with ONNX Runtime, and compares the probabilities of all test images with
/// predictions.csv.
fn check(project: &Project, run: &str, [values, output]: [&str; 2], python: &Python) {
    let options = [("bytes", "--bytes"), ("normalized", "--normalized"), ("logits", "--logits")];
    let chosen = options.iter().filter(|(name, _)| *name == values || *name == output);
    let mut arguments = vec!["export", run, "--onnx", "network.onnx"];
    arguments.extend(chosen.map(|(_, option)| *option));
    let exported = project.kiln_ok(&arguments);
    assert_eq!(exported.last_line(), "network.onnx");
    assert!(
        exported.stderr.contains(&format!("output \"{output}\" [n, 3]")),
        "{}",
        exported.stderr
    );

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/onnx.py");
    let paths = [
        project.path("network.onnx"),
        project.path("data/columns/t10k-images-idx3-ubyte"),
        project.path(format!("{run}/predictions.csv")),
    ];
    let mut arguments: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    arguments.extend([values, output]);
    let differences = python.run(&script, &arguments);
    let differences: Vec<f64> = differences.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(differences.len(), 3, "batches of three sizes");
    for difference in differences {
        assert!(difference < 1e-5, "{values}, {output}: {difference}");
    }
}

#[test]
fn onnx_runtime_computes_the_predictions_of_every_layer() {
    let Some(python) = python_with("onnx, onnxruntime") else { return };
    let project = project(ALL_LAYERS);
    let run = project.train(&["normalize=standardize_per_pixel"]);
    check(&project, &run, ["floats", "probabilities"], &python);
}

#[test]
fn onnx_files_have_the_chosen_input_and_output_and_mirror_images() {
    let Some(python) = python_with("onnx, onnxruntime") else { return };
    let project = project(GLOBAL_POOLING);
    let run = project.train(&["flip=true"]);
    for choice in [
        ["floats", "probabilities"],
        ["bytes", "logits"],
        ["normalized", "probabilities"],
        ["normalized", "logits"],
    ] {
        check(&project, &run, choice, &python);
    }
    for normalize in ["none", "standardize", "standardize_per_channel"] {
        let run = project.train(&[&format!("normalize={normalize}"), "learning_rate=1e-5"]);
        check(&project, &run, ["bytes", "probabilities"], &python);
    }
}

#[test]
fn only_finished_runs_are_exported_and_the_file_is_complete_or_not_there() {
    let project = project(GLOBAL_POOLING);
    let run = project.train(&[]);
    let output = project.kiln(&["export", &run, "--onnx", "missing/network.onnx"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("missing"), "{}", output.stderr);
    let output = project.kiln(&["export", &run]);
    assert_eq!(output.status, 2, "{}", output.stderr);
    assert!(output.stderr.contains("--onnx <FILE>"), "{}", output.stderr);

    project.edit_record(&run, |record| record["status"] = "interrupted".into());
    std::fs::remove_file(project.path(format!("{run}/report.json"))).unwrap();
    let output = project.kiln(&["export", &run, "--onnx", "network.onnx"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("is not finished (interrupted)"), "{}", output.stderr);
    assert!(!project.path("network.onnx").exists());

    let run = project.train(&["seed=2"]);
    project.flip_bit(format!("{run}/model.safetensors"));
    let output = project.kiln(&["export", &run, "--onnx", "network.onnx"]);
    assert_eq!(output.status, 1);
    assert!(!project.path("network.onnx").exists());
}
