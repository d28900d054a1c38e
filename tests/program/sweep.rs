//! `kiln sweep`.

use std::fs;

use crate::project::{CommandOutput, Project};
use crate::run_state::{
    Results, history_without_seconds, results, start_times, statuses, with_status,
};

/// How many runs this sweep trained itself, by its progress lines. Runs that another sweep trained are not counted.
pub(crate) fn runs_trained(output: &CommandOutput) -> usize {
    output.stderr.lines().filter(|line| line.starts_with('[') && !line.contains(" sweep)")).count()
}

#[test]
fn sweep_trains_every_combination_and_prints_its_directory() {
    let project = Project::new();
    let output =
        project.kiln_ok(&["sweep", "experiment.toml", "learning_rate=0.1,0.2", "seed=1,2"]);
    assert_eq!(output.last_line(), "runs/columns");
    let found = statuses(&project, "runs/columns");
    assert_eq!(found.len(), 4);
    for (run, status) in &found {
        assert_eq!(status, "finished", "{run}");
        assert_eq!(run.len(), 12, "{run}");
    }
    assert_eq!(runs_trained(&output), 4, "{}", output.stderr);
    assert!(output.stdout.contains("4 runs: 4 finished"), "{}", output.stdout);
}

#[test]
fn run_of_a_sweep_is_identical_to_kiln_run() {
    let project = Project::new();
    project.kiln(&["sweep", "experiment.toml", "learning_rate=0.2,0.3"]);
    let alone = project.train(&["learning_rate=0.3", "name=alone"]);
    let alone = Results::of(&project.path(alone));
    let sweep = results(&project, "runs/columns");
    assert_eq!(sweep.values().filter(|result| **result == alone).count(), 1);
    // `kiln run` with the `config.toml` of a run repeats the run.
    let (run, expected) = sweep.first_key_value().unwrap();
    let again = project.kiln_ok(&["run", &format!("runs/columns/{run}/config.toml")]);
    Results::of(&project.path(again.last_line())).assert_same(expected, run);
}

#[test]
fn sweep_trains_only_new_combinations() {
    let project = Project::new();
    project.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2"]);
    let first = start_times(&project, "runs/columns");
    let same = project.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2"]);
    assert_eq!((same.status, runs_trained(&same)), (0, 0), "{}", same.stderr);
    assert_eq!(start_times(&project, "runs/columns"), first);

    let more = project.kiln(&["sweep", "experiment.toml", "seed=1,2", "learning_rate=0.2,0.1"]);
    assert_eq!((more.status, runs_trained(&more)), (0, 2), "{}", more.stderr);
    let all = start_times(&project, "runs/columns");
    assert_eq!(all.len(), 4);
    assert!(first.iter().all(|(run, started)| all[run] == *started));
}

#[test]
fn sweep_file_names_its_experiment_relative_to_itself() {
    let project = Project::new();
    fs::create_dir_all(project.path("configs/sweeps")).unwrap();
    fs::rename(project.path("experiment.toml"), project.path("configs/small.toml")).unwrap();
    project.write(
        "configs/sweeps/both.toml",
        "name = \"both\"\nexperiment = \"../small.toml\"\n\
         [[grid.optimizer]]\ntype = \"sgd\"\n[[grid.optimizer]]\ntype = \"adam\"\n\
         [repeat]\nseed = [1, 2]\n",
    );
    let output = project.kiln(&["sweep", "configs/sweeps/both.toml", "--jobs", "3"]);
    assert_eq!((output.status, output.last_line().as_str()), (0, "runs/both"), "{}", output.stderr);
    assert_eq!(statuses(&project, "runs/both").len(), 4);
    let command = output.stdout.lines().find(|line| line.contains("kiln run "));
    let command = command.unwrap().trim_start().trim_start_matches("retrain one run:").trim();
    // The printed command works when it is copied into a shell.
    let script = command.replacen("kiln", env!("CARGO_BIN_EXE_kiln"), 1);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(project.path("."));
    let again = CommandOutput::from(shell.output().unwrap());
    assert_eq!(again.status, 0, "{command}\n{}", again.stderr);
    let again = Results::of(&project.path(again.last_line()));
    assert!(results(&project, "runs/both").values().any(|result| *result == again), "{command}");
}

#[test]
fn invalid_axis_is_refused_before_training() {
    let project = Project::new();
    let before = project.listing();
    for (axes, parts) in [
        (["lerning_rate=0.1"].as_slice(), ["did you mean `learning_rate`?"].as_slice()),
        (&["hidden.repeat=1,-1", "seed=1"], &["in the combination hidden.repeat=-1 seed=1"]),
        (&["validation=24,5000"], &["in the combination validation=5000", "from the 120"]),
        (&["training.top_k=[2],[7]"], &["in the combination training.top_k=[7]"]),
    ] {
        let output = project.kiln(&[["sweep", "experiment.toml"].as_slice(), axes].concat());
        assert_eq!(output.status, 2, "{}", output.stderr);
        for part in parts {
            assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
        }
        assert_eq!(output.stdout, "");
    }
    assert_eq!(project.listing(), before, "a refused sweep must not create files");
}

#[test]
fn dry_run_lists_the_runs_and_creates_no_files() {
    let project = Project::new();
    let before = project.listing();
    let axes = ["hidden.repeat=1,2", "learning_rate=0.1,0.2"];
    let arguments = [["sweep", "experiment.toml", "--dry-run"].as_slice(), &axes].concat();
    let output = project.kiln_ok(&arguments);
    assert_eq!(project.listing(), before);
    for part in
        ["repeat", "learning_rate", "parameters", "FLOPs", "to do", "4 runs, 4 to do: about"]
    {
        assert!(output.stdout.contains(part), "`{part}` is not in\n{}", output.stdout);
    }
    // Parameters: (16 · 8 + 8) + (8 · 3 + 3) = 163. A second hidden layer has 8 · 8 + 8 = 72 more.
    assert_eq!(output.stdout.matches(" 163 ").count(), 2, "{}", output.stdout);
    assert_eq!(output.stdout.matches(" 235 ").count(), 2, "{}", output.stdout);

    project.kiln(&["sweep", "experiment.toml", "hidden.repeat=2", "learning_rate=0.1,0.2"]);
    let output = project.kiln(&arguments);
    assert!(output.stdout.contains("4 runs, 2 to do"), "{}", output.stdout);
    assert_eq!(output.stdout.matches("finished").count(), 2, "{}", output.stdout);
}

#[test]
fn diverged_run_is_a_result_and_not_a_failure() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "learning_rate=0.1,1e30,0.2"];
    let output = project.kiln_ok(&arguments);
    assert!(output.stdout.contains("3 runs: 2 finished, 1 diverged"), "{}", output.stdout);
    assert!(!output.stdout.contains("resume"), "{}", output.stdout);
    let line = output.stderr.lines().find(|line| line.contains("learning_rate=1e30")).unwrap();
    assert!(line.contains("diverged: the loss became "), "{line}");
    assert_eq!(output.stderr.lines().count(), 3, "one line a run:\n{}", output.stderr);
    let first = start_times(&project, "runs/columns");

    // A diverged run would diverge again, so that it is trained again only on request.
    let again = project.kiln_ok(&arguments);
    assert_eq!(start_times(&project, "runs/columns"), first);
    assert!(again.stdout.contains("1 diverged"), "{}", again.stdout);
    assert_eq!(again.stderr, "");
    let strict = project.kiln(&[arguments.as_slice(), &["--fail-on-diverged"]].concat());
    assert_eq!(strict.status, 1, "{}", strict.stdout);
    assert_eq!(start_times(&project, "runs/columns"), first);
    let retried = project.kiln(&[arguments.as_slice(), &["--retry-failed"]].concat());
    assert_eq!((retried.status, runs_trained(&retried)), (0, 1), "{}", retried.stderr);
    let second = start_times(&project, "runs/columns");
    assert_eq!(first.iter().filter(|(run, started)| second[*run] != **started).count(), 1);
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let project = Project::new();
    // The sweep starts with the longest run, which is the one that diverges.
    project.write(
        "sweep.toml",
        "name = \"fast\"\nexperiment = \"experiment.toml\"\n[zip]\nlearning_rate = [1e30, 0.1, 0.2, 0.3]\nepochs = [9, 3, 2, 1]\n",
    );
    let output = project.kiln(&["sweep", "sweep.toml", "--jobs=1", "--fail-fast"]);
    assert_eq!(output.status, 1);
    assert!(output.stdout.contains("4 runs: 1 diverged, 3 not run"), "{}", output.stdout);
}

#[test]
fn sweep_does_not_touch_unreadable_or_damaged_runs() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2"];
    project.kiln(&arguments);
    let run = statuses(&project, "runs/columns").into_keys().next().unwrap();
    let path = format!("runs/columns/{run}/run.json");
    let original = project.read(&path);
    let later = original.replace("\"format_version\": 1", "\"format_version\": 99");
    project.write(&path, &later);
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1, "{}", output.stdout);
    for part in ["FAILED", "its directory is not changed", "format version 99", run.as_str()] {
        assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
    }
    assert_eq!(project.read(&path), later);
    assert!(project.path(format!("runs/columns/{run}/report.json")).exists());
    project.write(&path, original);
    project.kiln_ok(&arguments);
    project.write(format!("runs/columns/{run}/config.toml"), "name = \"other\"\n");
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("not the configuration"), "{}", output.stderr);
    let planned = project.kiln(&[arguments.as_slice(), &["--dry-run"]].concat());
    assert!(planned.stdout.contains("2 runs, nothing to do\n"), "{}", planned.stdout);
    assert!(
        planned.stdout.contains("\n1 damaged and skipped; for details: kiln doctor "),
        "{}",
        planned.stdout
    );
}

#[cfg(unix)]
#[test]
fn sweep_does_not_touch_a_run_whose_record_is_missing_or_inaccessible() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2"];
    project.kiln(&arguments);
    let runs: Vec<String> = statuses(&project, "runs/columns").into_keys().collect();
    let [first, second] = [0, 1].map(|run| project.path(format!("runs/columns/{}", runs[run])));
    // A link to itself cannot be opened by any user. Missing permissions would not stop root.
    fs::remove_file(first.join("run.json")).unwrap();
    std::os::unix::fs::symlink("run.json", first.join("run.json")).unwrap();
    // The checkpoints of the second run remain, so the run is not missing.
    for name in ["run.json", "report.json"] {
        fs::remove_file(second.join(name)).unwrap();
    }
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert_eq!(
        output.stderr.matches("its directory is not changed").count(),
        2,
        "{}",
        output.stderr
    );
    assert!(first.join("report.json").exists() && second.join("checkpoints").exists());
    let examined = project.kiln(&["doctor", second.to_str().unwrap()]);
    assert_eq!(examined.status, 1, "{}", examined.stdout);
    assert!(examined.stdout.contains("run.json: it is missing"), "{}", examined.stdout);
}

#[test]
fn run_that_cannot_be_locked_does_not_affect_the_other_runs() {
    let project = Project::new();
    let arguments = ["sweep", "experiment.toml", "seed=1,2,3"];
    let planned = project.kiln(&[arguments.as_slice(), &["--dry-run"]].concat());
    let id = planned
        .stdout
        .split_whitespace()
        .find(|word| word.len() == 12 && word.chars().all(|digit| digit.is_ascii_hexdigit()));
    // A directory in the place of the log, which is also the lock of the run.
    let log = format!("runs/columns/.kiln/{}.log", id.unwrap());
    fs::create_dir_all(project.path(log)).unwrap();
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stdout.contains("3 runs: 2 finished, 1 failed"), "{}", output.stdout);
    assert!(output.stderr.contains("cannot open"), "{}", output.stderr);
}

#[test]
fn quiet_prints_failures() {
    let project = Project::new();
    let arguments = ["-q", "sweep", "experiment.toml", "learning_rate=0.1,1e30"];
    let output = project.kiln_ok(&arguments);
    assert_eq!(output.stderr, "", "a diverged run is no failure");
    assert!(output.stdout.contains("1 finished, 1 diverged"), "{}", output.stdout);
    let run = &with_status(&project, "runs/columns", "finished")[0];
    fs::write(project.path(format!("runs/columns/{run}/run.json")), "{").unwrap();
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1);
    let lines: Vec<&str> =
        output.stderr.lines().filter(|line| !line.starts_with("    | ")).collect();
    assert!(
        matches!(lines[..], [one, _] if one.contains("learning_rate=0.1  FAILED")),
        "{lines:?}"
    );
}

#[test]
fn pruning_that_can_never_happen_is_refused() {
    let project = Project::new();
    project.write(
        "sweep.toml",
        "name = \"p\"\nexperiment = \"experiment.toml\"\n[prune]\nmin_epochs = 1\n",
    );
    let output = project.kiln(&["sweep", "sweep.toml", "validation=0"]);
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("compares `val_accuracy`, which needs validation images"),
        "{}",
        output.stderr
    );
    let output = project.kiln(&["sweep", "sweep.toml", "epochs=1"]);
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("ends no run before epoch 1, but this run has only 1 epoch"),
        "{}",
        output.stderr
    );
    project.kiln_ok(&["sweep", "sweep.toml", "--dry-run"]);

    let unknown =
        "name = \"p\"\nexperiment = \"experiment.toml\"\n[prune]\nmetric = \"top_2_accuracy\"\n";
    project.write("sweep.toml", unknown);
    let output = project.kiln(&["sweep", "sweep.toml", "epochs=2"]);
    assert_eq!(output.status, 2);
    for part in
        ["compares `top_2_accuracy`, which needs 2 in training.top_k", "or set prune.metric to"]
    {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
}

#[test]
fn a_metric_that_pruning_compares_is_a_column_of_every_run() {
    let project = Project::new();
    let sweep = "name = \"pruned\"\nexperiment = \"experiment.toml\"\n\
                 [grid]\nlearning_rate = [0.3, 1e-9]\n\
                 [prune]\nmetric = \"val_balanced_accuracy\"\nreduction = 2\n";
    project.write("sweep.toml", sweep);
    let output = project.kiln_ok(&["sweep", "sweep.toml", "epochs=3", "--jobs=1"]);
    assert!(output.stderr.contains("  last val_balanced_accuracy 0."), "{}", output.stderr);
    let runs = statuses(&project, "runs/pruned");
    assert!(runs.values().any(|status| status == "pruned"), "{runs:?}");
    for run in runs.keys() {
        let history = project.read(format!("runs/pruned/{run}/history.csv"));
        let head = history.lines().next().unwrap();
        assert!(head.ends_with(",seconds,balanced_accuracy,val_balanced_accuracy"), "{head}");
    }
}

#[test]
fn pruned_runs_keep_their_history_and_are_not_trained_again() {
    let project = Project::new();
    let sweep = "name = \"pruned\"\nexperiment = \"experiment.toml\"\n\
                 [grid]\nlearning_rate = [0.3, 0.1, 1e-6, 1e-7, 1e-8, 1e-9]\n";
    let pruning = format!("{sweep}[prune]\nmetric = \"val_loss\"\nmin_epochs = 2\nreduction = 2\n");
    project.write("sweep.toml", &pruning);
    let arguments = ["sweep", "sweep.toml", "epochs=8", "--jobs=1"];
    let output = project.kiln_ok(&arguments);
    let found = statuses(&project, "runs/pruned");
    let pruned = with_status(&project, "runs/pruned", "pruned");
    assert!(!pruned.is_empty() && pruned.len() < 6, "{found:?}");
    let mut saved = 0;
    for run in &pruned {
        let epochs = project.read(format!("runs/pruned/{run}/history.csv")).lines().count() - 1;
        assert!(epochs == 2 || epochs == 4, "runs are pruned after epoch 2 or 4, not {epochs}");
        assert!(output.stderr.contains(&format!("pruned at epoch {epochs}")), "{}", output.stderr);
        assert!(!project.path(format!("runs/pruned/{run}/report.json")).exists());
        saved += 8 - epochs;
    }
    let saving = format!("pruning saved {saved} of 48 epochs");
    assert!(output.stdout.contains(&saving), "`{saving}` is not in\n{}", output.stdout);
    let again = project.kiln(&arguments);
    assert_eq!((again.status, runs_trained(&again)), (0, 0), "{}", again.stderr);
    assert!(again.stdout.contains(&saving), "{}", again.stdout);

    // A run that was killed after it wrote its checkpoint, and before the sweep told it to stop, is pruned there.
    let run = format!("runs/pruned/{}", pruned[0]);
    let history = project.read(format!("{run}/history.csv"));
    project.edit_record(&run, |record| record["status"] = "running".into());
    let again = project.kiln(&arguments);
    assert_eq!((again.status, runs_trained(&again)), (0, 1), "{}", again.stderr);
    assert_eq!(statuses(&project, "runs/pruned"), found);
    assert_eq!(project.read(format!("{run}/history.csv")), history);
    assert!(
        again.stderr.contains("pruned at epoch") && again.stderr.contains("val_loss"),
        "{}",
        again.stderr
    );

    // A sweep without pruning trains the pruned runs to the end.
    project.write("sweep.toml", sweep);
    let unpruned = project.kiln(&arguments);
    assert_eq!(runs_trained(&unpruned), pruned.len(), "{}", unpruned.stderr);
    assert!(statuses(&project, "runs/pruned").values().all(|status| status == "finished"));
}

/// Six runs of which 3, 2, 1 and 1 continue after 1, 2, 4 and 8 epochs.
pub(crate) const PRUNING_SWEEP: &str = "name = \"pruned\"\nexperiment = \"experiment.toml\"\n\
     [grid]\nlearning_rate = [0.03, 0.1, 0.3, 1e-3, 0.01, 1e-4]\nepochs = [12]\n\
     [prune]\nmetric = \"val_loss\"\nreduction = 2\n";

/// An attempt reached the rung and its result decided that the run is pruned there. The attempt was killed before it wrote its
/// checkpoint, and the next one was stopped before the rung.
#[test]
fn a_run_that_was_stopped_before_its_rung_is_trained_up_to_it() {
    let project = Project::new();
    project.write("sweep.toml", PRUNING_SWEEP);
    let arguments = ["sweep", "sweep.toml", "--jobs=1"];
    project.kiln_ok(&arguments);
    let expected = statuses(&project, "runs/pruned");
    let history = |run: &str| project.read(format!("runs/pruned/{run}/history.csv"));
    let pruned = with_status(&project, "runs/pruned", "pruned");
    let id = pruned.iter().find(|run| history(run).lines().count() == 3).unwrap();
    let run = format!("runs/pruned/{id}");
    let model = || fs::read(project.path(format!("{run}/model.safetensors"))).unwrap();
    let (rows, weights) = (history_without_seconds(&history(id)), model());

    fs::remove_dir_all(project.path(format!("{run}/checkpoints/epoch-00002"))).unwrap();
    let first_row: Vec<String> =
        history(id).lines().take(2).map(|line| format!("{line}\n")).collect();
    project.write(format!("{run}/history.csv"), first_row.concat());
    project.edit_record(&run, |record| {
        record["status"] = "interrupted".into();
        record["epochs"] = 1.into();
    });
    let again = project.kiln_ok(&arguments);
    assert!(again.stderr.contains("pruned at epoch 2"), "{}", again.stderr);
    assert_eq!(statuses(&project, "runs/pruned"), expected);
    assert_eq!(history_without_seconds(&history(id)), rows);
    assert!(model() == weights);
}

#[test]
fn runs_wait_for_a_failed_run_whose_result_decides_whether_they_continue() {
    let project = Project::new();
    project.write("sweep.toml", PRUNING_SWEEP);
    let arguments = ["sweep", "sweep.toml"];
    project.kiln_ok(&["sweep", "sweep.toml", "--runs=expected"]);
    let expected = statuses(&project, "expected/pruned");
    let id = expected.iter().find(|(_, status)| *status == "finished").unwrap().0;
    // A directory in the place of the log, which is also the lock of the run.
    let log = project.path(format!("runs/pruned/.kiln/{id}.log"));
    fs::create_dir_all(&log).unwrap();
    let output = project.kiln(&arguments);
    assert_eq!(output.status, 1, "{}", output.stderr);
    for part in [" 1 failed, ", " waiting for a failed run; in ", "resume with: kiln resume"] {
        assert!((output.stdout.clone() + &output.stderr).contains(part), "{}", output.stdout);
    }
    fs::remove_dir(&log).unwrap();
    project.kiln_ok(&["resume", "runs/pruned"]);
    assert_eq!(statuses(&project, "runs/pruned"), expected);
}

#[test]
fn in_order_of_arrival_no_run_waits() {
    let project = Project::new();
    project.write("sweep.toml", format!("{PRUNING_SWEEP}order = \"arrival\"\n"));
    let output = project.kiln_ok(&["sweep", "sweep.toml", "--jobs=1"]);
    let found = statuses(&project, "runs/pruned");
    assert!(found.values().any(|status| status == "pruned"), "{found:?}");
    for run in found.keys() {
        let record = project.read_json(format!("runs/pruned/{run}/run.json"));
        assert!(record.get("resumed").is_none(), "{}", output.stderr);
    }
    project.write("sweep.toml", format!("{PRUNING_SWEEP}order = \"random\"\n"));
    let output = project.kiln(&["sweep", "sweep.toml"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("expected \"fixed\" or \"arrival\""), "{}", output.stderr);
}

#[test]
fn sweep_prints_the_best_combination_and_the_command_to_repeat_it() {
    let project = Project::new();
    let output = project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "learning_rate=1e-9,0.3",
        "seed=1,2",
        "epochs=12",
    ]);
    assert!(output.stdout.contains("best by validation: learning_rate 0.3"), "{}", output.stdout);
    assert!(
        output.stdout.contains("kiln run experiment.toml learning_rate=0.3 seed=1 epochs=12")
            || output
                .stdout
                .contains("kiln run experiment.toml learning_rate=0.3 epochs=12 seed=1"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("kiln compare runs/columns"), "{}", output.stdout);
}

#[test]
fn work_command_refuses_manual_use() {
    let output = Project::new().kiln(&["work"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("`kiln work` is only for `kiln sweep`"), "{}", output.stderr);
}

#[test]
fn another_optimizer_is_reported_with_its_learning_rate() {
    let project = Project::new();
    let note = "note: learning_rate: 0.001, the default of adam (the file has 0.1 for sgd)";
    let sweep = ["sweep", "experiment.toml", "optimizer.type=sgd,adam", "seed=1,2", "--dry-run"];
    let output = project.kiln_ok(&sweep);
    assert_eq!(output.stderr, format!("{note}\n"));
    assert_eq!(project.kiln_ok(&[sweep.as_slice(), &["--quiet"]].concat()).stderr, "");
    let run = project.kiln_ok(&["run", "experiment.toml", "optimizer.type=adam"]);
    assert!(run.stderr.starts_with(note), "{}", run.stderr);
    let config = project.read(format!("{}/config.toml", run.last_line()));
    assert!(config.contains("learning_rate = 0.001"), "{config}");
    assert!(!config.contains("momentum"), "{config}");
}
