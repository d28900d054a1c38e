//! `kiln summary`, against the article's `model.summary()`.

use crate::project::Project;

fn configs() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/configs").to_owned()
}

#[test]
fn the_articles_network_has_the_articles_parameters() {
    let config = format!("{}/fashion-mnist.toml", configs());
    let output = Project::new().kiln(&["summary", &config]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let mut rest = output.stdout.as_str();
    // Keras' table, top to bottom.
    for number in ["235,500", "30,100", "10,100", "10,100", "1,010", "286,810"] {
        let (_, behind) = rest.split_once(number).unwrap_or_else(|| {
            panic!("{number} is not there, or not in its place: {}", output.stdout)
        });
        rest = behind;
    }
}

#[test]
fn depth_is_an_override_away() {
    let config = format!("{}/fashion-mnist.toml", configs());
    let output = Project::new().kiln(&["summary", &config, "hidden.repeat=1"]);
    assert!(output.stdout.contains("266,610"), "235,500 + 30,100 + 1,010: {}", output.stdout);
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let project = Project::new();
    let text = crate::columns::EXPERIMENT.replace("  { type = \"flatten\" },\n", "");
    project.write("experiment.toml", text);
    let output = project.kiln(&["summary", "experiment.toml"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("layer \"hidden\" (dense)"), "{}", output.stderr);
    assert!(output.stderr.contains("put { type = \"flatten\" } before it"), "{}", output.stderr);
    assert!(output.stderr.contains("experiment.toml:10"), "{}", output.stderr);
}

#[test]
fn every_example_has_a_summary() {
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let output = Project::new().kiln(&["summary", path.to_str().unwrap()]);
            assert_eq!(output.status, 0, "{}: {}", path.display(), output.stderr);
        }
    }
}
