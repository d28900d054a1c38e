//! `kiln summary`, compared with Keras' `model.summary()` for the network of `configs/fashion-mnist.toml`.

use crate::project::Project;

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
const FASHION_MNIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/fashion-mnist.toml");

#[test]
fn parameter_counts_match_keras() {
    let output = Project::new().kiln_ok(&["summary", FASHION_MNIST]);
    let mut rest = output.stdout.as_str();
    // The parameters of each layer of Keras' table from top to bottom, and their sum.
    for number in ["235,500", "30,100", "10,100", "10,100", "1,010", "286,810"] {
        let (_, after) = rest
            .split_once(number)
            .unwrap_or_else(|| panic!("{number} is missing or out of order: {}", output.stdout));
        rest = after;
    }
}

#[test]
fn json_has_the_numbers_of_the_text() {
    let output = Project::new().kiln_ok(&["summary", FASHION_MNIST, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&json["format_version"], &json["engine"]), (&1.into(), &"fused".into()));
    let parameters: Vec<u64> = json["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["parameters"].as_u64().unwrap())
        .collect();
    assert_eq!(parameters, [0, 235_500, 30_100, 10_100, 10_100, 1_010]);
    assert_eq!(json["layers"][1]["output"], serde_json::json!([300]));
    assert_eq!(json["parameters"], 286_810);
}

#[test]
fn summary_says_why_the_engine_is_generic() {
    let project = Project::new();
    project.write("experiment.toml", crate::columns::EXPERIMENT);
    let softmax = ["summary", "experiment.toml", "hidden.activation=softmax"];
    let output = project.kiln_ok(&softmax);
    let reason = "Engine:          generic\n  reason:        the fused engine does not support the softmax inside the network, \
                  in layer \"hidden\" (dense)";
    assert!(output.stdout.contains(reason), "{}", output.stdout);
    for (engine, line) in [("auto", "fused"), ("generic", "generic")] {
        let output = project.kiln_ok(&["summary", "experiment.toml", &format!("engine={engine}")]);
        let line = format!("Engine:          {line}");
        assert!(output.stdout.trim_end().ends_with(&line), "{}", output.stdout);
    }
}

#[test]
fn override_changes_the_number_of_layers() {
    let output = Project::new().kiln(&["summary", FASHION_MNIST, "hidden.repeat=1"]);
    assert!(output.stdout.contains("266,610"), "235,500 + 30,100 + 1,010: {}", output.stdout);
}

#[test]
fn error_names_a_layer_with_a_wrong_input_shape() {
    let project = Project::new();
    let text = crate::columns::EXPERIMENT.replace("  { type = \"flatten\" },\n", "");
    project.write("experiment.toml", text);
    let output = project.kiln(&["summary", "experiment.toml"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("layer \"hidden\" (dense)"), "{}", output.stderr);
    assert!(output.stderr.contains("insert { type = \"flatten\" } before it"), "{}", output.stderr);
    assert!(output.stderr.contains("experiment.toml:10"), "{}", output.stderr);
}

#[test]
fn all_committed_configs_have_a_summary() {
    for entry in std::fs::read_dir(CONFIGS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Project::new().kiln_ok(&["summary", path.to_str().unwrap()]);
        }
    }
}
