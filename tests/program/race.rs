//! `kiln sweep --race`.

use std::collections::BTreeMap;

use crate::processes::start;
use crate::project::{CommandOutput, Project};
use crate::run_state::{Results, results, statuses};
use crate::sweep::runs_trained;

/// Two learning rates that learn and two that do not, so that two are stopped at the first look.
const RACE: [&str; 6] = [
    "sweep",
    "experiment.toml",
    "learning_rate=0.3,1e-9,0.25,1e-8",
    "epochs=4",
    "weights=best",
    "--race",
];

/// The lines about the race.
fn lines_of_race(output: &CommandOutput) -> Vec<String> {
    let lines = output.stdout.lines().skip_while(|line| !line.contains("% sure"));
    let lines = lines.take_while(|line| !line.contains("best by validation"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_race_stops_combinations_that_cannot_be_the_best() {
    let project = Project::new();
    let output = project.kiln_ok(&RACE);
    let lines = lines_of_race(&output);
    assert!(lines[0].starts_with("95 % sure: the best of 4 combinations is "), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("1e-")), "{lines:?}");
    assert!(
        output.stderr.contains("after 3 seeds: 2 of 4 combinations stopped"),
        "{}",
        output.stderr
    );
    let trained = runs_trained(&output);
    let saved = format!("the race saved {} of 40 runs", 40 - trained);
    assert!(output.stdout.contains(&saved), "`{saved}` is not in\n{}", output.stdout);
    assert!(
        output.stdout.contains(&format!("\n{trained} runs: {trained} finished; in "))
            || output.stdout.starts_with(&format!("{trained} runs: {trained} finished; in "))
    );
    assert_eq!(statuses(&project, "runs/columns").len(), trained);
    assert!(!output.stdout.contains("not run"), "{}", output.stdout);

    // Nothing is left to do, neither for the same command nor for `resume`, and `doctor` agrees.
    let again = project.kiln_ok(&RACE);
    assert_eq!((runs_trained(&again), lines_of_race(&again)), (0, lines.clone()));
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert_eq!((runs_trained(&resumed), lines_of_race(&resumed)), (0, lines));
    let doctor = project.kiln_ok(&["doctor", "runs/columns"]);
    assert!(!doctor.stdout.contains("still to do"), "{}", doctor.stdout);
}

#[test]
fn the_number_of_jobs_and_of_sweeps_does_not_change_a_race() {
    let race_with = |arguments: &[&str], sweeps: usize| {
        let project = Project::new();
        let arguments = [RACE.as_slice(), arguments].concat();
        let processes: Vec<_> = (0..sweeps).map(|_| start(&project, &arguments)).collect();
        let mut lines = Vec::new();
        for process in processes {
            let output = CommandOutput::from(process.wait_with_output().unwrap());
            assert_eq!(output.status, 0, "{}", output.stderr);
            lines.push(lines_of_race(&output));
        }
        lines.dedup();
        let found: BTreeMap<String, Results> = results(&project, "runs/columns");
        (lines, found)
    };
    let one = race_with(&["--jobs=1"], 1);
    assert_eq!(one.0.len(), 1);
    for (jobs, sweeps) in [("--jobs=4", 1), ("--jobs=2", 3)] {
        let other = race_with(&[jobs], sweeps);
        assert_eq!(other.0, one.0, "{jobs}, {sweeps} sweeps");
        assert!(other.1 == one.1, "{jobs}, {sweeps} sweeps");
    }
}

#[test]
fn dry_run_predicts_the_best_and_the_worst_case() {
    let project = Project::new();
    let dry_run = [RACE.as_slice(), &["--dry-run"]].concat();
    let output = project.kiln_ok(&dry_run);
    let lines =
        ["a race of 4 combinations over 10 seeds: 40 runs at most", "12 to 40 to do: about "];
    for line in lines {
        assert!(output.stdout.contains(line), "`{line}` is not in\n{}", output.stdout);
    }
    assert_eq!(output.stdout.matches("   if needed\n").count(), 28, "{}", output.stdout);
    project.kiln_ok(&RACE);
    let output = project.kiln_ok(&dry_run);
    assert!(output.stdout.contains("0 to 0 to do"), "{}", output.stdout);
}

#[test]
fn the_best_of_a_search_race_with_other_seeds() {
    let project = Project::new();
    let search =
        ["sweep", "experiment.toml", "learning_rate=0.3,1e-9,0.25,1e-8", "epochs=4", "seed=2"];
    let race = [search.as_slice(), &["--race", "--top", "2"]].concat();
    let early = project.kiln(&race);
    assert_eq!(early.status, 2);
    assert!(early.stderr.contains("but 4 of its 4 runs are not done"), "{}", early.stderr);

    let found = project.kiln_ok(&search);
    // `kiln compare` proposes the same.
    let proposal = "A race with more seeds tells which of the 4 best is the best:\n  \
        kiln sweep experiment.toml learning_rate=0.3,1e-9,0.25,1e-8 epochs=4 seed=2 --race --top 4\n";
    assert!(found.stdout.contains(proposal), "{}", found.stdout);
    let compared = project.kiln_ok(&["compare", "runs/columns"]);
    assert!(compared.stdout.contains(proposal), "{}", compared.stdout);
    let output = project.kiln_ok(&race);
    assert!(output.stdout.contains("sure: the best of 2 combinations is "), "{}", output.stdout);
    // The runs of the search are not part of the race, and stay.
    let trained = runs_trained(&output);
    assert_eq!(statuses(&project, "runs/columns").len(), 4 + trained);
    let seeds: Vec<u64> = statuses(&project, "runs/columns")
        .keys()
        .map(|run| {
            project.read_json(format!("runs/columns/{run}/run.json"))["seed"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(seeds.iter().filter(|seed| **seed == 2).count(), 4);
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert_eq!((runs_trained(&resumed), lines_of_race(&resumed)), (0, lines_of_race(&output)));
}

/// A race of a sweep tells nothing about runs that are not its own.
#[test]
fn a_race_is_only_proposed_for_the_runs_of_one_sweep() {
    let project = Project::new();
    project.kiln_ok(&["sweep", "experiment.toml", "learning_rate=0.3,1e-9,0.25", "epochs=4"]);
    let proposes = |arguments: &[&str]| {
        let output = project.kiln_ok(&[&["compare", "runs/columns"], arguments].concat());
        output.stdout.contains("--race")
    };
    assert!(proposes(&[]));
    project.train(&["learning_rate=0.2"]);
    assert!(!proposes(&[]));
    project.kiln_ok(&["sweep", "experiment.toml", "learning_rate=0.1,0.2", "epochs=5"]);
    assert!(!proposes(&[]));
    assert!(proposes(&["--sweep", "1"]));
}

/// The lines that start with this one, as far as they are indented.
fn proposal(output: &CommandOutput, start: &str) -> Vec<String> {
    let mut lines = output.stdout.lines().skip_while(|line| !line.starts_with(start));
    let first = lines.next().unwrap_or_else(|| panic!("`{start}` is not in\n{}", output.stdout));
    let indented = lines.take_while(|line| line.starts_with("  "));
    std::iter::once(first).chain(indented).map(str::to_owned).collect()
}

#[test]
fn a_race_that_ran_out_of_seeds_proposes_more() {
    let project = Project::new();
    let declare = |rules: &str| {
        let text = format!(
            "name = \"close\"\nexperiment = \"experiment.toml\"\n\n[grid]\n\"hidden.units\" = [6, 7]\n\n\
             [race]\nindifference = 0.0\n{rules}"
        );
        project.write("close.toml", text);
    };
    // The number of seeds is a default, which seeds on the command line replace.
    declare("");
    let raced = project.kiln_ok(&["sweep", "close.toml", "epochs=1"]);
    assert!(raced.stdout.contains("these 2, after all 10 seeds"), "{}", raced.stdout);
    let lines = proposal(&raced, "With 10 seeds, differences of ");
    let compared = project.kiln_ok(&["compare", "runs/close"]);
    assert_eq!(proposal(&compared, "With 10 seeds, differences of "), lines);
    let command = lines[1].trim_start();
    assert!(command.starts_with("kiln sweep close.toml epochs=1 seed=1.."), "{command}");
    let arguments: Vec<&str> = command.split(' ').skip(1).chain(["--dry-run"]).collect();
    let dry_run = project.kiln_ok(&arguments).stdout;
    let seeds = command.rsplit("..").next().unwrap();
    let race = format!("a race of 2 combinations over {seeds} seeds");
    assert!(dry_run.contains(&race), "`{race}` is not in\n{dry_run}");

    // The file sets the number, so no command can.
    declare("seeds = 3");
    project.kiln_ok(&["sweep", "close.toml", "epochs=1", "name=three"]);
    let compared = project.kiln_ok(&["compare", "runs/three"]);
    let lines = proposal(&compared, "With 3 seeds, differences of ");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" For that, set `seeds = "), "{lines:?}");

    // A race that is not over has to be continued first.
    let missing = statuses(&project, "runs/three").keys().next().unwrap().clone();
    std::fs::remove_dir_all(project.path(format!("runs/three/{missing}"))).unwrap();
    let compared = project.kiln_ok(&["compare", "runs/three"]);
    let lines = proposal(&compared, "The race is not over.");
    assert_eq!(lines[1], "  kiln resume runs/three");
}

#[test]
fn impossible_races_are_refused() {
    let project = Project::new();
    for (arguments, part) in [
        (["seed=1"].as_slice(), "a race needs at least two combinations"),
        (&["learning_rate=0.1,0.2", "validation=0"], "a race compares `val_accuracy`, which needs"),
        (&["validation=20,24"], "on the same validation images"),
        (&["learning_rate=0.1,0.2", "--top=1"], "at least two combinations: --top 2 or more"),
    ] {
        let race = [["sweep", "experiment.toml", "--race"].as_slice(), arguments].concat();
        let output = project.kiln(&race);
        assert_eq!(output.status, 2, "{}", output.stderr);
        assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
    }
    assert!(!project.path("runs").exists());
}

#[test]
fn a_pruned_or_diverged_run_takes_its_combination_out_of_the_race() {
    let project = Project::new();
    let output = project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "learning_rate=0.3,1e30,0.25",
        "seed=1,2",
        "--race",
    ]);
    let line = "out of the race because a run was pruned or diverged: 1 combination\n";
    assert!(output.stdout.contains(line), "{}", output.stdout);
    assert!(lines_of_race(&output).iter().all(|line| !line.contains("1e30")), "{}", output.stdout);
}
