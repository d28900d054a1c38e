//! `kiln data`, on the datasets that come with the program.

use crate::world::World;

fn data() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/data")
}

#[test]
fn list_names_the_datasets_and_says_which_are_here() {
    let ran = World::new().kiln(&["data", "list", "--data", data()]);
    assert_eq!(ran.status, 0);
    assert!(ran.stdout.contains("fashion-mnist"), "{}", ran.stdout);
    assert!(ran.stdout.contains("60000 training and 10000 test images"), "{}", ran.stdout);
    let nowhere = World::new().kiln(&["data", "list", "--data", "nowhere"]);
    assert!(nowhere.stdout.contains("missing in nowhere/fashion-mnist"), "{}", nowhere.stdout);
}

#[test]
fn verify_finds_the_committed_files_as_published() {
    let ran = World::new().kiln(&["data", "verify", "fashion-mnist", "--data", data()]);
    assert_eq!(ran.status, 0, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("(as published)").count(), 4, "{}", ran.stdout);
}

#[test]
fn verify_reports_every_damaged_file() {
    let world = World::new();
    world.write("data/columns/train-images-idx3-ubyte", "not IDX");
    world.write("data/columns/t10k-labels-idx1-ubyte", "");
    let ran = world.kiln(&["data", "verify", "columns"]);
    assert_eq!(ran.status, 1);
    assert_eq!(ran.stdout.matches("FAILED").count(), 2, "{}", ran.stdout);
}

#[test]
fn preview_draws_twenty_five_images() {
    let world = World::new();
    let ran = world.kiln(&["data", "preview", "columns", "--out", "preview.png"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(ran.last_line(), "preview.png");
    let picture = image::open(world.path("preview.png")).unwrap();
    assert!(picture.width() > 300 && picture.height() > 300);
}

#[test]
fn preview_does_not_write_a_picture_over_another_kind_of_file() {
    let world = World::new();
    let ran = world.kiln(&["data", "preview", "columns", "--out", "experiment.toml"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("must end in .png"), "{}", ran.stderr);
    assert_eq!(world.read("experiment.toml"), crate::columns::EXPERIMENT);
}
