//! Rare classes: class weights and balanced sampling.

use std::fs;

use crate::columns::idx_header;
use crate::project::Project;

/// A project with the dataset `rare`: 200 training images of class 0, 12 of class 1 and 8 of class 2, and 30 test images of
/// each class. In an image of class c, column c is a bit brighter than the noise.
fn project() -> Project {
    let project = Project::new();
    let directory = project.path("rare");
    fs::create_dir_all(&directory).unwrap();
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 25) as u8
    };
    for (prefix, counts) in [("train", [200, 12, 8]), ("t10k", [30, 30, 30])] {
        let count = counts.iter().sum();
        let (mut images, mut labels) = (idx_header(&[count, 4, 4]), idx_header(&[count]));
        let classes = (0..3_u8).flat_map(|class| vec![class; counts[usize::from(class)] as usize]);
        for class in classes {
            labels.push(class);
            images.extend((0..16).map(|pixel| noise() + if pixel % 4 == class { 60 } else { 0 }));
        }
        fs::write(directory.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        fs::write(directory.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
    }
    project
}

const RARE: [&str; 4] = ["source=./rare", "split=stratified", "validation=0.25", "epochs=8"];

#[test]
fn both_ways_find_more_images_of_rare_classes() {
    let project = project();
    let recall = |change: &[&str]| {
        let run = project.train(&[&RARE, change].concat());
        let report = project.read_json(format!("{run}/report.json"));
        (run, report["macro_average"]["recall"].as_f64().unwrap())
    };
    let (plain, unweighted) = recall(&[]);
    assert!(!project.read(format!("{plain}/config.toml")).contains("class_weights"));
    for change in ["class_weights=balanced", "sampling=balanced", "class_weights={1=15, 2=20}"] {
        let (run, weighted) = recall(&[change]);
        assert!(weighted > unweighted + 0.1, "{change}: {weighted}, without: {unweighted}");
        let (key, _) = change.split_once('=').unwrap();
        assert!(project.read(format!("{run}/config.toml")).contains(key), "{change}");
        // The random rows are the same again.
        let output = project.kiln_ok(&["verify", &run]);
        assert!(output.stdout.starts_with("identical: 8 epochs"), "{}", output.stdout);
        project.kiln_ok(&["doctor", &run]);
    }
}

#[test]
fn a_weight_for_an_unknown_class_is_an_error_that_lists_the_classes() {
    let project = project();
    let arguments = [&["run", "experiment.toml", "class_weights={cat=2}"][..], &RARE].concat();
    let output = project.kiln(&arguments);
    assert_ne!(output.status, 0);
    for part in ["the dataset has no class \"cat\"", "class_weights={cat=2}", "0, 1, 2"] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    assert!(!project.path("runs").exists(), "nothing was written");
    // A sweep finds it before the first run.
    let axes = ["sweep", "experiment.toml", "class_weights={1=2},{cat=2}", "--dry-run"];
    let output = project.kiln(&[&axes[..], &RARE].concat());
    assert_ne!(output.status, 0);
    assert!(output.stderr.contains("the dataset has no class \"cat\""), "{}", output.stderr);
}

#[test]
fn the_rows_of_each_split_are_listed() {
    let project = project();
    let run = project.train(&[&RARE[..], &["split_seed=3"]].concat());
    let text = project.read(format!("{run}/splits.csv"));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("first,last,part"));
    let mut counts = std::collections::BTreeMap::new();
    let mut next = 0;
    for line in lines {
        let [first, last, part] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(first, next, "{line}");
        next = last + 1;
        *counts.entry(part.to_owned()).or_insert(0) += last - first + 1;
    }
    let expected = [("test", 90), ("training", 165), ("validation", 55)];
    assert_eq!(counts, expected.map(|(part, count)| (part.to_owned(), count)).into());

    // Another seed with the same split_seed has the same rows.
    let other = project.train(&[&RARE[..], &["split_seed=3", "seed=9"]].concat());
    assert_eq!(project.read(format!("{other}/splits.csv")), text);
    let drawn = project.train(&[&RARE[..], &["seed=9"]].concat());
    assert_ne!(project.read(format!("{drawn}/splits.csv")), text);
}
