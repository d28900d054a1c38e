//! The cache of decoded images.

use image::{GrayImage, Luma};

use crate::project::Project;

/// A directory of pictures of two classes: dark on the left, or dark on the right.
fn write_pictures(project: &Project) {
    for number in 0..12_u8 {
        for (class, is_dark_left) in [("left", true), ("right", false)] {
            let path = project.path(format!("data/pictures/{class}/{number}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = GrayImage::from_fn(8, 6, |x, _| {
                Luma([if (x < 4) == is_dark_left { number } else { 200 + number }])
            });
            picture.save(path).unwrap();
        }
    }
}

const RUN: &[&str] = &[
    "run",
    "experiment.toml",
    "data.source=pictures",
    "data.image=[3, 4]",
    "data.validation=4",
    "data.test=4",
    "data.broken=skip",
];

#[test]
fn images_are_decoded_once_and_the_cache_can_be_removed() {
    let project = Project::new();
    write_pictures(&project);
    project.write("data/pictures/left/3.png", "not a picture");
    let first = project.kiln_ok(RUN).last_line().to_owned();
    let record = project.read_json(format!("{first}/run.json"));
    let dataset = &record["dataset"];
    assert_eq!(dataset["skipped_rows"], 1);
    assert_eq!(dataset["skipped"][0]["path"], "left/3.png");
    assert!(dataset["skipped"][0]["reason"].as_str().unwrap().contains("not a"), "{dataset}");
    assert_eq!(dataset["training_rows"], 15);

    let listing = project.kiln_ok(&["data", "list"]).stdout;
    assert!(listing.contains("in data/.cache"), "{listing}");
    let second = project.kiln_ok(RUN).last_line().to_owned();
    let metrics = |run: &str| {
        let history = project.read(format!("{run}/history.csv"));
        // The last column, the seconds, differs.
        let without_seconds = |line: &str| line.rsplit_once(',').unwrap().0.to_owned();
        history.lines().map(without_seconds).collect()
    };
    let expected: Vec<String> = metrics(&first);
    assert_eq!(metrics(&second), expected);

    let listed = project.kiln_ok(&["clean", "--cache"]);
    assert!(
        listed.stdout.contains("of decoded images can be freed in data/.cache"),
        "{}",
        listed.stdout
    );
    assert!(listed.stderr.contains("kiln clean --cache --yes"), "{}", listed.stderr);
    assert!(project.path("data/.cache").exists());
    let removed = project.kiln_ok(&["clean", "--cache", "--yes"]);
    assert!(removed.stdout.contains("removed"), "{}", removed.stdout);
    assert!(!project.path("data/.cache").exists());
    assert!(project.kiln_ok(&["clean", "--cache"]).stdout.contains("nothing to remove"));
    let third = project.kiln_ok(RUN).last_line().to_owned();
    assert_eq!(metrics(&third), expected);
}

#[test]
fn broken_images_are_listed_before_a_run_starts() {
    let project = Project::new();
    write_pictures(&project);
    for number in 0..12 {
        project.write(format!("data/pictures/left/{number}.png"), "not a picture");
        project.write(format!("data/pictures/right/{number}.png"), "");
    }
    project.write("data/pictures/right/12.png", "");
    let output = project.kiln(&[&RUN[..6], &["data.broken=error"]].concat());
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("25 images cannot be read"), "{}", output.stderr);
    assert!(output.stderr.contains("and 5 more"), "{}", output.stderr);
    assert!(!project.path("runs").exists());
}

#[test]
fn the_processes_of_a_sweep_share_the_decoded_images() {
    let project = Project::new();
    write_pictures(&project);
    let sweep = [&["sweep"][..], &RUN[1..6], &["seed=1..3", "--jobs", "3"]].concat();
    project.kiln_ok(&sweep);
    let cached = std::fs::read_dir(project.path("data/.cache")).unwrap();
    let names = cached.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("-1x3x4-stretch")).count(), 1);
}
