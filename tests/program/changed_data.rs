//! Sweeps and runs whose dataset has changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::doctor::{assert_finding, mark_as_killed};
use crate::project::Project;
use crate::run_state::{Results, results, start_times, statuses};
use crate::sweep::runs_trained;

const LABELS: &str = "data/columns/train-labels-idx1-ubyte";

/// Corrects the label of the last training image, which is not a validation row. The size of the file stays.
fn correct_a_label(project: &Project) -> Vec<u8> {
    let original = fs::read(project.path(LABELS)).unwrap();
    let mut corrected = original.clone();
    let label = corrected.last_mut().unwrap();
    *label = (*label + 1) % 3;
    project.write(LABELS, corrected);
    original
}

/// Waits until the files written so far are old enough for their times to show a later change.
fn settle() {
    std::thread::sleep(Duration::from_millis(3100));
}

#[test]
fn sweep_trains_again_on_changed_data_and_keeps_the_earlier_runs() {
    let project = Project::new();
    let sweep = ["sweep", "experiment.toml", "learning_rate=0.1,0.2"];
    project.kiln_ok(&sweep);
    let earlier: BTreeMap<String, Results> = results(&project, "runs/columns");
    let started = start_times(&project, "runs/columns");
    let original = correct_a_label(&project);

    let planned = project.kiln_ok(&[sweep.as_slice(), &["--dry-run"]].concat());
    assert!(planned.stdout.contains("2 runs, 2 to do"), "{}", planned.stdout);
    let changed = "the data has changed: 2 runs of this sweep were trained on earlier data of columns; \
                   they stay, and 2 runs are to be trained on the new data";
    assert!(planned.stdout.contains(changed), "{}", planned.stdout);
    let examined = project.kiln_ok(&["doctor", "runs"]);
    assert_finding(&examined, &["note ", "the dataset columns changed after this run, from "]);
    assert_finding(&examined, &["still to do: 2 of 2", "kiln resume runs/columns"]);

    let output = project.kiln_ok(&sweep);
    assert_eq!(runs_trained(&output), 2, "{}", output.stderr);
    assert!(output.stderr.contains(&format!("warning: {changed}")), "{}", output.stderr);
    let note = "2 runs in this directory were trained on earlier data";
    assert!(output.stdout.contains(note), "{}", output.stdout);
    let now = results(&project, "runs/columns");
    assert_eq!(now.len(), 4);
    for (run, result) in &earlier {
        assert!(now[run] == *result, "{run} has changed");
        assert!(now.iter().all(|(other, new)| other == run || new != result), "{run} is twice");
    }
    let again = project.kiln_ok(&sweep);
    assert_eq!(runs_trained(&again), 0, "{}", again.stderr);
    assert!(!again.stderr.contains("warning"), "{}", again.stderr);
    let examined = project.kiln_ok(&["doctor", "runs"]);
    assert_eq!(examined.last_line(), "4 runs: 4 intact", "{}", examined.stdout);
    assert_eq!(examined.stdout.matches("changed after this run").count(), 2, "{}", examined.stdout);

    // With the original labels, the earlier runs are the sweep's again.
    project.write(LABELS, original);
    let restored = project.kiln_ok(&sweep);
    assert_eq!(runs_trained(&restored), 0, "{}", restored.stderr);
    let now = start_times(&project, "runs/columns");
    assert!(started.iter().all(|(run, time)| now[run] == *time));
}

#[test]
fn resume_of_a_sweep_does_not_mix_old_and_new_data() {
    let project = Project::new();
    project.kiln_ok(&["sweep", "experiment.toml", "seed=1,2"]);
    let first = statuses(&project, "runs/columns").into_keys().next().unwrap();
    mark_as_killed(&project, &format!("runs/columns/{first}"));
    correct_a_label(&project);
    let examined = project.kiln_ok(&["doctor", "runs"]);
    assert_finding(&examined, &["unfinished ", "restore its dataset first"]);
    let refused = project.kiln(&["resume", &format!("runs/columns/{first}")]);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("its dataset columns changed from"), "{}", refused.stderr);
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert_eq!(runs_trained(&resumed), 2, "{}", resumed.stderr);
    let statuses = statuses(&project, "runs/columns");
    assert_eq!((statuses.len(), statuses[&first].as_str()), (4, "running"));
}

/// A copy with `cp -p` or `rsync -t` may have the size and the modification time of the file that it replaces.
#[cfg(unix)]
#[test]
fn changed_data_is_noticed_whatever_its_modification_time() {
    let project = Project::new();
    let sweep = ["sweep", "experiment.toml", "seed=1"];
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let set_time = || {
        let labels = File::options().write(true).open(project.path(LABELS)).unwrap();
        labels.set_modified(hour_ago).unwrap();
    };
    set_time();
    settle();
    project.kiln_ok(&sweep);
    assert!(project.read("runs/columns/.kiln/data.json").contains("fingerprint"));
    correct_a_label(&project);
    set_time();
    let output = project.kiln_ok(&sweep);
    assert_eq!(runs_trained(&output), 1, "{}", output.stderr);
}

#[test]
fn unchanged_data_is_not_read_to_plan() {
    let project = Project::new();
    let sweep = ["sweep", "experiment.toml", "seed=1"];
    settle();
    project.kiln_ok(&sweep);
    let cache = "runs/columns/.kiln/data.json";
    let written = project.read(cache);
    // A cache with another fingerprint shows that the plan uses it, and that a run does not believe it.
    let mut other = project.read_json(cache);
    other.as_object_mut().unwrap().remove("checksum");
    other["datasets"][0]["summary"]["fingerprint"] = "other".into();
    project.write(cache, other.to_string());
    let output = project.kiln(&sweep);
    assert_eq!(output.status, 1, "{}", output.stdout);
    let problem = "the dataset columns changed from other to ";
    assert!(output.stderr.contains(problem), "{}", output.stderr);
    assert_eq!(statuses(&project, "runs/columns").len(), 1, "no run on other data is left");
    // If the cache is damaged or missing, the data is read.
    for damaged in
        [written.replacen("\"bytes\": ", "\"bytes\": 1", 1), "{".to_owned(), String::new()]
    {
        project.write(cache, damaged);
        assert_eq!(runs_trained(&project.kiln_ok(&sweep)), 0);
        assert_eq!(project.read(cache), written);
    }
}

/// Moves the runs and the data of a project, whose experiment names the data by a relative path, to `moved/`.
fn move_away(project: &Project) {
    fs::create_dir(project.path("moved")).unwrap();
    for name in ["runs", "data"] {
        fs::rename(project.path(name), project.path("moved").join(name)).unwrap();
    }
}

#[test]
fn run_that_moved_with_its_data_can_be_verified_and_resumed() {
    let project = Project::new();
    let source = "source=./data/columns";
    let run = project.train(&[source]);
    let killed = project.train(&[source, "seed=2"]);
    mark_as_killed(&project, &killed);
    move_away(&project);
    let [run, killed] = [run, killed].map(|run| format!("moved/{run}"));
    for command in [["verify", &run], ["resume", &killed]] {
        let refused = project.kiln(&command);
        assert_eq!(refused.status, 2, "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("--data DIR"), "{}", refused.stderr);
    }
    // The directory that contains the dataset, that directory's parent, and the dataset itself.
    for data in ["moved/data", "moved", "moved/data/columns"] {
        let verified = project.kiln_ok(&["verify", &run, "--data", data]);
        assert!(verified.stdout.starts_with("identical: 3 epochs, "), "{}", verified.stdout);
        assert!(!verified.stderr.contains("warning"), "{}", verified.stderr);
    }
    // Other data of the same name is not accepted.
    fs::create_dir(project.path("other")).unwrap();
    crate::project::copy_directory(&project.path("moved/data"), &project.path("other"));
    let labels = "other/columns/train-labels-idx1-ubyte";
    project.flip_bit(labels);
    let refused = project.kiln(&["resume", &killed, "--data", "other"]);
    assert_eq!(refused.status, 2, "{}", refused.stderr);
    project.kiln_ok(&["resume", &killed, "--data", "moved/data"]);
    project.kiln_ok(&["doctor", &killed]);
}

#[test]
fn sweep_that_moved_with_its_data_can_be_resumed() {
    let project = Project::new();
    project.kiln_ok(&["sweep", "experiment.toml", "source=./data/columns", "seed=1,2"]);
    let runs: Vec<String> = statuses(&project, "runs/columns").into_keys().collect();
    mark_as_killed(&project, &format!("runs/columns/{}", runs[0]));
    fs::remove_dir_all(project.path(format!("runs/columns/{}", runs[1]))).unwrap();
    move_away(&project);
    let resumed = project.kiln_ok(&["resume", "moved/runs/columns", "--data", "moved/data"]);
    assert_eq!(runs_trained(&resumed), 2, "{}", resumed.stderr);
    let ids: Vec<String> = statuses(&project, "moved/runs/columns").into_keys().collect();
    assert_eq!(ids, runs);
}
