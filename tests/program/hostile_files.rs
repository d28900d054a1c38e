//! Run directories and data that come from somebody else.

use std::fs::{self, File};
use std::path::PathBuf;

use image::GrayImage;

use crate::hostile_names::assert_tame;
use crate::world::World;

/// Moves a cursor, sets a title, turns the direction of writing.
const WILD: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}\u{202e}";

fn replace(world: &World, path: &str, from: &str, to: &str) {
    let text = world.read(path);
    assert!(text.contains(from), "`{from}` is not in {path}: {text}");
    world.write(path, text.replacen(from, to, 1));
}

#[test]
fn words_of_a_strangers_run_are_shown_and_not_obeyed() {
    let world = World::new();
    world.write("data/columns/classes.txt", format!("left{WILD}\nmiddle\nright\n"));
    let run = world.trained(&[]);
    let json = serde_json::to_string(WILD).unwrap();
    let json = json.trim_matches('"');
    replace(&world, &format!("{run}/run.json"), "all epochs done", json);
    replace(
        &world,
        &format!("{run}/run.json"),
        "\"name\": \"columns\"",
        &format!("\"name\": \"{json}\\n\""),
    );
    replace(&world, &format!("{run}/config.toml"), "\"columns\"", "\"\\u001B[2J\\u202E\"");
    GrayImage::new(4, 4).save(world.path("picture.png")).unwrap();
    fs::copy(world.path("picture.png"), world.path(&format!("{WILD}.png"))).unwrap();
    let other = world.trained(&["seed=2"]);
    let csv = format!("{other}/history.csv");
    world.write(&csv, world.read(&csv).replace("epoch,", WILD));

    let image = format!("{WILD}.png");
    for arguments in [
        vec!["show", &run],
        vec!["show", &other],
        vec!["compare", "runs"],
        vec!["compare", "runs", "--csv"],
        vec!["compare", "runs", "--md"],
        vec!["compare", "runs", "--json"],
        vec!["compare", "runs", "--columns", WILD],
        vec!["compare", "runs", "--baseline", WILD],
        vec!["predict", &run, &image],
        vec!["predict", &other, "picture.png", &image],
        vec!["data", "verify", "columns"],
        vec!["data", "verify", WILD],
        vec!["run", "experiment.toml", WILD],
        vec!["run", WILD],
        vec!["--wild", WILD],
        vec![WILD],
    ] {
        let ran = world.kiln(&arguments);
        assert_tame(&ran, &format!("{arguments:?}"));
    }
    // A name that goes on in another line, as long as the one that was there.
    let model = world.path(&format!("{other}/model.safetensors"));
    let mut bytes = fs::read(&model).unwrap();
    let at = bytes.windows(6).position(|window| window == b"middle").unwrap();
    bytes[at..at + 6].copy_from_slice(b"mi\\\\nx");
    fs::write(&model, bytes).unwrap();
    let shown = world.kiln(&["predict", &other, "picture.png", &image]);
    assert_eq!(shown.stdout.lines().count(), 2, "{}", shown.stdout);
    assert!(shown.stdout.contains("mi\\u{a}x"), "{}", shown.stdout);
    assert!(shown.stdout.contains("left\\u{1b}[2J"), "{}", shown.stdout);
}

#[test]
fn weights_that_do_not_fit_their_run_are_refused() {
    let world = World::new();
    let run = world.trained(&[]);
    GrayImage::new(4, 4).save(world.path("picture.png")).unwrap();
    let path = world.path(&format!("{run}/model.safetensors"));
    let sound = fs::read(&path).unwrap();
    for (from, to) in [
        ("height\\\":4", "height\\\":0"),
        ("height\\\":4", "height\\\":9"),
        ("channels\\\":1", "channels\\\":2"),
        ("format_version\\\":1", "format_version\\\":9"),
        ("unit", "Unit"),
        ("left\\\",", "left\\\"]"),
        ("F32", "I32"),
        ("[16,8]", "[8,16]"),
        ("layers.1", "layers.7"),
    ] {
        let at = sound.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{from} is not in the file"));
        let mut damaged = sound.clone();
        damaged[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, damaged).unwrap();
        let ran = world.kiln(&["predict", &run, "picture.png"]);
        assert_tame(&ran, to);
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{to}: {}", ran.stderr);
        assert!(ran.stderr.contains("model.safetensors"), "{to}: {}", ran.stderr);
    }
}

/// As large as a file system lets a file be that holds nothing.
fn make_huge(path: PathBuf) {
    File::create(path).unwrap().set_len(1 << 40).unwrap();
}

#[test]
fn a_file_that_is_larger_than_any_of_its_kind_is_refused_unread() {
    let world = World::new();
    let run = world.trained(&[]);
    GrayImage::new(4, 4).save(world.path("picture.png")).unwrap();
    make_huge(world.path("huge.png"));
    let ran = world.kiln(&["predict", &run, "huge.png"]);
    assert!(ran.status == 1 && ran.stderr.contains("huge.png is larger than"), "{}", ran.stderr);
    let other = world.trained(&["learning_rate=0.2"]);
    make_huge(world.path(&format!("{other}/predictions.csv")));
    let ran = world.kiln(&["compare", "runs"]);
    assert!(ran.stdout.contains("predictions.csv: it is larger than 512 MiB"), "{}", ran.stdout);
    let (show, predict) = (vec!["show", &run], vec!["predict", &run, "picture.png"]);
    for (file, arguments) in [
        ("history.csv", &show),
        ("report.json", &show),
        ("model.safetensors", &predict),
        ("config.toml", &predict),
        ("run.json", &show),
    ] {
        make_huge(world.path(&format!("{run}/{file}")));
        let ran = world.kiln(arguments);
        let said = ran.stdout + &ran.stderr;
        assert!(
            said.contains(&format!("{file}: ")) && said.contains("it is larger than"),
            "{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
    make_huge(world.path("experiment.toml"));
    let ran = world.kiln(&["run", "experiment.toml"]);
    assert!(ran.status == 2 && ran.stderr.contains("larger than 1 MiB"), "{}", ran.stderr);
    make_huge(world.path("data/columns/classes.txt"));
    let ran = world.kiln(&["data", "verify", "columns"]);
    assert!(ran.status == 1 && ran.stdout.contains("longer than 256 KiB"), "{}", ran.stdout);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// A world, and in it a directory that no run has any business in, with a file.
    fn world_with_outside() -> World {
        let world = World::new();
        fs::create_dir(world.path("outside")).unwrap();
        world.write("outside/precious", "precious");
        world
    }

    fn assert_untouched(world: &World) {
        assert_eq!(world.read("outside/precious"), "precious");
        assert_eq!(fs::read_dir(world.path("outside")).unwrap().count(), 1);
    }

    #[test]
    fn pipes_are_not_waited_for() {
        let world = World::new();
        let run = world.trained(&[]);
        GrayImage::new(4, 4).save(world.path("picture.png")).unwrap();
        let pipe = |path: &str| {
            let _ = fs::remove_file(world.path(path));
            assert!(Command::new("mkfifo").arg(world.path(path)).status().unwrap().success());
        };
        pipe("pipe.png");
        pipe("pipe.toml");
        let sweep = "name = \"s\"\nexperiment = \"pipe.toml\"\n";
        world.write("sweep.toml", sweep);
        assert_eq!(world.kiln(&["predict", &run, "pipe.png"]).status, 1);
        assert_eq!(world.kiln(&["sweep", "sweep.toml"]).status, 2);
        for file in ["history.csv", "report.json", "predictions.csv", "mistakes.png", "log.jsonl"] {
            pipe(&format!("{run}/{file}"));
        }
        let shown = world.kiln(&["show", &run]);
        assert!(shown.stdout.contains("history.csv: it is a pipe"), "{}", shown.stdout);
        for file in ["model.safetensors", "config.toml"] {
            pipe(&format!("{run}/{file}"));
            let ran = world.kiln(&["predict", &run, "picture.png"]);
            assert!(ran.stderr.contains("a pipe or a device"), "{}", ran.stderr);
        }
        pipe(&format!("{run}/run.json"));
        assert_eq!(world.kiln(&["show", &run]).status, 1);
        assert_eq!(world.kiln(&["compare", "runs", "--html", "page.html"]).status, 2);
    }

    #[test]
    fn a_run_does_not_write_through_a_link() {
        for target in ["outside", "outside/new"] {
            let world = world_with_outside();
            fs::create_dir(world.path("runs")).unwrap();
            symlink(world.path(target), world.path("runs/columns")).unwrap();
            let ran = world.kiln(&["run", "experiment.toml"]);
            assert_eq!(ran.status, 1, "{}", ran.stderr);
            assert!(ran.stderr.contains("runs/columns"), "{}", ran.stderr);
            let ran = world.kiln(&["sweep", "experiment.toml", "seed=1"]);
            assert_eq!(ran.status, 1, "{}", ran.stderr);
            assert!(ran.stderr.contains("is a symbolic link that leads out"), "{}", ran.stderr);
            assert_untouched(&world);
        }
    }

    #[test]
    fn a_sweep_does_not_write_through_a_link() {
        let world = world_with_outside();
        let sweep = ["sweep", "experiment.toml", "seed=1", "--jobs", "1"];
        let first = world.kiln(&sweep);
        assert_eq!(first.status, 0, "{}", first.stderr);
        let files = fs::read_dir(world.path("runs/columns/.kiln")).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        let log = files.find(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
        let id = log.file_stem().unwrap().to_str().unwrap().to_owned();
        let run = world.path(&format!("runs/columns/{id}"));

        // The log of the only run.
        fs::remove_dir_all(&run).unwrap();
        for target in ["outside/precious", "outside/new"] {
            fs::remove_file(&log).unwrap();
            symlink(world.path(target), &log).unwrap();
            let ran = world.kiln(&sweep);
            assert_eq!(ran.status, 1, "{}", ran.stderr);
            assert!(ran.stderr.contains("leads out of"), "{}", ran.stderr);
            assert_untouched(&world);
        }
        // The directory of the logs.
        fs::remove_dir_all(world.path("runs/columns/.kiln")).unwrap();
        symlink(world.path("outside"), world.path("runs/columns/.kiln")).unwrap();
        assert_eq!(world.kiln(&sweep).status, 1);
        assert_untouched(&world);
        fs::remove_file(world.path("runs/columns/.kiln")).unwrap();
        // The run itself.
        symlink(world.path("outside"), &run).unwrap();
        let ran = world.kiln(&sweep);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert_untouched(&world);
    }

    /// A run that is to go on, with a pipe or a link in it.
    fn interrupted(world: &World) -> String {
        let run = world.trained(&["epochs=2"]);
        fs::remove_file(world.path(&format!("{run}/report.json"))).unwrap();
        run
    }

    #[test]
    fn a_run_does_not_go_on_through_a_pipe_or_a_link() {
        let world = world_with_outside();
        let run = interrupted(&world);
        let log = world.path(&format!("{run}/log.jsonl"));
        fs::remove_file(&log).unwrap();
        assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
        let ran = world.kiln(&["resume", &run]);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("it is a pipe"), "{}", ran.stderr);
        fs::remove_file(&log).unwrap();

        let checkpoints = world.path(&format!("{run}/checkpoints"));
        fs::rename(&checkpoints, world.path("moved")).unwrap();
        fs::create_dir(world.path("outside/.partial-1-1")).unwrap();
        symlink(world.path("outside"), &checkpoints).unwrap();
        let ran = world.kiln(&["resume", &run]);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("leads out of"), "{}", ran.stderr);
        assert!(world.kiln(&["doctor", "--clean", "runs"]).status < 2);
        assert!(world.path("outside/.partial-1-1").is_dir());
    }

    #[test]
    fn one_run_has_one_claim_however_its_path_is_written() {
        let world = World::new();
        let run = interrupted(&world);
        symlink(world.path(&run), world.path("link")).unwrap();
        let id = run.rsplit('/').next().unwrap();
        let lock = fs::File::create(world.path(&format!("runs/columns/.kiln/{id}.log"))).unwrap();
        lock.lock().unwrap();
        for path in [".", "../../../link", "./"] {
            let ran = world.command().current_dir(world.path(&run)).args(["resume", path]).output();
            let ran = crate::world::Ran::from(ran.unwrap());
            assert_eq!(ran.status, 1, "{path}: {}", ran.stderr);
            assert!(ran.stderr.contains("is being worked on"), "{path}: {}", ran.stderr);
        }
        assert!(!world.path(&format!("{run}/.kiln")).exists());
    }

    #[test]
    fn checkpoints_that_cannot_be_looked_at_are_not_missing() {
        let world = World::new();
        let run = interrupted(&world);
        let checkpoints = world.path(&format!("{run}/checkpoints"));
        fs::rename(&checkpoints, world.path("moved")).unwrap();
        fs::write(&checkpoints, "no directory").unwrap();
        let history = world.read(format!("{run}/history.csv"));
        let ran = world.kiln(&["resume", &run]);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("/checkpoints"), "{}", ran.stderr);
        assert_eq!(world.read(format!("{run}/history.csv")), history, "nothing was begun anew");
        fs::remove_file(&checkpoints).unwrap();
        fs::rename(world.path("moved"), &checkpoints).unwrap();
        assert_eq!(world.kiln(&["resume", &run]).status, 0);
    }

    #[test]
    fn a_comparison_does_not_search_through_a_link_and_takes_one_that_is_named() {
        let world = World::new();
        let run = world.trained(&[]);
        fs::rename(world.path("runs"), world.path("elsewhere")).unwrap();
        let run = run.replacen("runs", "elsewhere", 1);
        fs::create_dir(world.path("runs")).unwrap();
        symlink(world.path(&run), world.path("runs/run")).unwrap();
        symlink(world.path("elsewhere/columns"), world.path("runs/sweep")).unwrap();
        let ran = world.kiln(&["compare", "runs"]);
        assert_eq!(ran.status, 2, "{}", ran.stdout);
        assert!(ran.stderr.contains("symbolic link out of"), "{}", ran.stderr);
        for named in ["runs/run", "runs/sweep", "runs/*"] {
            assert_eq!(world.kiln(&["compare", named]).status, 0, "{named}");
        }
        // A file of a run lies in its directory.
        fs::rename(world.path(&format!("{run}/history.csv")), world.path("history.csv")).unwrap();
        symlink(world.path("history.csv"), world.path(&format!("{run}/history.csv"))).unwrap();
        let ran = world.kiln(&["show", &run]);
        assert!(ran.stdout.contains("history.csv: it is a symbolic link"), "{}", ran.stdout);
    }
}
