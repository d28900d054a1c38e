//! `kiln doctor`.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::project::{CommandOutput, Project};
use crate::sweep::statuses;

/// Changes one byte in the middle of a file.
pub(crate) fn flip(project: &Project, path: &str) {
    let mut bytes = fs::read(project.path(path)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    project.write(path, bytes);
}

/// Whether a finding, with what to do in the line below it, has all these words.
fn has_line(output: &CommandOutput, words: &[&str]) -> bool {
    let findings = output.stdout.replace(&format!("\n{:15}", ""), "; ");
    findings.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn a_changed_byte_in_any_file_is_found() {
    let project = Project::new();
    let run = project.trained(&["save_initial=true"]);
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
    let checkpoint = "checkpoints/epoch-00003/tensors.safetensors";
    let names = fs::read_dir(project.path(&run)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names.filter(|name| name != "log.jsonl" && name != "checkpoints");
    for name in files.chain([checkpoint.to_owned()]) {
        let path = format!("{run}/{name}");
        let before = fs::read(project.path(&path)).unwrap();
        if name == "run.json" {
            project.write(&path, &before[..before.len() / 2]);
        } else {
            flip(&project, &path);
        }
        let output = project.kiln(&["doctor", "runs"]);
        assert_eq!(output.status, 1, "{name}");
        assert!(
            has_line(&output, &["damaged ", &format!(" {name}: ")]),
            "{name}: {}",
            output.stdout
        );
        assert_eq!(output.last_line(), "1 run: 1 damaged", "{name}");
        // Without its report a run is unfinished, which is another matter.
        if name != checkpoint && name != "report.json" {
            fs::remove_file(project.path(&path)).unwrap();
            let output = project.kiln(&["doctor", "runs"]);
            assert!(has_line(&output, &["damaged ", &format!(" {name}: it is missing")]), "{name}");
        }
        project.write(&path, before);
    }
    assert_eq!(project.kiln(&["doctor", &run]).status, 0);
}

#[test]
fn each_run_of_a_sweep_is_told_by_its_health() {
    let project = Project::new();
    project.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2,0.3,0.4"]);
    let ids: Vec<String> = statuses(&project, "runs/columns").into_keys().collect();
    let run = |index: usize| format!("runs/columns/{}", ids[index]);
    flip(&project, &format!("{}/model.safetensors", run(0)));
    fs::remove_dir_all(project.path(&run(1))).unwrap();
    // As a run is that was killed.
    let record = project.read(format!("{}/run.json", run(2)));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["status"] = "running".into();
    record["ended"] = serde_json::Value::Null;
    record.as_object_mut().unwrap().remove("files");
    project.write(&format!("{}/run.json", run(2)), record.to_string());
    fs::remove_file(project.path(&run(2)).join("report.json")).unwrap();

    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!(output.status, 1);
    assert_eq!(output.last_line(), "3 runs: 1 whole, 1 unfinished, 1 damaged", "{}", output.stdout);
    assert!(has_line(&output, &["model.safetensors", "SHA-256", "kiln resume runs/columns"]));
    assert!(has_line(
        &output,
        &[
            "it was killed, or its disk was full; go on from where it was after epoch 3: kiln resume"
        ]
    ));
    assert!(has_line(&output, &["still to do: 1 of 4", "kiln resume runs/columns"]));
    assert!(output.stdout.starts_with(&run(0)), "the most serious first: {}", output.stdout);

    // What it advises helps: the damaged run out of the way, the sweep is whole again.
    fs::remove_dir_all(project.path(&run(0))).unwrap();
    assert_eq!(project.kiln(&["resume", "runs/columns"]).status, 0);
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!((output.status, output.stdout.as_str()), (0, "4 runs: 4 whole\n"));

    project.write("runs/columns/.kiln/sweep.json", "{}");
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!(output.status, 1);
    assert!(has_line(&output, &["damaged ", ".kiln/sweep.json"]), "{}", output.stdout);
}

#[test]
fn a_sweep_that_came_to_no_run_is_told_with_what_there_is_to_do() {
    let project = Project::new();
    project.kiln(&["sweep", "experiment.toml", "seed=1,2"]);
    for run in statuses(&project, "runs/columns").into_keys() {
        fs::remove_dir_all(project.path(&format!("runs/columns/{run}"))).unwrap();
    }
    for path in ["runs", "runs/columns"] {
        let output = project.kiln(&["doctor", path]);
        assert_eq!(output.status, 0, "{path}: {}", output.stderr);
        let words = ["still to do: 2 of 2", "kiln resume runs/columns"];
        assert!(has_line(&output, &words), "{path}: {}", output.stdout);
    }
}

#[test]
fn a_run_cut_off_before_its_report_is_unfinished_and_not_damaged() {
    let project = Project::new();
    let run = project.trained(&[]);
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let output = project.kiln(&["doctor", &run]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 unfinished".to_owned()));
    assert!(has_line(&output, &["after epoch 3: kiln resume "]), "{}", output.stdout);
    assert_eq!(project.kiln(&["resume", &run]).status, 0);
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
}

/// Without sums, as a killed run has none: its checkpoint knows what it was.
#[test]
fn an_experiment_that_its_checkpoint_does_not_know_is_damaged() {
    let project = Project::new();
    let run = project.trained(&[]);
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let record = project.read(format!("{run}/run.json"));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["status"] = "running".into();
    record.as_object_mut().unwrap().remove("files");
    project.write(&format!("{run}/run.json"), record.to_string());
    let config = project.read(format!("{run}/config.toml"));
    let changed = config.replacen("batch_size = ", "batch_size = 1", 1);
    project.write(&format!("{run}/config.toml"), &changed);
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 1, "{}", output.stdout);
    let words = ["damaged ", " config.toml: ", "training.batch_size was ", "kiln resume refuses"];
    assert!(has_line(&output, &words), "{}", output.stdout);
    assert!(project.kiln(&["resume", &run]).stderr.contains("training.batch_size was "));
    // What no result depends on is not.
    project.write(&format!("{run}/config.toml"), config.replacen("keep = true", "keep = false", 1));
    assert_eq!(project.kiln(&["doctor", &run]).status, 0);
    // It knows the history, too, and brings it back.
    let history = project.read(format!("{run}/history.csv"));
    project.write(&format!("{run}/history.csv"), history.replacen("0.", "1.", 1));
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 1, "{}", output.stdout);
    let words =
        ["damaged ", " history.csv: it is not what was written; kiln resume writes it again"];
    assert!(has_line(&output, &words), "{}", output.stdout);
    assert_eq!(project.kiln(&["resume", &run]).status, 0);
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
}

/// As a later Kiln would leave it: the experiment has nothing to do with it.
#[test]
fn checkpoints_of_a_later_kiln_are_not_checked() {
    let project = Project::new();
    let run = project.trained(&[]);
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let checkpoint = format!("{run}/checkpoints/epoch-00003");
    let state = project.read(format!("{checkpoint}/state.json"));
    let state = state.replacen("\"format_version\": 2", "\"format_version\": 99", 1);
    let manifest = project.read(format!("{checkpoint}/manifest.json"));
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let sum = kiln_report::Sum::of(state.as_bytes());
    manifest["files"]["state.json"] = serde_json::to_value(sum).unwrap();
    project.write(&format!("{checkpoint}/state.json"), state);
    project.write(&format!("{checkpoint}/manifest.json"), manifest.to_string());
    let output = project.kiln(&["doctor", &run]);
    assert_eq!((output.status, output.last_line()), (1, "1 run: 1 not checked".to_owned()));
    assert!(has_line(&output, &["not checked", "checkpoints: ", "version 99", "newer Kiln"]));
    let listing = project.listing();
    let resumed = project.kiln(&["resume", &run]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("version 99"), "{}", resumed.stderr);
    assert_eq!(project.listing(), listing);
}

/// What is done to a file's text.
type Change = fn(&str) -> String;

/// The first version had no sums: what its files say is held against each other.
#[test]
fn files_without_sums_must_agree() {
    let project = Project::new();
    let run = project.trained(&[]);
    let path = |name: &str| format!("{run}/{name}");
    let record = project.read(path("run.json"));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record.as_object_mut().unwrap().remove("files");
    project.write(&path("run.json"), record.to_string());
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 0);
    assert_eq!(
        output.last_line(),
        "1 run: 1 whole; 1 from before files had sums, checked by their form alone"
    );
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let cut = |text: &str| text[..text.len() - 3].to_owned();
    let drop_row: Change = |text| text.lines().take(3).map(|line| format!("{line}\n")).collect();
    let other_numbers = |text: &str| text.replace("\"accuracy\": ", "\"accuracy\": 0.");
    let other_seed = |text: &str| text.replace("seed = 1", "seed = 2");
    let unknown_key = |text: &str| format!("nonsense = 1\n{text}");
    let changes: [(&str, Change); 6] = [
        ("history.csv", cut),
        ("history.csv", drop_row),
        ("report.json", other_numbers),
        ("predictions.csv", half),
        ("config.toml", other_seed),
        ("config.toml", unknown_key),
    ];
    for (name, change) in changes {
        let before = project.read(path(name));
        project.write(&path(name), change(&before));
        let output = project.kiln(&["doctor", &run]);
        assert_eq!(output.status, 1, "{name}");
        assert!(
            has_line(&output, &["damaged ", &format!(" {name}: ")]),
            "{name}: {}",
            output.stdout
        );
        project.write(&path(name), before);
    }
    flip_first(&project, &path("model.safetensors"));
    let output = project.kiln(&["doctor", &run]);
    assert!(has_line(&output, &["damaged ", " model.safetensors: "]), "{}", output.stdout);
}

/// Changes a file's first byte.
fn flip_first(project: &Project, path: &str) {
    let mut bytes = fs::read(project.path(path)).unwrap();
    bytes[0] ^= 1;
    project.write(path, bytes);
}

#[test]
fn a_run_that_is_at_work_is_left_alone() {
    let project = Project::new();
    let run = project.trained(&[]);
    let _claim =
        kiln_report::Claim::of(&kiln_report::RunDirectory::open(project.path(&run)).unwrap())
            .unwrap();
    project.write(&format!("{run}/.partial-1-1"), "half");
    let output = project.kiln(&["doctor", &run, "--clean"]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 at work".to_owned()));
    assert!(has_line(&output, &["note ", "it is being worked on by process"]), "{}", output.stdout);
    assert!(output.stderr.contains("warning: "), "{}", output.stderr);
    assert!(project.path(&run).join(".partial-1-1").exists());
}

#[test]
fn without_a_checkpoint_that_is_whole_it_begins_anew() {
    let project = Project::new();
    let run = project.trained(&[]);
    project.write(&format!("{run}/checkpoints/epoch-00003/manifest.json"), "{");
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let output = project.kiln(&["doctor", &run]);
    assert!(
        has_line(&output, &["checkpoints/epoch-00003/manifest.json", "begins anew"]),
        "{}",
        output.stdout
    );
    assert!(has_line(&output, &["unfinished ", "go on from its beginning"]), "{}", output.stdout);
}

#[test]
fn only_what_is_half_written_and_nobodys_is_cleaned_away() {
    let project = Project::new();
    let run = project.trained(&[]);
    project.write(&format!("{run}/.partial-1-1"), "half");
    project.write(&format!("{run}/notes.txt"), "mine");
    let above = "runs/columns/.partial-1-2";
    for name in [above, "runs/columns/.kiln/.partial-1-3"] {
        project.write(name, "half");
    }
    let listing = project.listing();
    // What is new may be somebody's who writes it at this moment.
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 whole; 1 stale".to_owned()));
    assert!(has_line(&output, &["note ", "notes.txt"]), "{}", output.stdout);
    assert_eq!(project.listing(), listing, "it changes nothing");

    let file = File::options().write(true).open(project.path(above)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(600)).unwrap();
    let output = project.kiln(&["doctor", "runs", "--clean"]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 whole".to_owned()));
    let left: Vec<_> = listing
        .into_iter()
        .filter(|path| !path.ends_with(".partial-1-1") && !path.ends_with(".partial-1-2"))
        .collect();
    assert_eq!(project.listing(), left);
}

#[test]
fn a_name_does_not_reach_the_terminal_as_it_is() {
    let project = Project::new();
    fs::create_dir_all(project.path("runs/e\u{1b}[31mvil/run")).unwrap();
    project.write("runs/e\u{1b}[31mvil/run/run.json", "{\n");
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!(output.status, 1);
    assert!(!output.stdout.contains('\u{1b}'), "{:?}", output.stdout);
}

#[test]
fn programs_are_told_in_json() {
    let project = Project::new();
    let run = project.trained(&[]);
    flip(&project, &format!("{run}/report.md"));
    let output = project.kiln(&["doctor", "runs", "--json"]);
    assert_eq!(output.status, 1);
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(json["format_version"], 1);
    assert_eq!(json["counts"]["damaged"], 1);
    let told = &json["runs"][0];
    assert_eq!((&told["path"], &told["health"]), (&run.into(), &"damaged".into()));
    assert_eq!(told["findings"][0]["file"], "report.md");
}

#[test]
fn a_path_without_runs_is_a_wrong_command() {
    let project = Project::new();
    for path in ["nowhere", "data", "experiment.toml"] {
        assert_eq!(project.kiln(&["doctor", path]).status, 2, "{path}");
    }
}

/// As a run that was killed when it was finished and had not tidied up.
#[test]
fn checkpoints_that_a_finished_run_does_not_keep_are_stale_until_it_is_resumed() {
    let project = Project::new();
    let run = project.trained(&["checkpoint.keep=false"]);
    let checkpoints = project.path(&format!("{run}/checkpoints"));
    assert!(!checkpoints.exists());
    fs::create_dir_all(checkpoints.join("epoch-00003")).unwrap();
    project.write(&format!("{run}/checkpoints/epoch-00003/manifest.json"), "{}");
    let output = project.kiln(&["doctor", &run]);
    assert!(has_line(&output, &["stale ", "checkpoints", "kiln resume "]), "{}", output.stdout);
    let resumed = project.kiln(&["resume", &run]);
    assert_eq!(resumed.status, 0, "{}", resumed.stderr);
    assert!(!checkpoints.exists());
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
}

#[test]
fn of_two_seeds_the_one_without_its_sum_is_wrong() {
    let project = Project::new();
    let run = project.trained(&[]);
    let record = project.read(format!("{run}/run.json"));
    project.write(&format!("{run}/run.json"), record.replacen("\"seed\": 1", "\"seed\": 2", 1));
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 1);
    assert!(has_line(&output, &["damaged ", " run.json: ", "seed 1"]), "{}", output.stdout);
}
