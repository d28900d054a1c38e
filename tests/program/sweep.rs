//! `kiln sweep`.

use std::collections::BTreeMap;
use std::fs;

use crate::world::{Ran, World};

/// The ids of the runs in a sweep's directory and how they stand.
pub(crate) fn statuses(world: &World, sweep: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(world.path(sweep)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let runs = names.filter(|name| !name.starts_with('.'));
    runs.map(|run| {
        let record = world.read(format!("{sweep}/{run}/run.json"));
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        (run, record["status"].as_str().unwrap().to_owned())
    })
    .collect()
}

/// When each run was begun: it changes when a run is trained again.
fn begun(world: &World, sweep: &str) -> BTreeMap<String, String> {
    let started = |run: &String| {
        let record = world.read(format!("{sweep}/{run}/run.json"));
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        record["started"].as_str().unwrap().to_owned()
    };
    statuses(world, sweep).into_keys().map(|run| (run.clone(), started(&run))).collect()
}

/// What two sweeps of the same plan must agree in: all that a run computes.
pub(crate) fn results(world: &World, sweep: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
    let result = |run: &String| {
        let history = world.read(format!("{sweep}/{run}/history.csv"));
        let without_seconds: String = history
            .lines()
            .map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n")
            .collect();
        let file = |name: &str| fs::read(world.path(sweep).join(run).join(name)).unwrap();
        vec![without_seconds.into_bytes(), file("report.json"), file("model.safetensors")]
    };
    statuses(world, sweep).into_keys().map(|run| (run.clone(), result(&run))).collect()
}

/// The lines that tell of runs that this very process brought to their end.
pub(crate) fn trained_here(ran: &Ran) -> usize {
    ran.stderr.lines().filter(|line| line.starts_with('[') && !line.contains(" sweep)")).count()
}

#[test]
fn a_sweep_runs_every_combination_and_ends_with_its_directory() {
    let world = World::new();
    let ran = world.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2", "seed=1,2"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(ran.last_line(), "runs/columns");
    let found = statuses(&world, "runs/columns");
    assert_eq!(found.len(), 4);
    for (run, status) in &found {
        assert_eq!(status, "finished", "{run}");
        assert_eq!(run.len(), 12, "{run}");
    }
    assert_eq!(trained_here(&ran), 4, "{}", ran.stderr);
    assert!(ran.stdout.contains("4 runs: 4 finished"), "{}", ran.stdout);
}

#[test]
fn a_run_of_a_sweep_is_the_run_of_its_experiment() {
    let world = World::new();
    world.kiln(&["sweep", "experiment.toml", "learning_rate=0.2,0.3"]);
    let alone = world.trained(&["learning_rate=0.3", "name=alone"]);
    let model = fs::read(world.path(&alone).join("model.safetensors")).unwrap();
    let sweep = results(&world, "runs/columns");
    assert_eq!(sweep.values().filter(|result| result[2] == model).count(), 1);
    // `kiln run` on a run's own configuration repeats it.
    let run = sweep.keys().next().unwrap();
    let again = world.kiln(&["run", &format!("runs/columns/{run}/config.toml")]);
    assert_eq!(again.status, 0, "{}", again.stderr);
    let model = fs::read(world.path(&again.last_line()).join("model.safetensors")).unwrap();
    assert!(model == sweep[run][2]);
}

#[test]
fn only_what_is_new_is_run_again() {
    let world = World::new();
    world.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2"]);
    let first = begun(&world, "runs/columns");
    let same = world.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2"]);
    assert_eq!((same.status, trained_here(&same)), (0, 0), "{}", same.stderr);
    assert_eq!(begun(&world, "runs/columns"), first);

    let more = world.kiln(&["sweep", "experiment.toml", "seed=1,2", "learning_rate=0.2,0.1"]);
    assert_eq!((more.status, trained_here(&more)), (0, 2), "{}", more.stderr);
    let all = begun(&world, "runs/columns");
    assert_eq!(all.len(), 4);
    assert!(first.iter().all(|(run, started)| all[run] == *started));
}

#[test]
fn a_sweep_file_names_its_experiment_beside_it() {
    let world = World::new();
    fs::create_dir_all(world.path("configs/sweeps")).unwrap();
    fs::rename(world.path("experiment.toml"), world.path("configs/small.toml")).unwrap();
    world.write(
        "configs/sweeps/both.toml",
        "name = \"both\"\nexperiment = \"../small.toml\"\n\
         [[grid.optimizer]]\ntype = \"sgd\"\n[[grid.optimizer]]\ntype = \"adam\"\n\
         [repeat]\nseed = [1, 2]\n",
    );
    let ran = world.kiln(&["sweep", "configs/sweeps/both.toml", "--jobs", "3"]);
    assert_eq!((ran.status, ran.last_line().as_str()), (0, "runs/both"), "{}", ran.stderr);
    assert_eq!(statuses(&world, "runs/both").len(), 4);
    let command = ran.stdout.lines().find(|line| line.contains("kiln run "));
    let command = command.unwrap().trim_start().trim_start_matches("repeat:").trim();
    // The command works as it stands.
    let script = command.replacen("kiln", env!("CARGO_BIN_EXE_kiln"), 1);
    let again = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(world.path("."))
        .output()
        .unwrap();
    let again = Ran::from(again);
    assert_eq!(again.status, 0, "{command}\n{}", again.stderr);
    let model = fs::read(world.path(&again.last_line()).join("model.safetensors")).unwrap();
    let runs = results(&world, "runs/both");
    assert!(runs.values().any(|result| result[2] == model), "{command}");
}

#[test]
fn a_bad_axis_is_refused_before_anything_runs() {
    let world = World::new();
    let before = world.listing();
    for (axes, parts) in [
        (["lerning_rate=0.1"].as_slice(), ["did you mean `learning_rate`?"].as_slice()),
        (&["hidden.repeat=1,-1", "seed=1"], &["in the combination hidden.repeat=-1 seed=1"]),
        (&["validation=24,5000"], &["in the combination validation=5000", "have 120"]),
        (&["training.top_k=[2],[7]"], &["in the combination training.top_k=[7]"]),
    ] {
        let ran = world.kiln(&[["sweep", "experiment.toml"].as_slice(), axes].concat());
        assert_eq!(ran.status, 2, "{}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "`{part}` is not in\n{}", ran.stderr);
        }
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(world.listing(), before, "something was left");
}

#[test]
fn a_dry_run_lists_the_runs_and_leaves_nothing() {
    let world = World::new();
    let before = world.listing();
    let axes = ["hidden.repeat=1,2", "learning_rate=0.1,0.2"];
    let arguments = [["sweep", "experiment.toml", "--dry-run"].as_slice(), &axes].concat();
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(world.listing(), before);
    for part in
        ["repeat", "learning_rate", "parameters", "FLOPs", "to do", "4 runs, 4 to do: about"]
    {
        assert!(ran.stdout.contains(part), "`{part}` is not in\n{}", ran.stdout);
    }
    // 16 · 8 + 8 and 8 · 3 + 3; with another hidden layer 8 · 8 + 8 more.
    assert_eq!(ran.stdout.matches(" 163 ").count(), 2, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches(" 235 ").count(), 2, "{}", ran.stdout);

    world.kiln(&["sweep", "experiment.toml", "hidden.repeat=2", "learning_rate=0.1,0.2"]);
    let ran = world.kiln(&arguments);
    assert!(ran.stdout.contains("4 runs, 2 to do"), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("finished").count(), 2, "{}", ran.stdout);
}

#[test]
fn a_run_that_diverges_costs_itself_alone() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "learning_rate=0.1,1e30,0.2"];
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.contains("3 runs: 2 finished, 1 diverged"), "{}", ran.stdout);
    let told = ran.stderr.lines().find(|line| line.contains("learning_rate=1e30")).unwrap();
    assert!(told.contains("DIVERGED: the loss became "), "{told}");
    assert!(
        ran.stderr.contains("\n    | diverged: the loss became "),
        "the end of its log:\n{}",
        ran.stderr
    );
    let first = begun(&world, "runs/columns");

    // It would diverge again.
    let again = world.kiln(&arguments);
    assert_eq!(again.status, 1);
    assert_eq!(begun(&world, "runs/columns"), first);
    assert!(again.stderr.contains("DIVERGED"), "{}", again.stderr);
    let retried = world.kiln(&[arguments.as_slice(), &["--retry-failed"]].concat());
    assert_eq!((retried.status, trained_here(&retried)), (1, 1), "{}", retried.stderr);
    let second = begun(&world, "runs/columns");
    assert_eq!(first.iter().filter(|(run, started)| second[*run] != **started).count(), 1);
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let world = World::new();
    // Longest first: the one that diverges has the most epochs.
    world.write(
        "sweep.toml",
        "name = \"fast\"\nexperiment = \"experiment.toml\"\n[zip]\nlearning_rate = [1e30, 0.1, 0.2, 0.3]\nepochs = [9, 3, 2, 1]\n",
    );
    let ran = world.kiln(&["sweep", "sweep.toml", "--jobs=1", "--fail-fast"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.contains("4 runs: 1 diverged, 3 not run"), "{}", ran.stdout);
}

#[test]
fn a_run_that_cannot_be_read_is_left_alone() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2"];
    world.kiln(&arguments);
    let run = statuses(&world, "runs/columns").into_keys().next().unwrap();
    let path = format!("runs/columns/{run}/run.json");
    let later = world.read(&path).replace("\"format_version\": 1", "\"format_version\": 99");
    world.write(&path, &later);
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    for part in ["FAILED", "left alone", "format version 99", run.as_str()] {
        assert!(ran.stderr.contains(part), "`{part}` is not in\n{}", ran.stderr);
    }
    assert_eq!(world.read(&path), later);
    assert!(world.path(&format!("runs/columns/{run}/report.json")).exists());
    world.write(&path, later.replace("99", "1"));
    assert_eq!(world.kiln(&arguments).status, 0);
    world.write(&format!("runs/columns/{run}/config.toml"), "name = \"other\"\n");
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("not the configuration"), "{}", ran.stderr);
    let planned = world.kiln(&[arguments.as_slice(), &["--dry-run"]].concat());
    assert!(planned.stdout.contains(" 0 to do: "), "{}", planned.stdout);
    assert!(
        planned
            .stdout
            .contains("\n1 damaged, which the sweep leaves alone; for details: kiln doctor "),
        "{}",
        planned.stdout
    );
}

/// What cannot be looked at is not missing, and what lost its record was something.
#[cfg(unix)]
#[test]
fn a_run_whose_record_is_gone_or_out_of_reach_is_left_alone() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2"];
    world.kiln(&arguments);
    let runs: Vec<String> = statuses(&world, "runs/columns").into_keys().collect();
    let [first, second] = [0, 1].map(|run| world.path(&format!("runs/columns/{}", runs[run])));
    // A link to itself is as little to be looked at as what permissions forbid, to everybody.
    fs::remove_file(first.join("run.json")).unwrap();
    std::os::unix::fs::symlink("run.json", first.join("run.json")).unwrap();
    // As if its checkpoints were all that is left of its beginning.
    for name in ["run.json", "report.json"] {
        fs::remove_file(second.join(name)).unwrap();
    }
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    assert_eq!(ran.stderr.matches("left alone").count(), 2, "{}", ran.stderr);
    assert!(first.join("report.json").exists() && second.join("checkpoints").exists());
    let examined = world.kiln(&["doctor", second.to_str().unwrap()]);
    assert_eq!(examined.status, 1, "{}", examined.stdout);
    assert!(examined.stdout.contains("run.json: it is missing"), "{}", examined.stdout);
}

#[test]
fn a_run_that_cannot_be_claimed_costs_itself_alone() {
    let world = World::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3"];
    let planned = world.kiln(&[arguments.as_slice(), &["--dry-run"]].concat());
    let id = planned
        .stdout
        .split_whitespace()
        .find(|word| word.len() == 12 && word.chars().all(|digit| digit.is_ascii_hexdigit()));
    fs::create_dir_all(world.path("runs/columns/.kiln").join(format!("{}.log", id.unwrap())))
        .unwrap();
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("3 runs: 2 finished, 1 failed"), "{}", ran.stdout);
    assert!(ran.stderr.contains("cannot open"), "{}", ran.stderr);
}

#[test]
fn quiet_still_tells_what_failed() {
    let world = World::new();
    let ran = world.kiln(&["-q", "sweep", "experiment.toml", "learning_rate=0.1,1e30"]);
    assert_eq!(ran.status, 1);
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with("    | ")).collect();
    assert!(
        matches!(lines[..], [one] if one.contains("learning_rate=1e30  DIVERGED")),
        "{lines:?}"
    );
}

#[test]
fn pruning_by_what_never_comes_is_refused() {
    let world = World::new();
    world.write(
        "sweep.toml",
        "name = \"p\"\nexperiment = \"experiment.toml\"\n[prune]\nmin_epochs = 1\n",
    );
    let ran = world.kiln(&["sweep", "sweep.toml", "validation=0"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.stderr.contains("compares val_accuracy, which needs validation rows"),
        "{}",
        ran.stderr
    );
    let ran = world.kiln(&["sweep", "sweep.toml", "epochs=1"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.stderr.contains("ends no run before epoch 1, but this run has only 1 epoch"),
        "{}",
        ran.stderr
    );
    assert_eq!(world.kiln(&["sweep", "sweep.toml", "--dry-run"]).status, 0);
}

#[test]
fn pruned_runs_keep_their_history_and_are_done() {
    let world = World::new();
    let sweep = "name = \"pruned\"\nexperiment = \"experiment.toml\"\n\
                 [grid]\nlearning_rate = [0.3, 0.1, 1e-6, 1e-7, 1e-8, 1e-9]\n";
    let pruning = format!("{sweep}[prune]\nmetric = \"val_loss\"\nmin_epochs = 2\nreduction = 2\n");
    world.write("sweep.toml", &pruning);
    let arguments = ["sweep", "sweep.toml", "epochs=8", "--jobs=1"];
    let ran = world.kiln(&arguments);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let found = statuses(&world, "runs/pruned");
    let pruned: Vec<&String> =
        found.iter().filter(|(_, status)| *status == "pruned").map(|(run, _)| run).collect();
    assert!(!pruned.is_empty() && pruned.len() < 6, "{found:?}");
    let mut saved = 0;
    for run in &pruned {
        let epochs = world.read(format!("runs/pruned/{run}/history.csv")).lines().count() - 1;
        assert!(epochs == 2 || epochs == 4, "a rung, not epoch {epochs}");
        assert!(ran.stderr.contains(&format!("pruned at epoch {epochs}")), "{}", ran.stderr);
        assert!(!world.path(&format!("runs/pruned/{run}/report.json")).exists());
        saved += 8 - epochs;
    }
    let saving = format!("pruning saved {saved} of 48 epochs");
    assert!(ran.stdout.contains(&saving), "`{saving}` is not in\n{}", ran.stdout);
    let again = world.kiln(&arguments);
    assert_eq!((again.status, trained_here(&again)), (0, 0), "{}", again.stderr);
    assert!(again.stdout.contains(&saving), "{}", again.stdout);

    // One that was killed when its checkpoint was written, before it heard that it is to end there, is ended there.
    let run = format!("runs/pruned/{}", pruned[0]);
    let (record, history) =
        (world.read(format!("{run}/run.json")), world.read(format!("{run}/history.csv")));
    world.write(&format!("{run}/run.json"), record.replace("\"pruned\"", "\"running\""));
    let again = world.kiln(&arguments);
    assert_eq!((again.status, trained_here(&again)), (0, 1), "{}", again.stderr);
    assert_eq!(statuses(&world, "runs/pruned"), found);
    assert_eq!(world.read(format!("{run}/history.csv")), history);
    assert!(
        again.stderr.contains("pruned at epoch") && again.stderr.contains("val_accuracy"),
        "{}",
        again.stderr
    );

    // A sweep that does not prune wants them whole.
    world.write("sweep.toml", sweep);
    let whole = world.kiln(&arguments);
    assert_eq!(trained_here(&whole), pruned.len(), "{}", whole.stderr);
    assert!(statuses(&world, "runs/pruned").values().all(|status| status == "finished"));
}

#[test]
fn the_end_says_which_is_best_and_how_to_run_it_again() {
    let world = World::new();
    let ran = world.kiln(&[
        "sweep",
        "experiment.toml",
        "learning_rate=1e-9,0.3",
        "seed=1,2",
        "epochs=12",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("best by validation: learning_rate 0.3"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("kiln run experiment.toml learning_rate=0.3 seed=1 epochs=12")
            || ran.stdout.contains("kiln run experiment.toml learning_rate=0.3 epochs=12 seed=1"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("kiln compare runs/columns"), "{}", ran.stdout);
}

#[test]
fn the_process_of_a_run_refuses_to_be_used_by_hand() {
    let ran = World::new().kiln(&["work"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("the process of one run of a sweep"), "{}", ran.stderr);
}
