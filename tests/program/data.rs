//! `kiln data`, with the committed dataset and with the tiny one.

use crate::project::Project;

/// The directory of the committed datasets.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

#[test]
fn list_shows_named_datasets_and_which_are_missing() {
    let output = Project::new().kiln(&["data", "list", "--data", DATA]);
    assert_eq!(output.status, 0);
    assert!(output.stdout.contains("fashion-mnist"), "{}", output.stdout);
    assert!(output.stdout.contains("60000 training and 10000 test images"), "{}", output.stdout);
    let nowhere = Project::new().kiln(&["data", "list", "--data", "nowhere"]);
    assert!(nowhere.stdout.contains("missing in nowhere/fashion-mnist"), "{}", nowhere.stdout);
}

#[test]
fn verify_accepts_the_committed_files() {
    let output = Project::new().kiln(&["data", "verify", "fashion-mnist", "--data", DATA]);
    assert_eq!(output.status, 0, "{}", output.stdout);
    assert_eq!(
        output.stdout.matches("(matches the published checksum)").count(),
        4,
        "{}",
        output.stdout
    );
}

#[test]
fn verify_reports_every_damaged_file() {
    let project = Project::new();
    project.write("data/columns/train-images-idx3-ubyte", "not IDX");
    project.write("data/columns/t10k-labels-idx1-ubyte", "");
    let output = project.kiln(&["data", "verify", "columns"]);
    assert_eq!(output.status, 1);
    assert_eq!(output.stdout.matches("FAILED").count(), 2, "{}", output.stdout);
}

#[test]
fn preview_draws_twenty_five_images() {
    let project = Project::new();
    let output = project.kiln_ok(&["data", "preview", "columns", "--out", "preview.png"]);
    assert_eq!(output.last_line(), "preview.png");
    let picture = image::open(project.path("preview.png")).unwrap();
    assert!(picture.width() > 300 && picture.height() > 300);
}

#[test]
fn preview_refuses_a_path_that_is_not_png() {
    let project = Project::new();
    let output = project.kiln(&["data", "preview", "columns", "--out", "experiment.toml"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("must end in .png"), "{}", output.stderr);
    assert_eq!(project.read("experiment.toml"), crate::columns::EXPERIMENT);
}

#[test]
fn preview_shows_what_augmentation_does() {
    let project = Project::new();
    let augment = "\n[[augment]]\ntype = \"random_flip\"\nmode = \"horizontal\"\n";
    project.write("flip.toml", crate::columns::EXPERIMENT.to_owned() + augment);
    let preview = ["data", "preview", "columns", "--augment", "flip.toml", "--out"];
    project.kiln_ok(&[&preview[..], &["one.png"]].concat());
    project.kiln_ok(&[&preview[..], &["two.png"]].concat());
    let read = |file| std::fs::read(project.path(file)).unwrap();
    assert_eq!(read("one.png"), read("two.png"));
    project.kiln_ok(&["data", "preview", "columns", "--out", "plain.png"]);
    assert_ne!(read("one.png"), read("plain.png"));
    let preview = ["data", "preview", "columns", "--augment", "experiment.toml", "--out", "no.png"];
    let none = project.kiln(&preview);
    assert_eq!(none.status, 2);
    assert!(none.stderr.contains("has no [[augment]]"), "{}", none.stderr);
}
