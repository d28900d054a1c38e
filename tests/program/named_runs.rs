//! Naming a run by the beginning of its id, as the last or the best one; `kiln ls` and `kiln clean`.

use std::path::Path;

use image::GrayImage;
use serde_json::Value;

use crate::project::Project;

/// A project with a sweep of four runs. Its validation accuracy is best with the highest learning rate.
fn project_with_sweep() -> (Project, String) {
    let project = Project::new();
    let sweep = ["sweep", "experiment.toml", "name=rates", "learning_rate=0.0001,0.3", "seed=1,2"];
    let more = ["save_initial=true", "epochs=6"];
    let directory = project.kiln_ok(&[sweep.as_slice(), &more].concat()).last_line();
    (project, directory)
}

/// The runs of `kiln ls --json`.
fn listed(project: &Project, path: &str) -> Vec<Value> {
    let json = project.kiln_ok(&["ls", path, "--json"]).json();
    assert_eq!(json["format_version"], 1);
    let groups = json["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["runs"].as_array().unwrap().clone()).collect()
}

#[test]
fn a_run_is_named_by_its_id_or_as_the_last_or_best_one() {
    let (project, sweep) = project_with_sweep();
    let last = project.train(&[]);
    let runs = listed(&project, &sweep);
    let accuracy = |run: &Value| run["val_accuracy"].as_f64().unwrap();
    let best = runs.iter().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b))).unwrap();
    let id = runs[0]["id"].as_str().unwrap();
    let shown = |name: &str| project.kiln_ok(&["show", name]).stdout;
    for name in [id.to_owned(), id[..10].to_owned(), format!("rates/{}", &id[..10])] {
        assert!(shown(&name).contains(&format!("rates {id}")), "{name}");
    }
    assert!(shown("columns/last").contains(&format!("\n{last}\n")));
    assert!(shown("runs/last").contains(&format!("\n{last}\n")));
    let best_shown = shown("rates/best");
    let at_best = runs.iter().filter(|run| accuracy(run) == accuracy(best));
    let mut at_best = at_best.map(|run| run["path"].as_str().unwrap());
    assert!(at_best.any(|path| best_shown.contains(&format!("\n{path}\n"))), "{best_shown}");

    GrayImage::from_pixel(4, 4, image::Luma([9])).save(project.path("image.png")).unwrap();
    for arguments in [
        &["predict", "rates/best", "image.png"][..],
        &["verify", "columns/last"],
        &["resume", "rates"],
        &["resume", "columns/last"],
        &["doctor", "rates", &id[..10]],
        &["compare", "rates"],
        &["compare", &id[..10], "columns/last"],
        &["ls", "rates"],
        &["clean", "rates/last"],
    ] {
        project.kiln_ok(arguments);
    }
    // Several runs start with 2026 or any other year.
    project.train(&["name=columns"]);
    let year = &Path::new(&last).file_name().unwrap().to_str().unwrap()[..4];
    let output = project.kiln(&["show", &format!("columns/{year}")]);
    assert_eq!(output.status, 1);
    for part in ["matches 2 runs", "help: name one of runs/columns/"] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
}

#[test]
fn names_that_lead_to_no_run() {
    let (project, sweep) = project_with_sweep();
    project.kiln(&["run", "experiment.toml", "name=without", "validation=0"]);
    for (arguments, parts) in [
        (&["show", "nowhere"][..], &["nowhere does not exist", "help: ", "kiln ls"][..]),
        (&["resume", "runs/nope"], &["runs/nope does not exist", "help: "]),
        (&["verify", "rates/zz"], &["rates/zz does not exist"]),
        (&["show", "nowhere/last"], &["nowhere/last does not exist"]),
        (
            &["resume", "runs"],
            &[
                "runs is neither a run nor a sweep",
                "give a run (runs/NAME/ID) or a sweep (runs/NAME)",
            ],
        ),
        (&["resume", "experiment.toml"], &["experiment.toml is neither a run nor a sweep"]),
        (&["show", "without/best"], &["no finished run with a val_accuracy"]),
    ] {
        let output = project.kiln(arguments);
        assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
        for part in parts {
            assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
        }
        output.assert_no_panic("a name that leads to no run");
    }
    assert!(project.path(&sweep).exists());
}

#[test]
fn ls_shows_each_run_or_each_directory() {
    let (project, sweep) = project_with_sweep();
    let run = project.train(&[]);
    project.kiln(&["run", "experiment.toml", "learning_rate=1e30"]);
    let text = project.kiln_ok(&["ls", &sweep]).stdout;
    for part in ["learning_rate 0.3, seed 2", "finished", "KiB", "runs/rates: 4 finished; "] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let overview = project.kiln_ok(&["ls"]).stdout;
    for part in ["runs/columns", "1 diverged, 1 finished", "runs/rates", "4 finished"] {
        assert!(overview.contains(part), "`{part}` is not in\n{overview}");
    }
    let runs = listed(&project, "columns");
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["path"], run.as_str());
    assert_eq!((&runs[0]["status"], &runs[0]["in_use"]), (&"finished".into(), &false.into()));
    assert_eq!(runs[0]["settings"]["learning_rate"], "0.1");
    assert_eq!(runs[1]["test_accuracy"], Value::Null);
    let report = project.read_json(format!("{run}/report.json"));
    assert_eq!(runs[0]["test_accuracy"], report["accuracy"]);

    // A run that cannot be read is listed with the reason.
    project.write(format!("{run}/run.json"), "{");
    let runs = listed(&project, "columns");
    assert_eq!(runs[0]["status"], Value::Null);
    assert!(runs[0]["problem"].as_str().unwrap().contains("run.json"), "{}", runs[0]);
    assert!(project.kiln_ok(&["ls", "columns"]).stdout.contains("not readable"));
    assert_eq!(project.kiln(&["ls", "nowhere"]).status, 2);

    let empty = ["ls", "--runs", "empty"];
    assert_eq!(project.kiln_ok(&empty).stderr, "no runs in empty yet\n");
    let json = project.kiln_ok(&[empty.as_slice(), &["--json"]].concat()).json();
    assert_eq!(json["groups"], Value::Array(Vec::new()));
}

#[test]
fn show_lists_the_settings() {
    let project = Project::new();
    let run = project.train(&["learning_rate=0.03", "hidden.units=9"]);
    let text = project.kiln_ok(&["show", &run]).stdout;
    for part in [
        "Settings\ndata           source columns, validation 24",
        "\nmodel          flatten, repeat 1\n               dense, units 9, activation relu, ",
        "\noptimizer      type sgd, ",
        "learning_rate 0.03",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn clean_frees_space_and_leaves_everything_intact() {
    let (project, sweep) = project_with_sweep();
    let before = project.listing();
    for arguments in [&["clean", &sweep][..], &["clean", &sweep, "--dry-run", "--keep", "best=1"]] {
        let output = project.kiln_ok(arguments);
        assert!(output.stdout.contains("can be freed in 4 runs"), "{}", output.stdout);
        assert!(
            output.stderr.contains("to remove this: kiln clean runs/rates "),
            "{}",
            output.stderr
        );
    }
    assert_eq!(project.listing(), before);

    let table = project.kiln_ok(&["compare", &sweep, "--csv"]).stdout;
    let best = project.kiln_ok(&["show", "rates/best"]).stdout;
    let output = project.kiln_ok(&["clean", &sweep, "--yes"]);
    assert!(output.stdout.contains("removed from 4 runs"), "{}", output.stdout);
    let runs: Vec<String> = listed(&project, &sweep)
        .iter()
        .map(|run| run["path"].as_str().unwrap().to_owned())
        .collect();
    for run in &runs {
        let has = |file: &str| project.path(run).join(file).exists();
        assert!(!has("checkpoints") && !has("initial.safetensors") && has("model.safetensors"));
    }
    let output = project.kiln_ok(&["clean", &sweep, "--keep", "best=1", "-y"]);
    assert!(output.stdout.contains("removed from 3 runs"), "{}", output.stdout);
    let has_weights = |run: &String| project.path(run).join("model.safetensors").exists();
    let (kept, cleaned): (Vec<_>, Vec<_>) = runs.into_iter().partition(has_weights);
    assert_eq!((kept.len(), cleaned.len()), (1, 3));
    assert!(best.contains(&format!("\n{}\n", kept[0])), "{best}");

    // All that remains is intact, and nothing is trained again.
    let doctor = project.kiln_ok(&["doctor", &sweep, "--json"]).json();
    for run in doctor["runs"].as_array().unwrap() {
        assert_eq!(run["health"], "whole", "{run}");
    }
    assert_eq!(project.kiln_ok(&["compare", &sweep, "--csv"]).stdout, table);
    project.kiln_ok(&["verify", &cleaned[0]]);
    let record = project.read_json(format!("{}/run.json", cleaned[0]));
    assert!(record["removed"]["model.safetensors"]["sha256"].is_string(), "{record}");
    let shown = project.kiln_ok(&["show", &cleaned[0]]).stdout;
    assert!(shown.contains("saved weights, removed by kiln clean"), "{shown}");
    assert!(!shown.contains("missing:"), "{shown}");
    let again = project.kiln_ok(&["resume", &sweep]);
    assert!(!again.stderr.contains("finished  "), "{}", again.stderr);
    let output = project.kiln_ok(&["clean", &sweep, "--keep", "best=1"]);
    assert!(output.stdout.contains("nothing to remove"), "{}", output.stdout);

    project.write("image.png", "");
    let output = project.kiln(&["predict", &cleaned[0], "image.png"]);
    assert_eq!(output.status, 1);
    for part in ["were removed by kiln clean", &format!("kiln run {}/config.toml", cleaned[0])] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
}

#[test]
fn clean_leaves_runs_alone_that_can_be_resumed() {
    let project = Project::new();
    let finished = project.train(&["checkpoint.keep=false"]);
    let run = project.train(&[]);
    // As if the process had been killed before the report was written.
    std::fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let before = project.listing();
    let output = project.kiln_ok(&["clean", "runs", "--yes", "--keep", "best=0"]);
    assert!(output.stderr.contains("left alone: 1 run that can be resumed"), "{}", output.stderr);
    assert!(!project.path(&finished).join("model.safetensors").exists());
    let after: Vec<_> = before.iter().filter(|path| path.exists()).collect();
    assert_eq!(after.len(), before.len() - 1);
    project.kiln_ok(&["resume", &run]);

    let output = project.kiln(&["clean", "runs", "--keep", "10"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("write best=N"), "{}", output.stderr);
    assert_eq!(project.kiln(&["clean", "nowhere"]).status, 2);
}
