//! Sweeps whose samples are drawn from results: `sampler = "tpe"` in `[random]`.

use std::collections::BTreeSet;

use crate::processes::start;
use crate::project::{CommandOutput, Project};
use crate::run_state::{statuses, with_status};
use crate::sweep::runs_trained;

/// Ten random samples, and four that are drawn from their results.
pub(crate) const SWEEP: &str = r#"name = "tpe"
experiment = "experiment.toml"

[random]
count = 14
seed = 3
sampler = "tpe"
learning_rate = { log_uniform = [1e-4, 1.0] }
"hidden.units" = { uniform = [2, 12] }
"hidden.activation" = { choice = ["relu", "tanh"] }
"#;

fn project_with(sweep: &str) -> Project {
    let project = Project::new();
    project.write("sweep.toml", sweep);
    project
}

fn ids(project: &Project) -> BTreeSet<String> {
    statuses(project, "runs/tpe").into_keys().collect()
}

/// The names of the files of drawn samples, without the key.
fn samples(project: &Project) -> Vec<String> {
    let entries = std::fs::read_dir(project.path("runs/tpe/.kiln/decisions")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.map(|name| name.split_once('-').unwrap().1.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn samples_depend_on_results_alone_and_a_larger_count_keeps_them() {
    let project = project_with(SWEEP);
    let dry_run = project.kiln_ok(&["sweep", "sweep.toml", "--dry-run", "--jobs=1"]);
    assert!(dry_run.stdout.contains("10 runs, 10 to do"), "{}", dry_run.stdout);
    let more = "4 more runs, whose settings follow from the results: about ";
    assert!(dry_run.stdout.contains(more), "{}", dry_run.stdout);
    assert!(!project.path("runs").exists());

    let output = project.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    assert!(output.stdout.contains("14 runs: 14 finished; in "), "{}", output.stdout);
    assert!(output.stderr.contains("[ 1/14]"), "{}", output.stderr);
    assert_eq!(
        samples(&project),
        ["sample-11.json", "sample-12.json", "sample-13.json", "sample-14.json"]
    );
    let all = ids(&project);

    // Nothing is left to do, and all commands know all runs.
    assert_eq!(runs_trained(&project.kiln_ok(&["sweep", "sweep.toml"])), 0);
    assert_eq!(runs_trained(&project.kiln_ok(&["resume", "runs/tpe"])), 0);
    let status = project.kiln_ok(&["status", "runs/tpe"]);
    assert!(status.stdout.contains("tpe: 14 runs: 14 finished"), "{}", status.stdout);
    let doctor = project.kiln_ok(&["doctor", "runs/tpe"]);
    assert!(!doctor.stdout.contains("still to do"), "{}", doctor.stdout);
    let compare = project.kiln_ok(&["compare", "runs/tpe", "--sweep", "1", "--json"]);
    assert_eq!(compare.json()["combinations"].as_array().unwrap().len(), 14);

    // A sweep with count = 12 has the first twelve samples. With count = 14, it keeps them and draws the last two as before.
    let shorter = project_with(&SWEEP.replace("count = 14", "count = 12"));
    shorter.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    assert_eq!(ids(&shorter).len(), 12);
    assert!(ids(&shorter).is_subset(&all));
    shorter.write("sweep.toml", SWEEP);
    assert_eq!(runs_trained(&shorter.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"])), 2);
    assert_eq!(ids(&shorter), all);
}

#[test]
fn a_sample_is_drawn_once_and_then_its_file_decides() {
    let project = project_with(SWEEP);
    project.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    let all = ids(&project);
    // With other results, the same samples: they were decided.
    let first = all.iter().next().unwrap();
    std::fs::remove_dir_all(project.path(format!("runs/tpe/{first}"))).unwrap();
    assert_eq!(runs_trained(&project.kiln_ok(&["resume", "runs/tpe"])), 1);
    assert_eq!(ids(&project), all);
    // A damaged file decides nothing, and the same results lead to the same sample.
    let decisions = project.path("runs/tpe/.kiln/decisions");
    for entry in std::fs::read_dir(decisions).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().contains("sample-14") {
            std::fs::write(path, "{}").unwrap();
        }
    }
    let status = project.kiln_ok(&["status", "runs/tpe"]);
    assert!(status.stdout.contains("13 finished, 1 not drawn yet"), "{}", status.stdout);
    let doctor = project.kiln(&["doctor", "runs/tpe"]);
    assert!(doctor.stdout.contains("still to do: 1 of 14"), "{}", doctor.stdout);
    assert_eq!(runs_trained(&project.kiln_ok(&["resume", "runs/tpe", "--jobs=1"])), 0);
    assert_eq!(ids(&project), all);
}

#[test]
fn several_sweeps_and_jobs_share_the_samples() {
    let project = project_with(&SWEEP.replace("count = 14", "count = 18"));
    let processes: Vec<_> =
        (0..3).map(|_| start(&project, &["sweep", "sweep.toml", "--jobs=2"])).collect();
    let mut trained = 0;
    for process in processes {
        let output = CommandOutput::from(process.wait_with_output().unwrap());
        assert_eq!(output.status, 0, "{}", output.stderr);
        trained += output.stderr.matches("  finished  last").count();
        assert!(output.stdout.contains("18 runs: 18 finished"), "{}", output.stdout);
    }
    assert_eq!((ids(&project).len(), trained), (18, 18));
}

#[test]
fn a_sample_is_repeated_with_every_seed_and_its_best_ones_can_race() {
    let sweep = SWEEP.replace("count = 14", "count = 12") + "[repeat]\nseed = [1, 2]\n";
    let project = project_with(&sweep);
    let race = ["sweep", "sweep.toml", "--race", "--top=2"];
    let early = project.kiln(&race);
    assert_ne!(early.status, 0);
    assert!(early.stderr.contains("2 of its samples are not drawn yet"), "{}", early.stderr);
    let output = project.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    assert!(output.stdout.contains("24 runs: 24 finished"), "{}", output.stdout);
    let raced = project.kiln_ok(&race);
    assert!(raced.stdout.contains("% sure: the best of 2 combinations"), "{}", raced.stdout);
}

#[test]
fn with_pruning_in_order_of_arrival_pruned_samples_count_as_bad_ones() {
    let sweep = SWEEP.to_owned() + "[prune]\norder = \"arrival\"\n";
    let project = project_with(&sweep);
    project.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    assert_eq!(ids(&project).len(), 14);
    assert!(!with_status(&project, "runs/tpe", "pruned").is_empty());
}

#[test]
fn samples_that_cannot_be_trained_or_are_excluded_are_passed_over() {
    // Without seeds, five units are excluded.
    let sweep = SWEEP.replace("[2, 12]", "[4, 6]") + "[[exclude]]\n\"hidden.units\" = 5\n";
    let project = project_with(&sweep);
    project.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    for id in ids(&project) {
        let config = project.read(format!("runs/tpe/{id}/config.toml"));
        assert!(!config.contains("units = 5"), "{config}");
    }
    assert_eq!(samples(&project).len(), 4);
}

#[test]
fn what_a_sampler_cannot_do_is_refused_with_its_place() {
    let project = Project::new();
    for (from, to, parts) in [
        ("\"tpe\"", "\"tpf\"", ["\"random\" or \"tpe\"", "sweep.toml:7"]),
        ("sampler = \"tpe\"", "metric = \"val_loss\"", ["add sampler = \"tpe\"", "sweep.toml:7"]),
        (
            "[random]",
            "[grid]\nepochs = [1, 2]\n[random]",
            ["`training.epochs` is listed", "choice = [1, 2]"],
        ),
        ("[random]", "[prune]\n[random]", ["order = \"arrival\"", "sweep.toml:8"]),
        ("[random]", "[race]\n[random]", ["--race --top 10", "sweep.toml:8"]),
        (
            "[random]",
            "[[block]]\n[block.grid]\nepochs = [1]\n[random]",
            ["several blocks", "sweep.toml:10"],
        ),
        (
            "sampler",
            "metric = \"top_5_accuracy\"\nsampler",
            ["the sampler of `[random]` compares", "training"],
        ),
    ] {
        project.write("sweep.toml", SWEEP.replace(from, to));
        let output = project.kiln(&["sweep", "sweep.toml"]);
        assert_ne!(output.status, 0, "{to}");
        for part in parts {
            assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
        }
    }
    project.write("sweep.toml", SWEEP);
    let output = project.kiln(&["sweep", "sweep.toml", "epochs=1,2"]);
    assert!(output.stderr.contains("`training.epochs` is listed"), "{}", output.stderr);
}
