//! Run directories and data from untrusted sources.

use std::fs::{self, File};
use std::path::PathBuf;

use image::GrayImage;

use crate::hostile_names::assert_printable;
use crate::project::Project;

/// Clears a screen, sets a window title and reverses the direction of text.
const CONTROLS: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}\u{202e}";

fn replace(project: &Project, path: &str, from: &str, to: &str) {
    let text = project.read(path);
    assert!(text.contains(from), "`{from}` is not in {path}: {text}");
    project.write(path, text.replacen(from, to, 1));
}

#[test]
fn control_characters_in_files_and_arguments_are_escaped() {
    let project = Project::new();
    project.write("data/columns/classes.txt", format!("left{CONTROLS}\nmiddle\nright\n"));
    let run = project.train(&[]);
    project.edit_record(&run, |record| {
        record["stop_reason"] = CONTROLS.into();
        record["name"] = format!("{CONTROLS}\n").into();
    });
    replace(&project, &format!("{run}/config.toml"), "\"columns\"", "\"\\u001B[2J\\u202E\"");
    GrayImage::new(4, 4).save(project.path("picture.png")).unwrap();
    fs::copy(project.path("picture.png"), project.path(format!("{CONTROLS}.png"))).unwrap();
    let other = project.train(&["seed=2"]);
    let csv = format!("{other}/history.csv");
    project.write(&csv, project.read(&csv).replace("epoch,", CONTROLS));

    let image = format!("{CONTROLS}.png");
    for arguments in [
        vec!["show", &run],
        vec!["show", &other],
        vec!["compare", "runs"],
        vec!["compare", "runs", "--csv"],
        vec!["compare", "runs", "--md"],
        vec!["compare", "runs", "--json"],
        vec!["compare", "runs", "--columns", CONTROLS],
        vec!["compare", "runs", "--baseline", CONTROLS],
        vec!["predict", &run, &image],
        vec!["predict", &other, "picture.png", &image],
        vec!["data", "verify", "columns"],
        vec!["data", "verify", CONTROLS],
        vec!["run", "experiment.toml", CONTROLS],
        vec!["run", CONTROLS],
        vec!["--unknown", CONTROLS],
        vec![CONTROLS],
    ] {
        let output = project.kiln(&arguments);
        assert_printable(&output, &format!("{arguments:?}"));
    }
    // A class name with a line break. It is as long as the original, since the header of the file stores its own length.
    let model = project.path(format!("{other}/model.safetensors"));
    let mut bytes = fs::read(&model).unwrap();
    let at = bytes.windows(6).position(|window| window == b"middle").unwrap();
    bytes[at..at + 6].copy_from_slice(b"mi\\\\nx");
    fs::write(&model, bytes).unwrap();
    remove_checksums(&project, &other);
    let shown = project.kiln(&["predict", &other, "picture.png", &image]);
    assert_eq!(shown.stdout.lines().count(), 2, "{}", shown.stdout);
    assert!(shown.stdout.contains("mi\\u{a}x"), "{}", shown.stdout);
    assert!(shown.stdout.contains("left\\u{1b}[2J"), "{}", shown.stdout);
}

/// Removes the checksums of a run, as an attacker who changes its files can.
fn remove_checksums(project: &Project, run: &str) {
    project.edit_record(run, |record| {
        record.as_object_mut().unwrap().remove("files");
    });
}

#[test]
fn weights_that_do_not_match_their_run_are_refused() {
    let project = Project::new();
    let run = project.train(&[]);
    remove_checksums(&project, &run);
    GrayImage::new(4, 4).save(project.path("picture.png")).unwrap();
    let path = project.path(format!("{run}/model.safetensors"));
    let original = fs::read(&path).unwrap();
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
        let at = original.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{from} is not in the file"));
        let mut damaged = original.clone();
        damaged[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, damaged).unwrap();
        let output = project.kiln(&["predict", &run, "picture.png"]);
        assert_printable(&output, to);
        assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{to}: {}", output.stderr);
        assert!(output.stderr.contains("model.safetensors"), "{to}: {}", output.stderr);
    }
}

/// Creates a sparse file of 1 TiB, which takes no space on the disk.
fn make_huge(path: PathBuf) {
    File::create(path).unwrap().set_len(1 << 40).unwrap();
}

#[test]
fn huge_files_are_refused_without_reading_them() {
    let project = Project::new();
    let run = project.train(&[]);
    GrayImage::new(4, 4).save(project.path("picture.png")).unwrap();
    make_huge(project.path("huge.png"));
    let output = project.kiln(&["predict", &run, "huge.png"]);
    assert!(
        output.status == 1 && output.stderr.contains("huge.png is larger than"),
        "{}",
        output.stderr
    );
    let other = project.train(&["learning_rate=0.2"]);
    make_huge(project.path(format!("{other}/predictions.csv")));
    let output = project.kiln(&["compare", "runs"]);
    assert!(
        output.stdout.contains("predictions.csv is damaged: it has 1099511627776 bytes, but"),
        "{}",
        output.stdout
    );
    let (show, predict) = (vec!["show", &run], vec!["predict", &run, "picture.png"]);
    for (file, arguments) in [
        ("history.csv", &show),
        ("report.json", &show),
        ("model.safetensors", &predict),
        ("config.toml", &predict),
        ("run.json", &show),
    ] {
        make_huge(project.path(format!("{run}/{file}")));
        let output = project.kiln(arguments);
        output.assert_no_panic(file);
        let text = output.stdout + &output.stderr;
        assert!(
            text.contains(&format!("{file}: it is larger than"))
                || text.contains(&format!("{file} is damaged: it has 1099511627776 bytes, but")),
            "{text}"
        );
    }
    make_huge(project.path("experiment.toml"));
    let output = project.kiln(&["run", "experiment.toml"]);
    assert!(output.status == 2 && output.stderr.contains("larger than 1 MiB"), "{}", output.stderr);
    make_huge(project.path("data/columns/classes.txt"));
    let output = project.kiln(&["data", "verify", "columns"]);
    assert!(
        output.status == 1 && output.stdout.contains("longer than 16 MiB"),
        "{}",
        output.stdout
    );
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;
    use crate::project::CommandOutput;

    /// A project with a directory outside of the runs directory. It contains one file, which nothing may change.
    fn project_with_outside() -> Project {
        let project = Project::new();
        fs::create_dir(project.path("outside")).unwrap();
        project.write("outside/precious", "precious");
        project
    }

    fn assert_untouched(project: &Project) {
        assert_eq!(project.read("outside/precious"), "precious");
        assert_eq!(fs::read_dir(project.path("outside")).unwrap().count(), 1);
    }

    #[test]
    fn pipes_are_refused_without_opening_them() {
        let project = Project::new();
        let run = project.train(&[]);
        GrayImage::new(4, 4).save(project.path("picture.png")).unwrap();
        let pipe = |path: &str| {
            let _ = fs::remove_file(project.path(path));
            assert!(Command::new("mkfifo").arg(project.path(path)).status().unwrap().success());
        };
        pipe("pipe.png");
        pipe("pipe.toml");
        let sweep = "name = \"s\"\nexperiment = \"pipe.toml\"\n";
        project.write("sweep.toml", sweep);
        assert_eq!(project.kiln(&["predict", &run, "pipe.png"]).status, 1);
        assert_eq!(project.kiln(&["sweep", "sweep.toml"]).status, 2);
        for file in ["history.csv", "report.json", "predictions.csv", "mistakes.png", "log.jsonl"] {
            pipe(&format!("{run}/{file}"));
        }
        let shown = project.kiln(&["show", &run]);
        let refused = format!("cannot read {run}/history.csv: it is a pipe");
        assert!(shown.stdout.contains(&refused), "{}", shown.stdout);
        for file in ["model.safetensors", "config.toml"] {
            pipe(&format!("{run}/{file}"));
            let output = project.kiln(&["predict", &run, "picture.png"]);
            assert!(output.stderr.contains("a pipe or a device"), "{}", output.stderr);
        }
        pipe(&format!("{run}/run.json"));
        assert_eq!(project.kiln(&["show", &run]).status, 1);
        assert_eq!(project.kiln(&["compare", "runs", "--html", "page.html"]).status, 2);
    }

    #[test]
    fn run_does_not_write_through_a_link() {
        for target in ["outside", "outside/new"] {
            let project = project_with_outside();
            fs::create_dir(project.path("runs")).unwrap();
            symlink(project.path(target), project.path("runs/columns")).unwrap();
            let output = project.kiln(&["run", "experiment.toml"]);
            assert_eq!(output.status, 1, "{}", output.stderr);
            assert!(output.stderr.contains("runs/columns"), "{}", output.stderr);
            let output = project.kiln(&["sweep", "experiment.toml", "seed=1"]);
            assert_eq!(output.status, 1, "{}", output.stderr);
            assert!(output.stderr.contains("is a symbolic link that leaves"), "{}", output.stderr);
            assert_untouched(&project);
        }
    }

    #[test]
    fn sweep_does_not_write_through_a_link() {
        let project = project_with_outside();
        let sweep = ["sweep", "experiment.toml", "seed=1", "--jobs", "1"];
        project.kiln_ok(&sweep);
        let files = fs::read_dir(project.path("runs/columns/.kiln")).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        let log = files.find(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
        let id = log.file_stem().unwrap().to_str().unwrap().to_owned();
        let run = project.path(format!("runs/columns/{id}"));

        // The log of the run is a link.
        fs::remove_dir_all(&run).unwrap();
        for target in ["outside/precious", "outside/new"] {
            fs::remove_file(&log).unwrap();
            symlink(project.path(target), &log).unwrap();
            let output = project.kiln(&sweep);
            assert_eq!(output.status, 1, "{}", output.stderr);
            assert!(output.stderr.contains("is a symbolic link that leaves"), "{}", output.stderr);
            assert_untouched(&project);
        }
        // The directory of the logs is a link.
        fs::remove_dir_all(project.path("runs/columns/.kiln")).unwrap();
        symlink(project.path("outside"), project.path("runs/columns/.kiln")).unwrap();
        assert_eq!(project.kiln(&sweep).status, 1);
        assert_untouched(&project);
        fs::remove_file(project.path("runs/columns/.kiln")).unwrap();
        // The run itself is a link.
        symlink(project.path("outside"), &run).unwrap();
        let output = project.kiln(&sweep);
        assert_eq!(output.status, 1, "{}", output.stderr);
        assert_untouched(&project);
    }

    /// Trains a run that looks as if it was interrupted before it wrote its report.
    fn interrupted(project: &Project) -> String {
        let run = project.train(&["epochs=2"]);
        fs::remove_file(project.path(format!("{run}/report.json"))).unwrap();
        run
    }

    #[test]
    fn resume_does_not_write_through_a_pipe_or_a_link() {
        let project = project_with_outside();
        let run = interrupted(&project);
        let log = project.path(format!("{run}/log.jsonl"));
        fs::remove_file(&log).unwrap();
        assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
        let output = project.kiln(&["resume", &run]);
        assert_eq!(output.status, 1, "{}", output.stderr);
        assert!(output.stderr.contains("it is a pipe"), "{}", output.stderr);
        fs::remove_file(&log).unwrap();

        let checkpoints = project.path(format!("{run}/checkpoints"));
        fs::rename(&checkpoints, project.path("moved")).unwrap();
        fs::create_dir(project.path("outside/.partial-1-1")).unwrap();
        symlink(project.path("outside"), &checkpoints).unwrap();
        let output = project.kiln(&["resume", &run]);
        assert_eq!(output.status, 1, "{}", output.stderr);
        assert!(output.stderr.contains("is a symbolic link that leaves"), "{}", output.stderr);
        assert!(project.kiln(&["doctor", "--clean", "runs"]).status < 2);
        assert!(project.path("outside/.partial-1-1").is_dir());
    }

    #[test]
    fn all_paths_to_a_run_share_its_lock() {
        let project = Project::new();
        let run = interrupted(&project);
        symlink(project.path(&run), project.path("link")).unwrap();
        let id = run.rsplit('/').next().unwrap();
        let lock = fs::File::create(project.path(format!("runs/columns/.kiln/{id}.log"))).unwrap();
        lock.lock().unwrap();
        for path in [".", "../../../link", "./"] {
            let mut command = project.command();
            command.current_dir(project.path(&run)).args(["resume", path]);
            let output = CommandOutput::from(command.output().unwrap());
            assert_eq!(output.status, 1, "{path}: {}", output.stderr);
            assert!(output.stderr.contains("is in use"), "{path}: {}", output.stderr);
        }
        assert!(!project.path(format!("{run}/.kiln")).exists());
    }

    #[test]
    fn inaccessible_checkpoints_are_an_error_and_not_missing() {
        let project = Project::new();
        let run = interrupted(&project);
        let checkpoints = project.path(format!("{run}/checkpoints"));
        fs::rename(&checkpoints, project.path("moved")).unwrap();
        fs::write(&checkpoints, "no directory").unwrap();
        let history = project.read(format!("{run}/history.csv"));
        let output = project.kiln(&["resume", &run]);
        assert_eq!(output.status, 1, "{}", output.stderr);
        assert!(output.stderr.contains("/checkpoints"), "{}", output.stderr);
        assert_eq!(
            project.read(format!("{run}/history.csv")),
            history,
            "the run must not restart from scratch"
        );
        fs::remove_file(&checkpoints).unwrap();
        fs::rename(project.path("moved"), &checkpoints).unwrap();
        project.kiln_ok(&["resume", &run]);
    }

    #[test]
    fn compare_follows_only_links_that_are_named() {
        let project = Project::new();
        let run = project.train(&[]);
        fs::rename(project.path("runs"), project.path("elsewhere")).unwrap();
        let run = run.replacen("runs", "elsewhere", 1);
        fs::create_dir(project.path("runs")).unwrap();
        symlink(project.path(&run), project.path("runs/run")).unwrap();
        symlink(project.path("elsewhere/columns"), project.path("runs/sweep")).unwrap();
        let output = project.kiln(&["compare", "runs"]);
        assert_eq!(output.status, 2, "{}", output.stdout);
        assert!(output.stderr.contains("symbolic link that leaves"), "{}", output.stderr);
        for named in ["runs/run", "runs/sweep", "runs/*"] {
            project.kiln_ok(&["compare", named]);
        }
        // The files of a run must be in its directory.
        fs::rename(project.path(format!("{run}/history.csv")), project.path("history.csv"))
            .unwrap();
        symlink(project.path("history.csv"), project.path(format!("{run}/history.csv"))).unwrap();
        let output = project.kiln(&["show", &run]);
        let refused = format!("cannot read {run}/history.csv: it is a symbolic link");
        assert!(output.stdout.contains(&refused), "{}", output.stdout);
    }
}
