//! `kiln show`, `kiln predict`, `kiln completions`, `kiln man` and `kiln --version`.

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
    assert_eq!(output.status, 1, "{}", output.stdout);
    let damaged = format!("{run}/history.csv is damaged: ");
    assert!(output.stdout.contains(&format!("\nHistory\n{damaged}")), "{}", output.stdout);
    assert!(output.stdout.contains("macro average"), "the report is intact: {}", output.stdout);
    assert!(output.stderr.contains(&format!("error: {damaged}")), "{}", output.stderr);
    assert!(output.stderr.contains(&format!("kiln doctor {run}\n")), "{}", output.stderr);
    project.write(format!("{run}/history.csv"), history);
    project.kiln_ok(&["show", &run]);
}

/// An edit that leaves a valid file is found, too.
#[test]
fn edited_record_is_refused() {
    let project = Project::new();
    let run = project.train(&[]);
    let path = format!("{run}/run.json");
    let record = project.read(&path);
    let sha256 = project.read_json(&path)["files"]["predictions.csv"]["sha256"].to_string();
    let fingerprint = project.read_json(&path)["dataset"]["fingerprint"].to_string();
    for (from, to) in [
        ("\"test_rows\": 30", "\"test_rows\": 31"),
        (fingerprint.as_str(), "\"other\""),
        (sha256.as_str(), "\"0000\""),
        ("\"parameters\": ", "\"parameters\": 1"),
    ] {
        assert!(record.contains(from), "{from}");
        project.write(&path, record.replacen(from, to, 1));
        for command in ["show", "verify", "doctor"] {
            let output = project.kiln(&[command, &run]);
            assert_eq!(output.status, 1, "{command} {to}: {}", output.stdout);
            let text = output.stdout + &output.stderr;
            assert!(text.contains("changed after it was written"), "{command} {to}: {text}");
        }
    }
    // The checksum is that of the file without its line.
    let line = record.lines().nth(2).unwrap();
    let rest = record.replacen(&format!("{line}\n"), "", 1);
    let expected = kiln_store::Checksum::of(rest.as_bytes()).sha256;
    assert_eq!(line, format!("  \"checksum\": \"{expected}\","));
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
fn predict_refuses_damaged_files() {
    let project = Project::new();
    let run = project.train(&[]);
    bright(0, 1).save(project.path("good.png")).unwrap();
    for name in ["model.safetensors", "config.toml"] {
        let path = format!("{run}/{name}");
        let original = fs::read(project.path(&path)).unwrap();
        let mut flipped = original.clone();
        // The last byte of the weights is that of a number, so the file is still a valid one.
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [original[..original.len() - 7].to_vec(), flipped] {
            project.write(&path, bytes);
            let output = project.kiln(&["predict", &run, "good.png"]);
            assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
            let damaged = format!("{path} is damaged: ");
            assert!(output.stderr.contains(&damaged), "{}", output.stderr);
            assert!(output.stderr.contains(&format!("kiln doctor {run}\n")), "{}", output.stderr);
        }
        project.write(&path, original);
    }
    project.kiln_ok(&["predict", &run, "good.png"]);
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

#[test]
fn predict_reads_directories_and_patterns_and_prints_tables() {
    let project = Project::new();
    let run = project.train(&["epochs=12"]);
    fs::create_dir_all(project.path("photos/deep")).unwrap();
    for (name, column) in [("10.png", 0), ("2.png", 1), ("deep/1.png", 2), (".hidden.png", 0)] {
        bright(column, 1).save(project.path(format!("photos/{name}"))).unwrap();
    }
    project.write("photos/notes.txt", "no picture");

    let output = project.kiln_ok(&["predict", &run, "photos", "--top", "1"]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    let starts = ["photos/2.png: middle ", "photos/10.png: left ", "photos/deep/1.png: right "];
    assert_eq!(lines.len(), 3, "{}", output.stdout);
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start) && !line.contains(','), "{line}");
    }

    let output = project.kiln_ok(&["predict", &run, "photos/*.png", "--csv"]);
    let mut table = csv::Reader::from_reader(output.stdout.as_bytes());
    let header = table.headers().unwrap().clone();
    assert_eq!(&header[0], "file");
    assert_eq!(header.len(), 3 + 3);
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        let sum: f32 = row.iter().skip(3).map(|cell| cell.parse::<f32>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{row:?}");
    }

    let output = project.kiln(&["predict", &run, "photos", "missing/*.png", "--json"]);
    assert_eq!(output.status, 1);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["images"].as_array().unwrap().len(), 3);
    assert_eq!(document["images"][1]["predicted"], "left");
    assert_eq!(document["failures"][0]["file"], "missing/*.png");
}

#[test]
fn inverted_images_are_classified_like_the_originals() {
    let project = Project::new();
    let run = project.train(&["epochs=12"]);
    let mut inverted = bright(1, 1);
    bright(1, 1).save(project.path("white.png")).unwrap();
    image::imageops::invert(&mut inverted);
    inverted.save(project.path("black.png")).unwrap();
    let probabilities = |arguments: &[&str]| {
        let output = project.kiln_ok(&[&["predict", &run, "--json"], arguments].concat());
        let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        document["images"][0]["probabilities"].clone()
    };
    assert_eq!(probabilities(&["white.png"]), probabilities(&["black.png", "--invert"]));
    assert_ne!(probabilities(&["white.png"]), probabilities(&["black.png"]));
}

/// An evaluation of the run's own dataset repeats its test, to the last digit.
#[test]
fn evaluate_writes_a_report_of_its_own_and_records_it() {
    let project = Project::new();
    let run = project.train(&["epochs=3"]);
    let own = project.read(format!("{run}/report.json"));
    let first = project.kiln_ok(&["evaluate", &run, "columns"]);
    let directory = first.last_line();
    assert!(directory.starts_with(&format!("{run}/evaluations/columns-")), "{directory}");
    assert_eq!(
        project.read(format!("{directory}/predictions.csv")),
        project.read(format!("{run}/predictions.csv"))
    );
    assert_eq!(project.read(format!("{run}/report.json")), own, "the run's report is unchanged");
    for file in ["report.md", "report.json", "confusion.svg", "mistakes.png"] {
        assert!(project.path(format!("{directory}/{file}")).is_file(), "{file}");
    }
    let second = project.kiln_ok(&["evaluate", &run, "columns", "--part", "all"]);
    assert!(second.stderr.contains("2 times"), "{}", second.stderr);
    let record = project.read_json(format!("{run}/run.json"));
    let evaluations = record["evaluations"].as_array().unwrap();
    assert_eq!(
        (evaluations[0]["images"].as_u64(), evaluations[1]["images"].as_u64()),
        (Some(30), Some(150))
    );
    project.kiln_ok(&["doctor", &run]);
}

#[test]
fn evaluate_refuses_classes_that_the_run_does_not_know() {
    let project = Project::new();
    let run = project.train(&[]);
    project.write("data/columns/classes.txt", "left\nmiddle\nupper\n");
    let output = project.kiln(&["evaluate", &run, "columns"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("\"upper\""), "{}", output.stderr);
    assert!(output.stderr.contains("help: "), "{}", output.stderr);
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let project = Project::new();
    let output = project.kiln_ok(&["man", "share/man1"]);
    assert_eq!(output.last_line(), "share/man1");
    let help = project.kiln_ok(&["--help"]).stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let commands = list.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut pages = 0;
    for name in names.filter(|name| !matches!(*name, "" | "help")) {
        let page = project.read(format!("share/man1/kiln-{name}.1"));
        assert!(page.starts_with(".ie") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        let title = format!(".TH kiln-{name} 1  \"kiln {}", env!("CARGO_PKG_VERSION"));
        assert!(page.contains(&title), "{title}: {page}");
        pages += 1;
    }
    assert!(pages >= 20, "{pages} commands");
    // Commands within commands have pages, and hidden ones have none.
    let exists = |page: &str| project.path("share/man1").join(page).exists();
    assert!(exists("kiln.1") && exists("kiln-data-check.1"));
    assert!(!exists("kiln-work.1") && !exists("kiln-help.1"));
    let run = project.read("share/man1/kiln-run.1");
    assert!(run.contains("EXPERIMENT") && run.contains("kiln run configs/fashion"), "{run}");
}

#[test]
fn the_version_is_one_line() {
    let output = Project::new().kiln_ok(&["--version"]);
    let version = concat!("kiln ", env!("CARGO_PKG_VERSION"));
    assert!(output.stdout.starts_with(version), "{}", output.stdout);
    assert_eq!(output.stdout.lines().count(), 1);
}
