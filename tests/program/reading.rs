//! `kiln show`, `kiln predict` and `kiln completions`.

use image::{GrayImage, Rgb, RgbImage};

use crate::world::World;

#[test]
fn show_prints_the_history_and_the_test_report() {
    let world = World::new();
    let run = world.trained(&[]);
    let ran = world.kiln(&["show", &run]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    for part in ["finished", "val_accuracy", "precision", "macro average", "middle", "config.toml"]
    {
        assert!(ran.stdout.contains(part), "`{part}` is not in:\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "a pipe takes no colour");
}

#[test]
fn show_says_which_numbers_are_not_those_that_were_written() {
    let world = World::new();
    let run = world.trained(&[]);
    let history = world.read(format!("{run}/history.csv"));
    world.write(&format!("{run}/history.csv"), history.replacen("0.", "1.", 1));
    let ran = world.kiln(&["show", &run]);
    let damaged = format!("\nDamaged\n{run}/history.csv is damaged: ");
    assert!(ran.stdout.contains(&damaged), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("kiln doctor {run}\n")), "{}", ran.stdout);
    world.write(&format!("{run}/history.csv"), history);
    assert!(!world.kiln(&["show", &run]).stdout.contains("Damaged"));
}

#[test]
fn show_refuses_what_is_no_run() {
    let world = World::new();
    for path in ["nowhere", "data", "experiment.toml"] {
        let ran = world.kiln(&["show", path]);
        assert_eq!(ran.status, 1);
        assert!(ran.stderr.contains(path), "{}", ran.stderr);
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
    let world = World::new();
    let run = world.trained(&["epochs=12"]);
    bright(0, 1).save(world.path("small.png")).unwrap();
    bright(1, 16).save(world.path("large.png")).unwrap();
    let grey = bright(2, 1);
    let colour = RgbImage::from_fn(4, 4, |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
    colour.save(world.path("colour.png")).unwrap();

    let ran = world.kiln(&["predict", &run, "small.png", "large.png", "colour.png"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, (file, class)) in
        lines.iter().zip([("small.png", "left"), ("large.png", "middle"), ("colour.png", "right")])
    {
        assert!(line.starts_with(&format!("{file}: {class} ")), "{line}");
    }
    let notes = |file: &str| ran.stderr.lines().filter(|line| line.starts_with(file)).count();
    assert_eq!(notes("small.png"), 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("64×64") && ran.stderr.contains("4×4"), "{}", ran.stderr);
    assert_eq!(notes("colour.png"), 1, "{}", ran.stderr);
}

#[test]
fn a_picture_that_cannot_be_read_does_not_keep_the_others_from_their_answer() {
    let world = World::new();
    let run = world.trained(&[]);
    bright(0, 1).save(world.path("good.png")).unwrap();
    world.write("bad.png", "no picture");
    let ran = world.kiln(&["predict", &run, "bad.png", "good.png", "missing.png"]);
    assert_eq!(ran.status, 1);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    for file in ["bad.png", "missing.png"] {
        assert!(ran.stderr.contains(file), "{}", ran.stderr);
    }
}

#[test]
fn predict_refuses_a_run_that_is_not_finished() {
    let world = World::new();
    let run = world.kiln(&["run", "experiment.toml", "learning_rate=1e30"]).last_line();
    bright(0, 1).save(world.path("good.png")).unwrap();
    let ran = world.kiln(&["predict", &run, "good.png"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("is not finished (diverged)"), "{}", ran.stderr);
}

#[test]
fn predict_refuses_a_damaged_model() {
    let world = World::new();
    let run = world.trained(&[]);
    let path = format!("{run}/model.safetensors");
    let mut bytes = std::fs::read(world.path(&path)).unwrap();
    bytes.truncate(bytes.len() - 7);
    world.write(&path, bytes);
    bright(0, 1).save(world.path("good.png")).unwrap();
    let ran = world.kiln(&["predict", &run, "good.png"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("model.safetensors"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn help_and_completions_know_every_command() {
    let world = World::new();
    let help = world.kiln(&["--help"]).stdout;
    for shell in ["bash", "zsh", "fish"] {
        let completions = world.kiln(&["completions", shell]).stdout;
        for command in ["run", "summary", "show", "predict", "data", "completions"] {
            assert!(completions.contains(command), "{shell}: {command}");
            assert!(help.contains(&format!("  {command}")), "{help}");
        }
    }
}
