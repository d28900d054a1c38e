//! `kiln doctor`.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::project::{CommandOutput, Project};
use crate::run_state::statuses;

/// Asserts that one finding contains all parts.
pub(crate) fn assert_finding(output: &CommandOutput, parts: &[&str]) {
    // The advice of a finding is in the next line, indented. Join the two lines.
    let findings = output.stdout.replace(&format!("\n{:15}", ""), "; ");
    let is_found = findings.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(is_found, "no finding contains {parts:?}:\n{}", output.stdout);
}

/// Makes a finished run look like one whose process was killed before it wrote its report.
pub(crate) fn mark_as_killed(project: &Project, run: &str) {
    project.edit_record(run, |record| {
        record["status"] = "running".into();
        record["ended"] = serde_json::Value::Null;
        record.as_object_mut().unwrap().remove("files");
    });
    fs::remove_file(project.path(run).join("report.json")).unwrap();
}

#[test]
fn flipped_bit_in_any_file_is_found() {
    let project = Project::new();
    let run = project.train(&["save_initial=true"]);
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 intact\n");
    let checkpoint = "checkpoints/epoch-00003/tensors.safetensors";
    let names = fs::read_dir(project.path(&run)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names.filter(|name| name != "log.jsonl" && name != "checkpoints");
    for name in files.chain([checkpoint.to_owned()]) {
        let path = format!("{run}/{name}");
        let before = fs::read(project.path(&path)).unwrap();
        project.flip_bit(&path);
        let output = project.kiln(&["doctor", "runs"]);
        assert_eq!(output.status, 1, "{name}");
        assert_finding(&output, &["damaged ", &format!(" {name}: ")]);
        assert_eq!(output.last_line(), "1 run: 1 damaged", "{name}");
        // A run without `report.json` is unfinished, not damaged.
        if name != checkpoint && name != "report.json" {
            fs::remove_file(project.path(&path)).unwrap();
            let output = project.kiln(&["doctor", "runs"]);
            assert_finding(&output, &["damaged ", &format!(" {name}: it is missing")]);
        }
        project.write(&path, before);
    }
    project.kiln_ok(&["doctor", &run]);
}

#[test]
fn runs_of_a_sweep_are_reported_by_health() {
    let project = Project::new();
    project.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2,0.3,0.4"]);
    let ids: Vec<String> = statuses(&project, "runs/columns").into_keys().collect();
    let run = |index: usize| format!("runs/columns/{}", ids[index]);
    project.flip_bit(format!("{}/model.safetensors", run(0)));
    fs::remove_dir_all(project.path(run(1))).unwrap();
    mark_as_killed(&project, &run(2));

    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!(output.status, 1);
    assert_eq!(
        output.last_line(),
        "3 runs: 1 intact, 1 unfinished, 1 damaged",
        "{}",
        output.stdout
    );
    assert_finding(&output, &["model.safetensors", "SHA-256", "kiln resume runs/columns"]);
    assert_finding(
        &output,
        &["it was killed or the disk filled up; to resume (after epoch 3): kiln resume"],
    );
    assert_finding(&output, &["still to do: 1 of 4", "kiln resume runs/columns"]);
    assert!(
        output.stdout.starts_with(&run(0)),
        "the most serious finding comes first: {}",
        output.stdout
    );

    // Following the advice helps: once the damaged run is removed, `resume` completes the sweep.
    fs::remove_dir_all(project.path(run(0))).unwrap();
    project.kiln_ok(&["resume", "runs/columns"]);
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!((output.status, output.stdout.as_str()), (0, "4 runs: 4 intact\n"));

    project.write("runs/columns/.kiln/sweep.json", "{}");
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!(output.status, 1);
    assert_finding(&output, &["damaged ", ".kiln/sweep.json"]);
}

#[test]
fn sweep_without_runs_is_reported_as_unfinished() {
    let project = Project::new();
    project.kiln(&["sweep", "experiment.toml", "seed=1,2"]);
    for run in statuses(&project, "runs/columns").into_keys() {
        fs::remove_dir_all(project.path(format!("runs/columns/{run}"))).unwrap();
    }
    for path in ["runs", "runs/columns"] {
        let output = project.kiln_ok(&["doctor", path]);
        assert_finding(&output, &["still to do: 2 of 2", "kiln resume runs/columns"]);
    }
}

#[test]
fn run_without_report_is_unfinished_and_not_damaged() {
    let project = Project::new();
    let run = project.train(&[]);
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let output = project.kiln(&["doctor", &run]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 unfinished".to_owned()));
    assert_finding(&output, &["after epoch 3): kiln resume "]);
    project.kiln_ok(&["resume", &run]);
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 intact\n");
}

/// A killed run has no checksums, but its checkpoint contains the experiment and the history.
#[test]
fn files_of_a_killed_run_are_checked_against_its_checkpoint() {
    let project = Project::new();
    let run = project.train(&[]);
    mark_as_killed(&project, &run);
    let config = project.read(format!("{run}/config.toml"));
    let changed = config.replacen("batch_size = ", "batch_size = 1", 1);
    project.write(format!("{run}/config.toml"), &changed);
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert_finding(
        &output,
        &["damaged ", " config.toml: ", "training.batch_size from ", "kiln resume refuses"],
    );
    assert!(project.kiln(&["resume", &run]).stderr.contains("training.batch_size from "));
    // A setting that no result depends on may change.
    project.write(format!("{run}/config.toml"), config.replacen("keep = true", "keep = false", 1));
    project.kiln_ok(&["doctor", &run]);
    // A damaged history is found, too, and `resume` restores it.
    let history = project.read(format!("{run}/history.csv"));
    project.write(format!("{run}/history.csv"), history.replacen("0.", "1.", 1));
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert_finding(
        &output,
        &[
            "damaged ",
            " history.csv: it differs from the history in the checkpoint; kiln resume restores it",
        ],
    );
    project.kiln_ok(&["resume", &run]);
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 intact\n");
}

#[test]
fn checkpoints_of_a_newer_kiln_are_not_checked() {
    let project = Project::new();
    let run = project.train(&[]);
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let checkpoint = format!("{run}/checkpoints/epoch-00003");
    let state = project.read(format!("{checkpoint}/state.json"));
    let state = state.replacen("\"format_version\": 2", "\"format_version\": 99", 1);
    let mut manifest = project.read_json(format!("{checkpoint}/manifest.json"));
    let sum = kiln_store::Checksum::of(state.as_bytes());
    manifest["files"]["state.json"] = serde_json::to_value(sum).unwrap();
    project.write(format!("{checkpoint}/state.json"), state);
    project.write(format!("{checkpoint}/manifest.json"), manifest.to_string());
    let output = project.kiln(&["doctor", &run]);
    assert_eq!((output.status, output.last_line()), (1, "1 run: 1 not checked".to_owned()));
    assert_finding(
        &output,
        &["not checked", "checkpoints: ", "version 99", "newer version of Kiln"],
    );
    let listing = project.listing();
    let resumed = project.kiln(&["resume", &run]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("version 99"), "{}", resumed.stderr);
    assert_eq!(project.listing(), listing);
}

/// A change to the text of a file.
type Change = fn(&str) -> String;

/// The first version of Kiln recorded no checksums. Its files are compared with each other instead.
#[test]
fn files_without_checksums_are_checked_for_consistency() {
    let project = Project::new();
    let run = project.train(&[]);
    let path = |name: &str| format!("{run}/{name}");
    project.edit_record(&run, |record| {
        record.as_object_mut().unwrap().remove("files");
    });
    let output = project.kiln_ok(&["doctor", &run]);
    assert_eq!(
        output.last_line(),
        "1 run: 1 intact; 1 without checksums (from an earlier version of Kiln), only checked for consistency"
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
        project.write(path(name), change(&before));
        let output = project.kiln(&["doctor", &run]);
        assert_eq!(output.status, 1, "{name}");
        assert_finding(&output, &["damaged ", &format!(" {name}: ")]);
        project.write(path(name), before);
    }
    // Without a checksum, a flipped bit in the middle of the weights is only another weight. In the first byte, it
    // changes the length of the header.
    let model = project.path(path("model.safetensors"));
    let mut bytes = fs::read(&model).unwrap();
    bytes[0] ^= 1;
    fs::write(&model, bytes).unwrap();
    let output = project.kiln(&["doctor", &run]);
    assert_finding(&output, &["damaged ", " model.safetensors: "]);
}

#[test]
fn run_in_use_is_not_examined_or_cleaned() {
    let project = Project::new();
    let run = project.train(&[]);
    let _claim =
        kiln_store::FileLock::of(&kiln_store::RunDirectory::open(project.path(&run)).unwrap())
            .unwrap();
    project.write(format!("{run}/.partial-1-1"), "half");
    let output = project.kiln(&["doctor", &run, "--clean"]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 in use".to_owned()));
    assert_finding(&output, &["note ", "it is in use by process"]);
    assert!(output.stderr.contains("warning: "), "{}", output.stderr);
    assert!(project.path(&run).join(".partial-1-1").exists());
}

#[test]
fn run_without_usable_checkpoint_is_reported_to_restart() {
    let project = Project::new();
    let run = project.train(&[]);
    project.write(format!("{run}/checkpoints/epoch-00003/manifest.json"), "{");
    fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let output = project.kiln(&["doctor", &run]);
    assert_finding(&output, &["checkpoints/epoch-00003/manifest.json", "restart from scratch"]);
    assert_finding(&output, &["unfinished ", "to resume (from scratch: there is no checkpoint)"]);
}

#[test]
fn clean_removes_only_stale_partial_files() {
    let project = Project::new();
    let run = project.train(&[]);
    project.write(format!("{run}/.partial-1-1"), "half");
    project.write(format!("{run}/notes.txt"), "mine");
    let next_to_run = "runs/columns/.partial-1-2";
    for name in [next_to_run, "runs/columns/.kiln/.partial-1-3"] {
        project.write(name, "half");
    }
    let listing = project.listing();
    // Another process may be writing the new files next to the run at this moment.
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 intact; 1 stale".to_owned()));
    assert_finding(&output, &["note ", "notes.txt"]);
    assert_eq!(project.listing(), listing, "without --clean, doctor must not change anything");

    let file = File::options().write(true).open(project.path(next_to_run)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(600)).unwrap();
    let output = project.kiln(&["doctor", "runs", "--clean"]);
    assert_eq!((output.status, output.last_line()), (0, "1 run: 1 intact".to_owned()));
    let left: Vec<_> = listing
        .into_iter()
        .filter(|path| !path.ends_with(".partial-1-1") && !path.ends_with(".partial-1-2"))
        .collect();
    assert_eq!(project.listing(), left);
}

#[test]
fn control_characters_in_paths_are_escaped() {
    let project = Project::new();
    fs::create_dir_all(project.path("runs/e\u{1b}[31mvil/run")).unwrap();
    project.write("runs/e\u{1b}[31mvil/run/run.json", "{\n");
    let output = project.kiln(&["doctor", "runs"]);
    assert_eq!(output.status, 1);
    assert!(!output.stdout.contains('\u{1b}'), "{:?}", output.stdout);
}

#[test]
fn json_lists_runs_and_findings() {
    let project = Project::new();
    let run = project.train(&[]);
    project.flip_bit(format!("{run}/report.md"));
    let output = project.kiln(&["doctor", "runs", "--json"]);
    assert_eq!(output.status, 1);
    let json = output.json();
    assert_eq!(json["format_version"], 1);
    assert_eq!(json["counts"]["damaged"], 1);
    let examined = &json["runs"][0];
    assert_eq!((&examined["path"], &examined["health"]), (&run.into(), &"damaged".into()));
    assert_eq!(examined["findings"][0]["file"], "report.md");
}

#[test]
fn path_without_runs_is_a_usage_error() {
    let project = Project::new();
    for path in ["nowhere", "data", "experiment.toml"] {
        assert_eq!(project.kiln(&["doctor", path]).status, 2, "{path}");
    }
}

/// A run that was killed after it finished and before it removed its checkpoints.
#[test]
fn resume_removes_stale_checkpoints_of_a_finished_run() {
    let project = Project::new();
    let run = project.train(&["checkpoint.keep=false"]);
    let checkpoints = project.path(format!("{run}/checkpoints"));
    assert!(!checkpoints.exists());
    fs::create_dir_all(checkpoints.join("epoch-00003")).unwrap();
    project.write(format!("{run}/checkpoints/epoch-00003/manifest.json"), "{}");
    let output = project.kiln(&["doctor", &run]);
    assert_finding(&output, &["stale ", "checkpoints", "kiln resume "]);
    project.kiln_ok(&["resume", &run]);
    assert!(!checkpoints.exists());
    assert_eq!(project.kiln(&["doctor", &run]).stdout, "1 run: 1 intact\n");
}

#[test]
fn seed_without_checksum_is_reported_if_seeds_differ() {
    let project = Project::new();
    let run = project.train(&[]);
    project.edit_record(&run, |record| record["seed"] = 2.into());
    let output = project.kiln(&["doctor", &run]);
    assert_eq!(output.status, 1);
    assert_finding(&output, &["damaged ", " run.json: ", "seed 1"]);
}
