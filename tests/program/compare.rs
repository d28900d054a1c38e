//! `kiln compare`.

use std::fs;

use crate::project::Project;
use crate::run_state::run_directories;

/// A sweep of two learning rates with two seeds each. The smaller learning rate is too small to learn anything.
fn sweep() -> Project {
    let project = Project::new();
    project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "learning_rate=0.3,1e-9",
        "seed=1,2",
        "epochs=12",
    ]);
    project
}

#[test]
fn rows_are_combinations_sorted_by_validation_accuracy() {
    let project = sweep();
    let output = project.kiln(&["compare", "runs/columns"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let row = |text: &str| output.stdout.lines().position(|line| line.trim().starts_with(text));
    assert!(row("0.3 ").unwrap() < row("1e-9 ").unwrap(), "{}", output.stdout);
    assert!(output.stdout.contains("4 runs in 2 combinations, ranked by kept val_accuracy"));
    // Settings that all runs share have no column.
    assert!(!output.stdout.contains("batch_size"), "{}", output.stdout);
    assert!(!output.stdout.contains('\u{1b}'), "no colors without a terminal");
}

#[test]
fn table_of_runs_has_no_sentences_about_verdicts() {
    let project = sweep();
    let of_combinations = project.kiln_ok(&["compare", "runs/columns"]).stdout;
    assert!(of_combinations.contains("`behind` is how far"), "{of_combinations}");
    let of_runs = project.kiln_ok(&["compare", "runs/columns", "--all-seeds"]).stdout;
    for word in ["behind", "% sure", "verdict", "more seed"] {
        assert!(!of_runs.contains(word), "`{word}` is in\n{of_runs}");
    }
}

#[test]
fn runs_on_earlier_data_have_a_table_of_their_own() {
    let project = Project::new();
    let train = || {
        project.kiln_ok(&["sweep", "experiment.toml", "hidden.units=4,8", "seed=1,2", "epochs=1"]);
    };
    train();
    let labels = project.path("data/columns/train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).unwrap();
    // One of three classes becomes another one.
    bytes[100] = (bytes[100] + 1) % 3;
    fs::write(&labels, bytes).unwrap();
    train();
    let json = project.kiln(&["compare", "runs/columns", "--json", "-q"]).json();
    let others = json["other_data"].as_array().unwrap();
    assert_eq!(others.len(), 1, "{json}");
    assert_ne!(json["data"]["fingerprint"], others[0]["data"]["fingerprint"]);
    for comparison in [&json, &others[0]] {
        let rows = comparison["combinations"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        for row in rows {
            let fingerprints =
                row["runs"].as_array().unwrap().iter().map(|run| run["fingerprint"].clone());
            let own = &comparison["data"]["fingerprint"];
            assert_eq!(fingerprints.collect::<Vec<_>>(), [own.clone(), own.clone()]);
            assert!(row["settings"]["model.layers.hidden.units"].is_u64(), "{row}");
        }
    }
    let table = project.kiln_ok(&["compare", "runs/columns"]).stdout;
    assert!(table.contains("\nother data: columns "), "{table}");
    let csv = project.kiln_ok(&["compare", "runs/columns", "--csv", "-q"]).stdout;
    assert!(csv.starts_with("data,hidden.units,"), "{csv}");
    assert_eq!(csv.lines().count(), 5, "{csv}");
}

#[test]
fn command_for_more_seeds_trains_only_these() {
    let project = Project::new();
    let sweep = ["sweep", "experiment.toml", "hidden.units=4,5,6", "seed=1,2", "epochs=1"];
    let swept = project.kiln_ok(&sweep);
    let json = project.kiln(&["compare", "runs/columns", "--json", "-q"]).json();
    let more = &json["answer"]["more_seeds"];
    let command = more["command"].as_str().unwrap();
    let seeds = more["new_seeds"].as_array().unwrap().len();
    assert!(
        command.starts_with("kiln sweep experiment.toml hidden.units=4,5,6 epochs=1 seed=3"),
        "{command}"
    );
    assert_eq!(json["next_step"]["command"], command);
    // The sweep has proposed the same.
    let sentence = json["next_step"]["sentence"].as_str().unwrap();
    let proposal = format!("\n{sentence}\n  {command}\n");
    assert!(swept.stdout.contains(&proposal), "`{proposal}` is not in\n{}", swept.stdout);
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    project.kiln_ok(&arguments);
    let json = project.kiln(&["compare", "runs/columns", "--json", "-q"]).json();
    for row in json["combinations"].as_array().unwrap() {
        assert_eq!(row["runs"].as_array().unwrap().len(), 2 + seeds, "{row}");
    }
}

#[test]
fn csv_json_and_markdown_have_stdout_to_themselves() {
    let project = sweep();
    let csv = project.kiln(&["compare", "runs/columns", "--csv"]);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", csv.stdout);
    let cells = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| cells(line) == cells(lines[0])), "{}", csv.stdout);
    assert!(csv.stderr.contains("ranked by"), "{}", csv.stderr);

    let output = project.kiln(&["compare", "runs/columns", "--json", "--quiet"]);
    assert_eq!(output.stderr, "");
    let json = output.json();
    assert_eq!(json["format_version"], 2);
    assert_eq!(json["combinations"].as_array().unwrap().len(), 2);

    let md = project.kiln(&["compare", "runs/columns", "--md", "--sort", "learning_rate"]);
    assert!(
        md.stdout.starts_with("| learning\\_rate |") || md.stdout.starts_with("| learning_rate |"),
        "{}",
        md.stdout
    );
    let both = project.kiln(&["compare", "runs/columns", "--md", "--csv"]);
    assert_eq!(both.status, 2);
}

#[test]
fn html_page_loads_nothing_from_elsewhere() {
    let project = sweep();
    let output =
        project.kiln(&["compare", "runs/columns", "--html", "page.html", "--plot", "plot.svg"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let page = project.read("page.html");
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("learning_rate"));
    for reference in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(project.read("plot.svg").starts_with("<svg"));
}

#[test]
fn plot_kind_and_axes_can_be_chosen() {
    let project = Project::new();
    project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "learning_rate=0.3,0.1",
        "epochs=1,2",
        "hidden.units=4,8",
    ]);
    // With three settings, two of them are shown only on request.
    let output = project.kiln(&["compare", "runs/columns"]);
    assert!(!output.stdout.contains("kept val_accuracy by "), "{}", output.stdout);
    let output = project.kiln(&["compare", "runs/columns", "--axes", "epochs,learning_rate"]);
    assert!(
        output.stdout.contains("kept val_accuracy by epochs and learning_rate"),
        "{}",
        output.stdout
    );
    for (kind, words) in [
        ("heatmap", "kept val_accuracy by hidden.units and epochs"),
        ("setting", "against hidden.units"),
        ("curves", "over the epochs"),
        ("classes", "accuracy by class"),
    ] {
        let arguments =
            ["compare", "runs/columns", "--plot=p.svg", "--axes=units,epochs", "--plot-kind", kind];
        project.kiln_ok(&arguments);
        let picture = project.read("p.svg");
        assert!(picture.contains(words), "`{words}` is not in the picture of {kind}");
    }
    let output = project.kiln(&["compare", "runs/columns", "--plot=p.svg", "--plot-kind=effects"]);
    assert_eq!(output.status, 1, "one seed each shows no effects");
    assert!(output.stderr.contains("effects need a grid"), "{}", output.stderr);
    let output = project.kiln(&["compare", "--axes", "epochs", "runs/columns"]);
    assert!(output.stdout.contains("kept val_accuracy by epochs"), "{}", output.stdout);
    let output = project.kiln(&["compare", "runs/columns", "--axes", "units,epochs,learning_rate"]);
    assert_eq!(output.status, 2);
    let output = project.kiln(&["compare", "runs/columns", "--axes", "speed"]);
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("no setting of this name differs; choose from"),
        "{}",
        output.stderr
    );
}

#[test]
fn name_of_an_experiment_is_no_setting() {
    let project = Project::new();
    for (name, seeds) in [("one", "1,2"), ("two", "2,3,4")] {
        let name = format!("name={name}");
        let seeds = format!("seed={seeds}");
        project.kiln_ok(&["sweep", "experiment.toml", &name, &seeds, "hidden.units=4,8"]);
    }
    let output = project.kiln(&["compare", "runs/one", "runs/two", "--json", "-q"]);
    let json = output.json();
    let rows = json["combinations"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "two sizes in two sweeps");
    for row in rows {
        let seeds: Vec<u64> = row["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["seed"].as_u64().unwrap())
            .collect();
        assert_eq!(seeds, [1, 2, 3, 4], "seed 2 is in both sweeps and counts once");
        assert_eq!(row["copies"].as_array().unwrap().len(), 1);
    }
    assert!(json["answer"]["sentence"].is_string(), "{json}");
}

#[test]
fn metric_and_epoch_that_rank_can_be_chosen() {
    let project = sweep();
    let first = |options: &[&str]| {
        let json =
            project.kiln(&[&["compare", "runs/columns", "--json", "-q"], options].concat()).json();
        (json["ranked_by"]["heading"].clone(), json["combinations"][0]["settings"].clone())
    };
    let (heading, settings) = first(&["--rank-by", "val_loss", "--rank-at", "last"]);
    assert_eq!(heading, "last val_loss");
    assert_eq!(settings["optimizer.learning_rate"], 0.3, "the lower loss is the better one");
    assert_eq!(first(&[]).0, "kept val_accuracy");
    let table = project.kiln_ok(&["compare", "runs/columns", "--rank-by", "val_loss"]);
    assert!(table.stdout.contains("val_loss"), "{}", table.stdout);
    for (option, value, part) in [
        ("--rank-by", "test_accuracy", "choose a validation metric of the runs"),
        ("--rank-by", "accuracy", "val_loss or val_accuracy"),
        ("--rank-at", "first", "kept"),
        ("--level", "0.7", "below 0.5"),
    ] {
        let output = project.kiln(&["compare", "runs/columns", option, value]);
        assert_eq!(output.status, 2, "{option} {value}");
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
}

#[test]
fn two_runs_are_compared_in_detail() {
    let project = Project::new();
    let first = project.train(&["learning_rate=0.3", "epochs=12"]);
    let second = project.train(&["learning_rate=1e-9"]);
    let output = project.kiln_ok(&["compare", &first, &second]);
    for part in ["learning_rate", "recall", "only", "middle"] {
        assert!(output.stdout.contains(part), "`{part}` is not in\n{}", output.stdout);
    }
}

#[test]
fn damaged_runs_are_reported_and_skipped() {
    let project = sweep();
    let runs = run_directories(&project.path("runs/columns"));
    fs::write(runs[0].join("report.json"), "{\"format_version\": 1, \"examples\"").unwrap();
    fs::remove_file(runs[1].join("config.toml")).unwrap();
    let output = project.kiln_ok(&["compare", "runs/columns"]);
    assert!(output.stdout.contains("2 runs in "), "{}", output.stdout);
    for run in &runs[..2] {
        let name = run.file_name().unwrap().to_str().unwrap();
        assert!(output.stdout.contains(name), "{name} is not reported in\n{}", output.stdout);
    }
}

/// Both files are valid, and each belongs to the other run.
#[test]
fn exchanged_predictions_give_no_verdict() {
    let project = Project::new();
    let better = project.train(&["learning_rate=0.3", "epochs=12"]);
    let worse = project.train(&["learning_rate=1e-9"]);
    let [first, second] =
        [&better, &worse].map(|run| project.path(format!("{run}/predictions.csv")));
    let [first_text, second_text] = [&first, &second].map(|path| fs::read(path).unwrap());
    fs::write(&first, second_text).unwrap();
    fs::write(&second, first_text).unwrap();
    let output = project.kiln(&["compare", &better, &worse]);
    for run in [&better, &worse] {
        let damaged = format!("{run}/predictions.csv is damaged: ");
        assert!(output.stdout.contains(&damaged), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("only "), "no numbers of the files: {}", output.stdout);
}

#[test]
fn unusable_paths_and_options_are_usage_errors() {
    let project = sweep();
    for (arguments, part) in [
        (["compare", "runs/colums"].as_slice(), "runs/colums"),
        (&["compare", "data"], "data"),
        (&["compare", "runs/columns", "--sort", "speed"], "speed"),
        (&["compare", "runs/columns", "--columns", "learnin_rate"], "learnin_rate"),
        (&["compare", "runs/columns", "--baseline", "learning_rate=7"], "learning_rate=7"),
        (&["compare", "runs/columns", "--plot", "plot.png"], ".svg"),
    ] {
        let output = project.kiln(arguments);
        assert_eq!(output.status, 2, "{arguments:?}\n{}", output.stderr);
        assert!(output.stderr.contains(part), "{}", output.stderr);
        output.assert_no_panic("compare");
    }
}

/// In a color terminal, escape codes must not count as characters when the output is fitted to the width.
#[cfg(target_os = "linux")]
#[test]
fn table_fits_a_color_terminal() {
    let project = sweep();
    let kiln = env!("CARGO_BIN_EXE_kiln");
    for width in [60_usize, 80, 100, 120, 160] {
        // `script` runs a command in a pseudo terminal.
        let script = format!("stty rows 24 cols {width}; exec '{kiln}' compare runs/columns");
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--command", &script, "/dev/null"]);
        command.current_dir(project.path(".")).env_remove("NO_COLOR");
        command.env("TERM", "xterm-256color").stdin(std::process::Stdio::null());
        // A machine without `script` cannot run this test.
        let Ok(output) = command.output() else { return };
        let text = String::from_utf8(output.stdout).unwrap().replace('\r', "");
        assert!(text.contains("\u{1b}["), "no colors: {text}");
        let mut plain = String::new();
        for (index, part) in text.split('\u{1b}').enumerate() {
            let shown = if index == 0 { part } else { part.split_once('m').unwrap().1 };
            plain.push_str(shown);
        }
        let table: Vec<&str> = plain.lines().take_while(|line| !line.contains("runs in")).collect();
        let rules = table.iter().filter(|line| line.starts_with('─')).count();
        assert_eq!(rules, 3, "{plain}");
        for line in &plain.lines().collect::<Vec<_>>() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        // Every row begins with the space of its first column, or is a rule or a note.
        let rows: Vec<_> = table.iter().filter(|line| line.starts_with(" 0.3 ")).collect();
        assert!(rows.len() == 1 && rows[0].contains("possible"), "{width}: {plain}");
    }
}
