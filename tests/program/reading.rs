//! `kiln show`, `kiln predict` and `kiln completions`.

use image::{GrayImage, Rgb, RgbImage};

use crate::project::Project;

#[test]
fn show_prints_the_history_and_the_test_report() {
    let project = Project::new();
    let run = project.trained(&[]);
    let output = project.kiln(&["show", &run]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    for part in ["finished", "val_accuracy", "precision", "macro average", "middle", "config.toml"]
    {
        assert!(output.stdout.contains(part), "`{part}` is not in:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains('\u{1b}'), "a pipe takes no colour");
}

#[test]
fn show_says_which_numbers_are_not_those_that_were_written() {
    let project = Project::new();
    let run = project.trained(&[]);
    let history = project.read(format!("{run}/history.csv"));
    project.write(&format!("{run}/history.csv"), history.replacen("0.", "1.", 1));
    let output = project.kiln(&["show", &run]);
    let damaged = format!("\nDamaged\n{run}/history.csv is damaged: ");
    assert!(output.stdout.contains(&damaged), "{}", output.stdout);
    assert!(output.stdout.contains(&format!("kiln doctor {run}\n")), "{}", output.stdout);
    project.write(&format!("{run}/history.csv"), history);
    assert!(!project.kiln(&["show", &run]).stdout.contains("Damaged"));
}

#[test]
fn show_refuses_what_is_no_run() {
    let project = Project::new();
    for path in ["nowhere", "data", "experiment.toml"] {
        let output = project.kiln(&["show", path]);
        assert_eq!(output.status, 1);
        assert!(output.stderr.contains(path), "{}", output.stderr);
    }
}

/// A picture in which one of four columns is light.
fn bright(column: u32, scale: u32) -> GrayImage {
    GrayImage::from_fn(4 * scale, 4 * scale, |x, _| {
        image::Luma([if x / scale == column { 180 } else { 40 }])
    })
}

#[test]
fn predict_classifies_pictures_as_they_come_and_says_what_it_did() {
    let project = Project::new();
    let run = project.trained(&["epochs=12"]);
    bright(0, 1).save(project.path("small.png")).unwrap();
    bright(1, 16).save(project.path("large.png")).unwrap();
    let grey = bright(2, 1);
    let colour = RgbImage::from_fn(4, 4, |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
    colour.save(project.path("colour.png")).unwrap();

    let output = project.kiln(&["predict", &run, "small.png", "large.png", "colour.png"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, (file, class)) in
        lines.iter().zip([("small.png", "left"), ("large.png", "middle"), ("colour.png", "right")])
    {
        assert!(line.starts_with(&format!("{file}: {class} ")), "{line}");
    }
    let notes = |file: &str| output.stderr.lines().filter(|line| line.starts_with(file)).count();
    assert_eq!(notes("small.png"), 0, "{}", output.stderr);
    assert!(output.stderr.contains("64×64") && output.stderr.contains("4×4"), "{}", output.stderr);
    assert_eq!(notes("colour.png"), 1, "{}", output.stderr);
}

#[test]
fn a_picture_that_cannot_be_read_does_not_keep_the_others_from_their_answer() {
    let project = Project::new();
    let run = project.trained(&[]);
    bright(0, 1).save(project.path("good.png")).unwrap();
    project.write("bad.png", "no picture");
    let output = project.kiln(&["predict", &run, "bad.png", "good.png", "missing.png"]);
    assert_eq!(output.status, 1);
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    for file in ["bad.png", "missing.png"] {
        assert!(output.stderr.contains(file), "{}", output.stderr);
    }
}

#[test]
fn predict_refuses_a_run_that_is_not_finished() {
    let project = Project::new();
    let run = project.kiln(&["run", "experiment.toml", "learning_rate=1e30"]).last_line();
    bright(0, 1).save(project.path("good.png")).unwrap();
    let output = project.kiln(&["predict", &run, "good.png"]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("is not a finished run (diverged)"), "{}", output.stderr);
}

#[test]
fn predict_refuses_a_damaged_model() {
    let project = Project::new();
    let run = project.trained(&[]);
    let path = format!("{run}/model.safetensors");
    let mut bytes = std::fs::read(project.path(&path)).unwrap();
    bytes.truncate(bytes.len() - 7);
    project.write(&path, bytes);
    bright(0, 1).save(project.path("good.png")).unwrap();
    let output = project.kiln(&["predict", &run, "good.png"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("model.safetensors"), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn help_and_completions_know_every_command() {
    let project = Project::new();
    let help = project.kiln(&["--help"]).stdout;
    for shell in ["bash", "zsh", "fish"] {
        let completions = project.kiln(&["completions", shell]).stdout;
        for command in ["run", "summary", "show", "predict", "data", "completions"] {
            assert!(completions.contains(command), "{shell}: {command}");
            assert!(help.contains(&format!("  {command}")), "{help}");
        }
    }
}
