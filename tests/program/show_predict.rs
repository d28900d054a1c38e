//! `kiln show`, `kiln predict` and `kiln completions`.

use std::fs;

use image::{GrayImage, Rgb, RgbImage};

use crate::project::Project;

#[test]
fn show_prints_the_history_and_the_test_report() {
    let project = Project::new();
    let run = project.train(&[]);
    let output = project.kiln_ok(&["show", &run]);
    for part in ["finished", "val_accuracy", "precision", "macro average", "middle", "config.toml"]
    {
        assert!(output.stdout.contains(part), "`{part}` is not in:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains('\u{1b}'), "no colors in a pipe");
}

#[test]
fn show_reports_a_damaged_history() {
    let project = Project::new();
    let run = project.train(&[]);
    let history = project.read(format!("{run}/history.csv"));
    project.write(format!("{run}/history.csv"), history.replacen("0.", "1.", 1));
    let output = project.kiln(&["show", &run]);
    let damaged = format!("\nDamaged\n{run}/history.csv is damaged: ");
    assert!(output.stdout.contains(&damaged), "{}", output.stdout);
    assert!(output.stdout.contains(&format!("kiln doctor {run}\n")), "{}", output.stdout);
    project.write(format!("{run}/history.csv"), history);
    assert!(!project.kiln(&["show", &run]).stdout.contains("Damaged"));
}

#[test]
fn show_refuses_paths_that_are_not_runs() {
    let project = Project::new();
    for path in ["nowhere", "data", "experiment.toml"] {
        let output = project.kiln(&["show", path]);
        assert_eq!(output.status, 1);
        assert!(output.stderr.contains(path), "{}", output.stderr);
    }
}

/// An image of `4 * scale` pixels in height and width, with one bright column out of four.
fn bright(column: u32, scale: u32) -> GrayImage {
    GrayImage::from_fn(4 * scale, 4 * scale, |x, _| {
        image::Luma([if x / scale == column { 180 } else { 40 }])
    })
}

#[test]
fn predict_converts_images_and_reports_the_conversion() {
    let project = Project::new();
    let run = project.train(&["epochs=12"]);
    bright(0, 1).save(project.path("small.png")).unwrap();
    bright(1, 16).save(project.path("large.png")).unwrap();
    let gray = bright(2, 1);
    let color = RgbImage::from_fn(4, 4, |x, y| Rgb([gray.get_pixel(x, y).0[0]; 3]));
    color.save(project.path("color.png")).unwrap();

    let output = project.kiln_ok(&["predict", &run, "small.png", "large.png", "color.png"]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, (file, class)) in
        lines.iter().zip([("small.png", "left"), ("large.png", "middle"), ("color.png", "right")])
    {
        assert!(line.starts_with(&format!("{file}: {class} ")), "{line}");
    }
    let notes = |file: &str| output.stderr.lines().filter(|line| line.starts_with(file)).count();
    assert_eq!(notes("small.png"), 0, "{}", output.stderr);
    assert!(output.stderr.contains("64×64") && output.stderr.contains("4×4"), "{}", output.stderr);
    assert_eq!(notes("color.png"), 1, "{}", output.stderr);
}

#[test]
fn predict_continues_after_an_unreadable_image() {
    let project = Project::new();
    let run = project.train(&[]);
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
fn predict_refuses_an_unfinished_run() {
    let project = Project::new();
    let run = project.kiln(&["run", "experiment.toml", "learning_rate=1e30"]).last_line();
    bright(0, 1).save(project.path("good.png")).unwrap();
    let output = project.kiln(&["predict", &run, "good.png"]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("is not finished (diverged)"), "{}", output.stderr);
}

#[test]
fn predict_refuses_a_damaged_model() {
    let project = Project::new();
    let run = project.train(&[]);
    let path = format!("{run}/model.safetensors");
    let mut bytes = fs::read(project.path(&path)).unwrap();
    bytes.truncate(bytes.len() - 7);
    project.write(&path, bytes);
    bright(0, 1).save(project.path("good.png")).unwrap();
    let output = project.kiln(&["predict", &run, "good.png"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("model.safetensors"), "{}", output.stderr);
    output.assert_no_panic("truncated weights");
}

#[test]
fn help_and_completions_list_every_command() {
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
