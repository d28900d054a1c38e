//! Sweeps with a time: `budget` in `[random]`.

use std::time::{Duration, Instant};

use crate::processes::{signal, start, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{run_directories, statuses};
use crate::sweep::runs_trained;

const SWEEP: &str = r#"name = "timed"
experiment = "experiment.toml"

[random]
budget = "12s"
sampler = "tpe"
learning_rate = { log_uniform = [1e-2, 1.0] }
"hidden.units" = { uniform = [4, 12] }
"#;

fn project_with(sweep: &str) -> Project {
    let project = Project::in_memory();
    project.write("sweep.toml", sweep);
    project
}

/// A project whose sweep has the time of so many runs, one after the other, at the present speed of the machine, and at least so
/// many seconds.
fn project_with_time_for(runs: f64, least: f64, sweep: &str) -> Project {
    let project = project_with(sweep);
    let started = Instant::now();
    project.train(&["name=alone"]);
    let seconds = (runs * started.elapsed().as_secs_f64()).max(least).ceil();
    project.write("sweep.toml", sweep.replace("12s", &format!("{seconds}s")));
    project
}

/// The seconds that the sweep has used, according to its file.
fn used(project: &Project) -> f64 {
    let entries = std::fs::read_dir(project.path("runs/timed/.kiln")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.into_iter().find(|name| name.starts_with("budget-")).unwrap();
    project.read_json(format!("runs/timed/.kiln/{name}"))["seconds"].as_f64().unwrap()
}

/// What a sweep says about how certain it is: the result of a race, or that there was no time for one.
fn has_answer(output: &CommandOutput) -> bool {
    output.stdout.contains("% sure: the best of") || output.stdout.contains("it is not certain")
}

fn assert_nothing_half_recorded(project: &Project) {
    for (id, status) in statuses(project, "runs/timed") {
        assert!(["finished", "pruned", "diverged"].contains(&status.as_str()), "{id}: {status}");
        let record = project.read_json(format!("runs/timed/{id}/run.json"));
        let history = project.read(format!("runs/timed/{id}/history.csv"));
        assert_eq!(record["epochs"], history.lines().count() - 1, "{id}");
        assert!(record["epochs"].as_u64().unwrap() > 0, "{id}");
    }
}

#[test]
fn a_sweep_ends_on_time_with_an_answer_and_is_not_continued() {
    let project = project_with(SWEEP);
    let started = Instant::now();
    let output = project.kiln_ok(&["sweep", "sweep.toml", "--jobs=2"]);
    // On a machine that does something else, the processes take a while to end.
    assert!(started.elapsed() < Duration::from_secs(12 + 20), "{:?}", started.elapsed());
    assert!(has_answer(&output), "{}", output.stdout);
    assert!(output.stdout.contains(" of the budget of 12.0 s"), "{}", output.stdout);
    assert!(!output.stdout.contains("kiln resume"), "{}", output.stdout);
    assert_nothing_half_recorded(&project);
    let runs = statuses(&project, "runs/timed");

    let again = project.kiln_ok(&["resume", "runs/timed"]);
    assert_eq!(runs_trained(&again), 0, "{}", again.stdout);
    assert!(has_answer(&again), "{}", again.stdout);
    assert_eq!(statuses(&project, "runs/timed"), runs);
    let doctor = project.kiln_ok(&["doctor", "runs/timed"]);
    assert!(!doctor.stdout.contains("still to do"), "{}", doctor.stdout);
    let status = project.kiln_ok(&["status", "runs/timed"]);
    assert!(status.stdout.contains("of 12.0 s used"), "{}", status.stdout);
    let compare = project.kiln_ok(&["compare", "runs/timed", "--sweep", "1"]);
    assert!(!compare.stdout.contains("kiln resume"), "{}", compare.stdout);
}

#[test]
fn the_best_combinations_of_the_search_race() {
    let project = project_with_time_for(60.0, 45.0, SWEEP);
    let output = project.kiln_ok(&["sweep", "sweep.toml", "--jobs=2"]);
    assert!(
        output.stdout.contains("search: ") && output.stdout.contains(" best ones race\n"),
        "{}",
        output.stdout
    );
    assert!(has_answer(&output), "{}", output.stdout);
    assert!(!output.stdout.contains("there was no time for a race"), "{}", output.stdout);
    assert_nothing_half_recorded(&project);
    // The race has other seeds than the search.
    let config = |id: &String| project.read(format!("runs/timed/{id}/config.toml"));
    let seeds = |seed: &str| {
        statuses(&project, "runs/timed").keys().filter(|id| config(id).contains(seed)).count()
    };
    assert!(seeds("\nseed = 1\n") >= 10 && seeds("\nseed = 2\n") >= 2);

    let again = project.kiln_ok(&["sweep", "sweep.toml"]);
    assert_eq!(runs_trained(&again), 0, "{}", again.stdout);
    assert!(has_answer(&again), "{}", again.stdout);
    let status = project.kiln_ok(&["status", "runs/timed"]);
    assert!(status.stdout.contains("  race; "), "{}", status.stdout);
    let doctor = project.kiln_ok(&["doctor", "runs/timed"]);
    assert!(!doctor.stdout.contains("still to do"), "{}", doctor.stdout);
    let compare = project.kiln_ok(&["compare", "runs/timed", "--sweep", "1", "--json"]);
    assert!(compare.json()["combinations"].as_array().unwrap().len() >= 10);
}

#[test]
fn a_resumed_sweep_has_the_time_that_is_left() {
    let project = project_with(&SWEEP.replace("12s", "15s"));
    let process = start(&project, &["sweep", "sweep.toml", "--jobs=1"]);
    wait_until("a run has begun", || !run_directories(&project.path("runs/timed")).is_empty());
    signal(process.id(), "-INT");
    let output = CommandOutput::from(process.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    let before = used(&project);
    assert!(before > 0.0);
    let started = Instant::now();
    let output = project.kiln_ok(&["resume", "runs/timed", "--jobs=1"]);
    assert!(has_answer(&output), "{}", output.stdout);
    let elapsed = started.elapsed().as_secs_f64();
    let now = used(&project);
    assert!(now > before && now - before < elapsed + 1.0, "{before} s, {now} s after {elapsed} s");
    assert_nothing_half_recorded(&project);
}

#[test]
fn without_an_adaptive_sampler_a_budget_draws_at_random() {
    let sweep = SWEEP.replace("sampler = \"tpe\"\n", "");
    let project = project_with_time_for(20.0, 6.0, &sweep);
    let output = project.kiln_ok(&["sweep", "sweep.toml", "--jobs=2"]);
    assert!(has_answer(&output), "{}", output.stdout);
    assert_nothing_half_recorded(&project);
}

#[test]
fn a_dry_run_says_what_is_planned_and_what_is_not_known() {
    let project = project_with(&SWEEP.replace("12s", "1h"));
    let output = project.kiln_ok(&["sweep", "sweep.toml", "--dry-run", "--jobs=2"]);
    for part in [
        "a budget of 1 h 00 min, of which 0.0 s are used, with 2 at a time",
        "search: ",
        "race: ",
        "the 10 best ones with 3 seeds",
        "not known yet: the settings after the first samples",
    ] {
        assert!(output.stdout.contains(part), "`{part}` is not in\n{}", output.stdout);
    }
    assert!(!project.path("runs").exists());
}

#[test]
fn a_budget_that_fits_no_run_is_an_error_as_soon_as_an_epoch_is_timed() {
    let project = project_with(&SWEEP.replace("12s", "60s"));
    let started = Instant::now();
    let output = project.kiln(&["sweep", "sweep.toml", "epochs=100000", "--jobs=1"]);
    assert_eq!(output.status, 2, "{}", output.stderr);
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
    assert!(
        output.stderr.contains("this budget is too short: one run takes about"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("sweep.toml:5") && output.stderr.contains("or more"),
        "{}",
        output.stderr
    );
}

#[test]
fn what_contradicts_a_budget_is_refused_with_its_place() {
    let project = Project::new();
    for (from, to, part) in [
        ("[random]", "[random]\ncount = 5", "`budget` decides how many combinations"),
        ("\"12s\"", "20", "a time such as \"20m\""),
        ("\"12s\"", "\"20 minutes\"", "a time such as \"20m\""),
        ("[random]", "[race]\n[random]", "races the best combinations itself"),
        (
            "[random]",
            "[repeat]\nseed = [1, 2]\n[random]",
            "gives seeds to the best combinations itself",
        ),
        ("sampler", "metric = \"val_loss\"\nsampler", "a race compares `val_accuracy`"),
    ] {
        project.write("sweep.toml", SWEEP.replace(from, to));
        let output = project.kiln(&["sweep", "sweep.toml"]);
        assert_ne!(output.status, 0, "{to}");
        assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
        assert!(output.stderr.contains("sweep.toml:"), "{}", output.stderr);
    }
    project.write("sweep.toml", SWEEP);
    let race = project.kiln(&["sweep", "sweep.toml", "--race"]);
    assert!(race.stderr.contains("races the best combinations itself"), "{}", race.stderr);
}
