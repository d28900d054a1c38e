//! `kiln summary`, against the article's `model.summary()`.

use crate::world::World;

fn configs() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/configs").to_owned()
}

#[test]
fn the_articles_network_has_the_articles_parameters() {
    let config = format!("{}/fashion-mnist.toml", configs());
    let ran = World::new().kiln(&["summary", &config]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let mut rest = ran.stdout.as_str();
    // Keras' table, top to bottom.
    for number in ["235,500", "30,100", "10,100", "10,100", "1,010", "286,810"] {
        let (_, behind) = rest.split_once(number).unwrap_or_else(|| {
            panic!("{number} is not there, or not in its place: {}", ran.stdout)
        });
        rest = behind;
    }
}

#[test]
fn depth_is_an_override_away() {
    let config = format!("{}/fashion-mnist.toml", configs());
    let ran = World::new().kiln(&["summary", &config, "hidden.repeat=1"]);
    assert!(ran.stdout.contains("266,610"), "235,500 + 30,100 + 1,010: {}", ran.stdout);
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let world = World::new();
    let text = crate::columns::EXPERIMENT.replace("  { type = \"flatten\" },\n", "");
    world.write("experiment.toml", text);
    let ran = world.kiln(&["summary", "experiment.toml"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("layer \"hidden\" (dense)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("put { type = \"flatten\" } before it"), "{}", ran.stderr);
    assert!(ran.stderr.contains("experiment.toml:10"), "{}", ran.stderr);
}

#[test]
fn every_example_has_a_summary() {
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let ran = World::new().kiln(&["summary", path.to_str().unwrap()]);
            assert_eq!(ran.status, 0, "{}: {}", path.display(), ran.stderr);
        }
    }
}
