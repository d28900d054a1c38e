//! `kiln data check`, and what `kiln run` reports about the same data.

use crate::columns::idx_header;
use crate::project::Project;

/// The directory of the committed datasets.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// Writes a dataset of 4 × 4 pixels, each image another noise, with these labels.
fn write(project: &Project, name: &str, training: &[u8], test: &[u8]) {
    let mut state = 7_u32;
    for (prefix, labels) in [("train", training), ("t10k", test)] {
        let mut images = idx_header(&[labels.len() as u32, 4, 4]);
        for _ in 0..labels.len() * 16 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            images.push((state >> 24) as u8);
        }
        let label_file = [idx_header(&[labels.len() as u32]), labels.to_vec()].concat();
        std::fs::create_dir_all(project.path(format!("data/{name}"))).unwrap();
        project.write(format!("data/{name}/{prefix}-images-idx3-ubyte"), images);
        project.write(format!("data/{name}/{prefix}-labels-idx1-ubyte"), label_file);
    }
}

/// 60 images of three classes, sorted by class.
fn sorted() -> Vec<u8> {
    [[0; 20], [1; 20], [2; 20]].concat()
}

#[test]
fn the_committed_dataset_is_clean() {
    let project = Project::new();
    let arguments =
        ["data", "check", "fashion-mnist", "validation=5000", "--data", DATA, "--strict"];
    let output = project.kiln_ok(&arguments);
    for expected in
        ["fashion-mnist: 70000 images of 28×28, 10 classes, read as idx", "exact copies: none"]
    {
        assert!(output.stdout.contains(expected), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("warning"), "{}", output.stdout);
    let row: Vec<&str> = output
        .stdout
        .lines()
        .find(|line| line.starts_with("all "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(row, ["all", "55000", "5000", "10000"]);
}

#[test]
fn the_result_is_also_json() {
    let project = Project::new();
    let json = project.kiln_ok(&["data", "check", "columns", "validation=24", "--json"]).json();
    assert_eq!(json["format_version"], 1);
    assert_eq!((&json["images"], &json["format"]), (&150.into(), &"idx".into()));
    assert_eq!(json["classes"][0]["name"], "left");
    let training: u64 =
        json["classes"].as_array().unwrap().iter().map(|it| it["training"].as_u64().unwrap()).sum();
    assert_eq!(training, 96);
    assert_eq!(json["copies"]["in_training"], 0);
    assert_eq!(json["findings"].as_array().unwrap().len(), 0, "{json}");
}

#[test]
fn sorted_images_stop_a_run_and_a_check_names_the_way_out() {
    let project = Project::new();
    write(&project, "sorted", &sorted(), &[0, 1, 2, 0, 1, 2]);
    let arguments = ["data", "check", "sorted", "validation=12"];
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1);
    assert!(
        output.stdout.contains("error: all 12 validation images are of one class, `0`"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("data.split=stratified"), "{}", output.stdout);
    let run = ["run", "experiment.toml", "source=sorted", "validation=12"];
    let refused = project.kiln(&run);
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("error: sorted: all 12 validation images"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("help: take rows from each class: data.split=stratified"));
    assert!(!project.path("runs").exists());
    // The advice works.
    let stratified = [&arguments[..], &["data.split=stratified", "--strict"]].concat();
    assert_eq!(project.kiln_ok(&stratified).status, 0);
    project.kiln_ok(&[&run[..], &["data.split=stratified", "epochs=1"]].concat());
}

#[test]
fn warnings_are_printed_and_recorded() {
    let project = Project::new();
    let labels: Vec<u8> = (0..60).map(|row| 1 + row % 2).collect();
    write(&project, "from-one", &labels, &[1, 2, 1, 2]);
    let output = project.kiln_ok(&["run", "experiment.toml", "source=from-one", "epochs=1"]);
    let warning =
        "the labels begin at 1: class 0, `0`, has no images, and the network gets an output for it";
    assert_eq!(output.stderr.matches(warning).count(), 1, "{}", output.stderr);
    let run = output.last_line();
    assert_eq!(project.read_json(format!("{run}/run.json"))["data_warnings"][0], warning);
    assert!(
        project.read(format!("{run}/report.md")).contains("| data warning | the labels begin at 1")
    );
    let shown = project.kiln_ok(&["show", &run]).stdout;
    assert!(shown.contains("data warning   the labels begin at 1"), "{shown}");
    // A warning is not an error, unless that is asked for.
    let check = ["data", "check", "from-one"];
    assert!(project.kiln_ok(&check).stdout.contains(&format!("warning: {warning}")));
    assert_eq!(project.kiln(&[&check[..], &["--strict"]].concat()).status, 1);
    // The runs of a sweep share it.
    let sweep = ["sweep", "experiment.toml", "source=from-one", "epochs=1", "seed=1,2,3"];
    let stderr = project.kiln_ok(&sweep).stderr;
    assert_eq!(stderr.matches(&format!("warning: data: {warning}")).count(), 1, "{stderr}");
    assert_eq!(stderr.matches("kiln data check from-one").count(), 1, "{stderr}");
    // Without a warning, there is no key.
    let clean = project.train(&["epochs=1"]);
    assert!(project.read_json(format!("{clean}/run.json")).get("data_warnings").is_none());
}

#[test]
fn an_impossible_split_is_a_finding() {
    let project = Project::new();
    let output = project.kiln(&["data", "check", "columns", "validation=120"]);
    assert_eq!(output.status, 1);
    assert!(output.stdout.contains("error: validation = 120"), "{}", output.stdout);
    assert!(output.stdout.contains("120"), "{}", output.stdout);
}

#[test]
fn keys_of_the_data_table_are_checked() {
    let project = Project::new();
    for (argument, expected) in [("validaton=3", "validation"), ("validation=-1", "a whole number")]
    {
        let output = project.kiln(&["data", "check", "columns", argument]);
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
    let unknown = project.kiln(&["data", "check", "colums"]);
    assert_eq!(unknown.status, 2, "{}", unknown.stderr);
}
