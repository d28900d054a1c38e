//! `kiln compare`.

use std::fs;

use crate::world::World;

/// Two learning rates, of which one does not learn, with two seeds each.
fn sweep() -> World {
    let world = World::new();
    let ran = world.kiln(&[
        "sweep",
        "experiment.toml",
        "learning_rate=0.3,1e-9",
        "seed=1,2",
        "epochs=12",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    world
}

#[test]
fn a_sweep_is_a_row_a_combination_the_best_by_validation_first() {
    let world = sweep();
    let ran = world.kiln(&["compare", "runs/columns"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    let row = |text: &str| ran.stdout.lines().position(|line| line.trim().starts_with(text));
    assert!(row("0.3 ").unwrap() < row("1e-9 ").unwrap(), "{}", ran.stdout);
    assert!(ran.stdout.contains("4 runs in 2 combinations, ranked by the best val_accuracy"));
    // Only what differs has a column.
    assert!(!ran.stdout.contains("batch_size"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "no colour off a terminal");
}

#[test]
fn tables_for_programs_are_all_of_standard_output() {
    let world = sweep();
    let csv = world.kiln(&["compare", "runs/columns", "--csv"]);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", csv.stdout);
    let cells = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| cells(line) == cells(lines[0])), "{}", csv.stdout);
    assert!(csv.stderr.contains("ranked by"), "{}", csv.stderr);

    let json = world.kiln(&["compare", "runs/columns", "--json", "--quiet"]);
    assert_eq!(json.stderr, "");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["format_version"], 1);
    assert_eq!(json["combinations"].as_array().unwrap().len(), 2);

    let md = world.kiln(&["compare", "runs/columns", "--md", "--sort", "learning_rate"]);
    assert!(
        md.stdout.starts_with("| learning\\_rate |") || md.stdout.starts_with("| learning_rate |"),
        "{}",
        md.stdout
    );
    let both = world.kiln(&["compare", "runs/columns", "--md", "--csv"]);
    assert_eq!(both.status, 2);
}

#[test]
fn the_page_is_one_file() {
    let world = sweep();
    let ran = world.kiln(&["compare", "runs/columns", "--html", "page.html", "--plot", "plot.svg"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let page = world.read("page.html");
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("learning_rate"));
    for reference in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(world.read("plot.svg").starts_with("<svg"));
}

#[test]
fn pictures_and_axes_are_chosen() {
    let world = World::new();
    let ran = world.kiln(&[
        "sweep",
        "experiment.toml",
        "learning_rate=0.3,0.1",
        "epochs=1,2",
        "hidden.units=4,8",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    // Of three settings none is left out unasked.
    let ran = world.kiln(&["compare", "runs/columns"]);
    assert!(!ran.stdout.contains("best val_accuracy by "), "{}", ran.stdout);
    let ran = world.kiln(&["compare", "runs/columns", "--axes", "epochs,learning_rate"]);
    assert!(ran.stdout.contains("best val_accuracy by epochs and learning_rate"), "{}", ran.stdout);
    for (kind, words) in [
        ("heatmap", "best val_accuracy by hidden.units and epochs"),
        ("setting", "against hidden.units"),
        ("curves", "over the epochs"),
        ("classes", "accuracy by class"),
    ] {
        let arguments =
            ["compare", "runs/columns", "--plot=p.svg", "--axes=units,epochs", "--plot-kind", kind];
        let ran = world.kiln(&arguments);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let picture = world.read("p.svg");
        assert!(picture.contains(words), "`{words}` is not in the picture of {kind}");
    }
    let ran = world.kiln(&["compare", "--axes", "epochs", "runs/columns"]);
    assert!(ran.stdout.contains("best val_accuracy by epochs"), "{}", ran.stdout);
    let ran = world.kiln(&["compare", "runs/columns", "--axes", "units,epochs,learning_rate"]);
    assert_eq!(ran.status, 2);
    let ran = world.kiln(&["compare", "runs/columns", "--axes", "speed"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("no setting of this name differs; choose from"), "{}", ran.stderr);
}

/// The same experiment in two sweeps that differ in nothing but their seeds.
#[test]
fn two_identical_sweeps_have_no_winner() {
    let world = World::new();
    for (name, seeds) in [("one", "1,2,3"), ("two", "4,5,6")] {
        let name = format!("name={name}");
        let seeds = format!("seed={seeds}");
        let ran = world.kiln(&["sweep", "experiment.toml", &name, &seeds, "hidden.units=4,8"]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
    let ran = world.kiln(&["compare", "runs/one", "runs/two", "--json", "-q"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let rows = json["combinations"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "two sizes in two sweeps");
    let mut outcomes: Vec<&str> =
        rows.iter().map(|row| row["verdict"]["outcome"].as_str().unwrap_or("baseline")).collect();
    outcomes.sort_unstable();
    let undecided = "not distinguishable";
    assert_eq!(outcomes, ["baseline", undecided, undecided, undecided]);
}

#[test]
fn two_runs_are_compared_in_depth() {
    let world = World::new();
    let first = world.trained(&["learning_rate=0.3", "epochs=12"]);
    let second = world.trained(&["learning_rate=1e-9"]);
    let ran = world.kiln(&["compare", &first, &second]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    for part in ["learning_rate", "recall", "only", "middle"] {
        assert!(ran.stdout.contains(part), "`{part}` is not in\n{}", ran.stdout);
    }
}

#[test]
fn what_is_damaged_is_named_and_left_out() {
    let world = sweep();
    let entries = fs::read_dir(world.path("runs/columns")).unwrap().flatten();
    let mut runs: Vec<_> = entries.filter(|run| run.path().join("run.json").exists()).collect();
    runs.sort_by_key(fs::DirEntry::path);
    fs::write(runs[0].path().join("report.json"), "{\"format_version\": 1, \"examples\"").unwrap();
    fs::remove_file(runs[1].path().join("config.toml")).unwrap();
    let ran = world.kiln(&["compare", "runs/columns"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("2 runs in "), "{}", ran.stdout);
    for run in &runs[..2] {
        let name = run.file_name().into_string().unwrap();
        let told = ran.stdout.lines().any(|line| line.contains(&name));
        assert!(told, "{name} is not told of in\n{}", ran.stdout);
    }
}

#[test]
fn what_cannot_be_compared_is_a_wrong_command() {
    let world = sweep();
    for (arguments, part) in [
        (["compare", "runs/colums"].as_slice(), "runs/colums"),
        (&["compare", "data"], "data"),
        (&["compare", "runs/columns", "--sort", "speed"], "speed"),
        (&["compare", "runs/columns", "--columns", "learnin_rate"], "learnin_rate"),
        (&["compare", "runs/columns", "--baseline", "learning_rate=7"], "learning_rate=7"),
        (&["compare", "runs/columns", "--plot", "plot.png"], ".svg"),
    ] {
        let ran = world.kiln(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}\n{}", ran.stderr);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
}
