//! Several sweeps of the same name.

use std::fs;

use crate::doctor::assert_finding;
use crate::project::Project;
use crate::run_state::{run_directories, statuses};
use crate::sweep::runs_trained;

const FIRST: [&str; 3] = ["sweep", "experiment.toml", "seed=1,2"];
const SECOND: [&str; 3] = ["sweep", "experiment.toml", "learning_rate=0.2,0.3"];

/// The ids of all runs, sorted.
fn ids(project: &Project) -> Vec<String> {
    let runs = run_directories(&project.path("runs/columns"));
    runs.iter().map(|run| run.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Runs a sweep and returns the ids of its runs, sorted.
fn sweep(project: &Project, arguments: &[&str]) -> Vec<String> {
    let before = ids(project);
    project.kiln_ok(arguments);
    let mut new = ids(project);
    new.retain(|id| !before.contains(id));
    new
}

/// A project in which both sweeps have run, and one run of each was then removed.
fn incomplete() -> Project {
    let project = Project::new();
    for arguments in [FIRST, SECOND] {
        let run = &sweep(&project, &arguments)[0];
        fs::remove_dir_all(project.path(format!("runs/columns/{run}"))).unwrap();
    }
    project
}

/// The ids of the compared runs, sorted.
fn compared(project: &Project, sweep: &[&str]) -> Vec<String> {
    let output =
        project.kiln_ok(&[["compare", "runs/columns", "--json"].as_slice(), sweep].concat());
    let json = output.json();
    let runs = json["combinations"].as_array().unwrap().iter();
    let runs = runs.flat_map(|combination| combination["runs"].as_array().unwrap());
    let mut ids: Vec<String> = runs.map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn resume_completes_every_sweep_of_a_directory() {
    let project = incomplete();
    let examined = project.kiln_ok(&["doctor", "runs"]);
    let to_do = ["runs of the 2 sweeps still to do: 2 of 4", "kiln resume runs/columns"];
    assert_finding(&examined, &to_do);
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert_eq!(runs_trained(&resumed), 2, "{}", resumed.stderr);
    for part in [
        "sweep 1 of 2: kiln sweep experiment.toml seed=1,2\n",
        "sweep 2 of 2: kiln sweep experiment.toml learning_rate=0.2,0.3\n",
    ] {
        assert!(resumed.stderr.contains(part), "{}", resumed.stderr);
    }
    assert_eq!(resumed.last_line(), "runs/columns");
    assert_eq!(statuses(&project, "runs/columns").len(), 4);
    let examined = project.kiln_ok(&["doctor", "runs"]);
    assert_eq!(examined.stdout, "4 runs: 4 intact\n");
}

#[test]
fn resume_can_be_limited_to_one_sweep() {
    let project = incomplete();
    let resumed = project.kiln_ok(&["resume", "runs/columns", "--sweep", "2"]);
    assert_eq!(runs_trained(&resumed), 1, "{}", resumed.stderr);
    let examined = project.kiln_ok(&["doctor", "runs"]);
    assert_finding(&examined, &["runs of the 2 sweeps still to do: 1 of 4"]);
    let wrong = project.kiln(&["resume", "runs/columns", "--sweep", "3"]);
    assert_eq!(wrong.status, 2);
    assert!(
        wrong.stderr.contains("1: kiln sweep experiment.toml seed=1,2; 2: "),
        "{}",
        wrong.stderr
    );
    let run = project.train(&["name=alone"]);
    assert_eq!(project.kiln(&["resume", &run, "--sweep", "1"]).status, 2);
}

#[test]
fn compare_can_be_limited_to_one_sweep() {
    let project = Project::new();
    let first = sweep(&project, &FIRST);
    project.write(
        "rates.toml",
        "name = \"columns\"\nexperiment = \"experiment.toml\"\n[grid]\nlearning_rate = [0.2, 0.3]\n",
    );
    let second = sweep(&project, &["sweep", "rates.toml"]);
    let again = project.kiln_ok(&["sweep", "rates.toml"]);
    for part in [
        "kiln compare runs/columns --sweep 2\n",
        "2 runs in this directory are not part of this sweep",
    ] {
        assert!(again.stdout.contains(part), "{}", again.stdout);
    }
    assert_eq!(compared(&project, &[]).len(), 4);
    for given in ["2", "rates.toml"] {
        assert_eq!(compared(&project, &["--sweep", given]), second, "{given}");
    }
    assert_eq!(compared(&project, &["--sweep", "1"]), first);
    for (path, given) in [("runs/columns", "0"), ("runs/columns", "other.toml"), ("runs", "1")] {
        let wrong = project.kiln(&["compare", path, "--sweep", given]);
        assert_eq!(wrong.status, 2, "{path} {given}: {}", wrong.stderr);
    }
}

#[test]
fn repeated_sweep_is_one_declaration() {
    let project = Project::new();
    for _ in 0..2 {
        project.kiln_ok(&FIRST);
    }
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert!(!resumed.stderr.contains("sweep 1 of"), "{}", resumed.stderr);
}

/// The first version of Kiln has only `sweep.json`, and replaces it with each sweep.
#[test]
fn declaration_of_an_earlier_kiln_is_kept() {
    let project = Project::new();
    project.kiln_ok(&FIRST);
    let hidden = project.path("runs/columns/.kiln");
    for entry in fs::read_dir(&hidden).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("sweep-") {
            fs::remove_file(path).unwrap();
        }
    }
    let mut record = project.read_json("runs/columns/.kiln/sweep.json");
    for key in ["checksum", "started"] {
        record.as_object_mut().unwrap().remove(key).unwrap();
    }
    project.write("runs/columns/.kiln/sweep.json", record.to_string());
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert_eq!(runs_trained(&resumed), 0, "{}", resumed.stderr);
    project.kiln_ok(&SECOND);
    let resumed = project.kiln_ok(&["resume", "runs/columns"]);
    assert!(
        resumed.stderr.contains("sweep 1 of 2: kiln sweep experiment.toml seed=1,2\n"),
        "{}",
        resumed.stderr
    );
}

#[test]
fn damaged_declaration_is_reported_and_written_again() {
    let project = Project::new();
    project.kiln_ok(&FIRST);
    project.kiln_ok(&SECOND);
    let hidden = project.path("runs/columns/.kiln");
    let own = fs::read_dir(hidden).unwrap().map(|entry| entry.unwrap().file_name());
    let own = own.filter_map(|name| name.into_string().ok());
    let own: Vec<String> = own.filter(|name| name.starts_with("sweep-")).collect();
    assert_eq!(own.len(), 2);
    for name in own {
        let path = format!("runs/columns/.kiln/{name}");
        project.write(&path, project.read(&path).replacen("seed", "sead", 1));
    }
    let examined = project.kiln(&["doctor", "runs"]);
    assert_eq!(examined.status, 1);
    assert_finding(&examined, &["damaged ", ".kiln/sweep-", "changed after it was written"]);
    let resumed = project.kiln(&["resume", "runs/columns"]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains(".kiln/sweep-"), "{}", resumed.stderr);
    project.kiln_ok(&FIRST);
    project.kiln_ok(&SECOND);
    project.kiln_ok(&["doctor", "runs"]);
}

/// The second sweep is killed at each of its first disk operations, some of which write its declaration. The declaration
/// of the first sweep must survive, and that of the second one is complete or missing.
#[test]
fn killed_while_a_sweep_is_declared() {
    let project = Project::new();
    let first = sweep(&project, &FIRST);
    let mut numbers = Vec::new();
    for operation in 1..=12 {
        let copy = Project::copy_of(&project.path("."));
        let mut command = copy.command();
        command.args(SECOND).env("KILN_FAULT", format!("die@{operation}"));
        command.output().unwrap();
        assert_eq!(compared(&copy, &["--sweep", "1"]), first, "{operation}");
        let examined = copy.kiln_ok(&["doctor", "runs"]);
        let is_declared = examined.stdout.contains("of the 2 sweeps");
        let resumed = copy.kiln_ok(&["resume", "runs/columns"]);
        numbers.push(resumed.stderr.contains("sweep 2 of 2"));
        assert_eq!(ids(&copy).len(), if *numbers.last().unwrap() { 4 } else { 2 }, "{operation}");
        assert!(!is_declared || *numbers.last().unwrap(), "{operation}: {}", examined.stdout);
    }
    assert!(numbers.contains(&false) && numbers.contains(&true), "{numbers:?}");
}
