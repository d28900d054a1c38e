//! `kiln run --from`: more epochs for a finished run.

use crate::processes::{signal, start, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{Results, has_epochs, run_directories};

const MOMENTUM: &str = "optimizer={type=\"adam\",learning_rate=0.01}";

fn results(project: &Project, run: &str) -> Results {
    Results::of(&project.path(run))
}

/// The new run, and what the command said.
fn continued(project: &Project, from: &str, overrides: &[&str]) -> (String, String) {
    let arguments = [&["run", "experiment.toml", "--from", from], overrides].concat();
    let output = project.kiln_ok(&arguments);
    (output.last_line(), output.stderr)
}

#[test]
fn a_continued_run_has_the_bytes_of_a_longer_one() {
    let project = Project::new();
    for common in [
        &[][..],
        &[MOMENTUM, "weights=best"],
        &["schedule={type=\"step\",every_epochs=2.0}", "weights=average", "average_decay=0.9"],
        &["device.engine=generic", MOMENTUM],
        &["schedule={type=\"reduce_on_plateau\",patience=1}", "early_stopping.patience=50"],
    ] {
        let short = project.train(&[common, &["epochs=3"]].concat());
        let before = results(&project, &short);
        let whole = project.train(&[common, &["epochs=7"]].concat());
        let (run, message) = continued(&project, &short, &[common, &["epochs=7"]].concat());
        let expected = results(&project, &whole);
        results(&project, &run).assert_same(&expected, &format!("{common:?}"));
        assert!(message.contains("the result is that of a new run of 7 epochs"), "{message}");
        let config = project.read(format!("{run}/config.toml"));
        assert_eq!(config, project.read(format!("{whole}/config.toml")));
        let record = project.read_json(format!("{run}/run.json"));
        let id = short.rsplit('/').next().unwrap();
        let from = serde_json::json!({ "name": "columns", "id": id, "epochs": 3 });
        assert_eq!(record["continued"], from);
        for text in
            [project.kiln_ok(&["show", &run]).stdout, project.read(format!("{run}/report.md"))]
        {
            assert!(text.contains(&format!("columns/{id} after epoch 3")), "{text}");
        }
        results(&project, &short).assert_same(&before, "the first run does not change");
        project.kiln_ok(&["doctor", &run]);
    }
}

#[test]
fn a_schedule_that_depends_on_the_epochs_is_recorded_and_reproduced() {
    let project = Project::new();
    let cosine = ["schedule.type=cosine", "weights=best"];
    let short = project.train(&[&cosine[..], &["epochs=3"]].concat());
    let (run, message) = continued(&project, &short, &[&cosine[..], &["epochs=6"]].concat());
    for part in ["(cosine over 3 epochs)", "(cosine over 6 epochs)", "[[earlier]]"] {
        assert!(message.contains(part), "{message}");
    }
    let config = project.read(format!("{run}/config.toml"));
    for line in ["[[earlier]]", "until = 3", "epochs = 3", "learning_rate = 0.1"] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let shown = project.kiln_ok(&["show", &run]).stdout;
    assert!(
        shown.contains("earlier        until 3, epochs 3, learning_rate 0.1, schedule"),
        "{shown}"
    );
    let history = |run: &str| project.read(format!("{run}/history.csv"));
    let rate = |run: &str, epoch: usize| -> f64 {
        history(run).lines().nth(epoch).unwrap().split(',').nth(5).unwrap().parse().unwrap()
    };
    let whole = project.train(&[&cosine[..], &["epochs=6"]].concat());
    assert_ne!(rate(&run, 3), rate(&whole, 3), "the first epochs had other rates");
    assert_eq!(rate(&run, 3), rate(&short, 3));
    assert_eq!(rate(&run, 6), rate(&whole, 6), "the last ones do not");

    // `config.toml` determines the result.
    project.kiln_ok(&["verify", &run]);
    let again = project.kiln_ok(&["run", &format!("{run}/config.toml")]).last_line();
    results(&project, &again).assert_same(&results(&project, &run), "trained from scratch");
    // A second continuation.
    let config = format!("{run}/config.toml");
    let third = project.kiln_ok(&["run", &config, "epochs=8", "--from", &run]).last_line();
    let config = project.read(format!("{third}/config.toml"));
    assert_eq!(config.matches("[[earlier]]").count(), 2, "{config}");
    project.kiln_ok(&["verify", &third]);
    // The comparison does not take it for a copy of the run from scratch.
    let compared = project.kiln_ok(&["compare", &run, &whole, "--json"]).json();
    assert_eq!(compared["combinations"].as_array().unwrap().len(), 2);
}

#[test]
fn weights_and_tests_can_change_without_training() {
    let project = Project::new();
    let first = project.train(&["epochs=4"]);
    let overrides = ["epochs=4", "weights=best", "test.flip=true"];
    let (run, message) = continued(&project, &first, &overrides);
    assert!(message.contains("no epoch is left to train"), "{message}");
    let whole = project.train(&overrides);
    // How much too high the validation accuracy of the best epoch is cannot be known afterwards.
    let read = |run: &str| {
        let mut report = project.read_json(format!("{run}/report.json"));
        report.as_object_mut().unwrap().remove("optimism");
        let model = std::fs::read(project.path(run).join("model.safetensors")).unwrap();
        (report, model, project.read(format!("{run}/predictions.csv")))
    };
    assert!(read(&run) == read(&whole), "the weights of the best epoch");
}

#[test]
fn an_early_stop_can_be_continued_with_more_patience() {
    let project = Project::new();
    let stopping = ["epochs=60", "learning_rate=1.0", "early_stopping.patience=1"];
    let stopped = project.train(&stopping);
    let epochs = project.read(format!("{stopped}/history.csv")).lines().count() - 1;
    assert!(epochs < 60, "stopped early");
    let output =
        project.kiln(&[&["run", "experiment.toml", "--from", &stopped], &stopping[..]].concat());
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("raise early_stopping.patience"), "{}", output.stderr);
    let patient = ["epochs=60", "learning_rate=1.0", "early_stopping.patience=100"];
    let (run, _) = continued(&project, &stopped, &patient);
    results(&project, &run).assert_same(&results(&project, &project.train(&patient)), "patient");
}

#[test]
fn other_changes_are_refused_with_the_names_of_the_keys() {
    let project = Project::new();
    let run = project.train(&["epochs=3"]);
    for (overrides, status, problems) in [
        (&["batch_size=20"][..], 2, &["training.batch_size is 20, but 10 in columns/"][..]),
        (
            &["hidden.units=9", "seed=2"],
            2,
            &["model.layers.1.units is 9, but 8", "these keys differ, too: seed"],
        ),
        (&["data.validation=30"], 2, &["data.validation is 30, but 24"]),
        (&["optimizer={type=\"adam\"}"], 2, &["optimizer.type"]),
        (&["weights=average"], 2, &["training.average_decay"]),
        (&["epochs=2"], 2, &["epochs=2", "has 3 epochs already, more than 2"]),
    ] {
        let arguments =
            [&["run", "experiment.toml", "--from", &run, "epochs=9"], overrides].concat();
        let output = project.kiln(&arguments);
        assert_eq!(output.status, status, "{overrides:?} {}", output.stderr);
        for problem in problems {
            assert!(output.stderr.contains(problem), "{problem}: {}", output.stderr);
        }
    }
    let runs = run_directories(&project.path("runs/columns"));
    assert_eq!(runs.len(), 1, "no run is left: {runs:?}");

    project.kiln_ok(&["clean", &run, "--yes"]);
    let output = project.kiln(&["run", "experiment.toml", "--from", &run, "epochs=9"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("no checkpoint of its last epoch"), "{}", output.stderr);
    assert!(output.stderr.contains("checkpoint.keep=true"), "{}", output.stderr);
}

#[test]
fn an_interrupted_continuation_is_resumed() {
    let project = Project::new();
    let schedule = ["schedule.type=cosine"];
    let short = project.train(&[&schedule[..], &["epochs=3"]].concat());
    let arguments = ["run", "experiment.toml", "--from", &short, "epochs=400", "name=long"];
    let child = start(&project, &[&arguments[..], &schedule].concat());
    let mut path = None;
    wait_until("five epochs", || {
        path = run_directories(&project.path("runs/long")).pop();
        path.as_ref().is_some_and(|run| has_epochs(run, 5))
    });
    signal(child.id(), "-INT");
    let output = CommandOutput::from(child.wait_with_output().unwrap());
    let run = output.last_line();
    // An unfinished run is resumed and not continued.
    if output.status == 130 {
        let refused = project.kiln(&["run", "experiment.toml", "--from", &run, "epochs=500"]);
        assert_eq!(refused.status, 1);
        assert!(
            refused.stderr.contains("to train it to its end: kiln resume"),
            "{}",
            refused.stderr
        );
    }
    project.kiln_ok(&["resume", &run]);
    let overrides = [&schedule[..], &["epochs=400", "name=long"]].concat();
    let (whole, _) = continued(&project, &short, &overrides);
    results(&project, &run).assert_same(&results(&project, &whole), "resumed");
}
