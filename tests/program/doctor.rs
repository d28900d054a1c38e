//! `kiln doctor`.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::sweep::statuses;
use crate::world::{Ran, World};

/// Changes one byte in the middle of a file.
pub(crate) fn flip(world: &World, path: &str) {
    let mut bytes = fs::read(world.path(path)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.write(path, bytes);
}

/// Whether a finding, with what to do in the line below it, has all these words.
fn has_line(ran: &Ran, words: &[&str]) -> bool {
    let findings = ran.stdout.replace(&format!("\n{:15}", ""), "; ");
    findings.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn a_changed_byte_in_any_file_is_found() {
    let world = World::new();
    let run = world.trained(&["save_initial=true"]);
    assert_eq!(world.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
    let checkpoint = "checkpoints/epoch-00003/tensors.safetensors";
    let names = fs::read_dir(world.path(&run)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names.filter(|name| name != "log.jsonl" && name != "checkpoints");
    for name in files.chain([checkpoint.to_owned()]) {
        let path = format!("{run}/{name}");
        let before = fs::read(world.path(&path)).unwrap();
        if name == "run.json" {
            world.write(&path, &before[..before.len() / 2]);
        } else {
            flip(&world, &path);
        }
        let ran = world.kiln(&["doctor", "runs"]);
        assert_eq!(ran.status, 1, "{name}");
        assert!(has_line(&ran, &["damaged ", &format!(" {name}: ")]), "{name}: {}", ran.stdout);
        assert_eq!(ran.last_line(), "1 run: 1 damaged", "{name}");
        // Without its report a run is unfinished, which is another matter.
        if name != checkpoint && name != "report.json" {
            fs::remove_file(world.path(&path)).unwrap();
            let ran = world.kiln(&["doctor", "runs"]);
            assert!(has_line(&ran, &["damaged ", &format!(" {name}: it is missing")]), "{name}");
        }
        world.write(&path, before);
    }
    assert_eq!(world.kiln(&["doctor", &run]).status, 0);
}

#[test]
fn each_run_of_a_sweep_is_told_by_its_health() {
    let world = World::new();
    world.kiln(&["sweep", "experiment.toml", "learning_rate=0.1,0.2,0.3,0.4"]);
    let ids: Vec<String> = statuses(&world, "runs/columns").into_keys().collect();
    let run = |index: usize| format!("runs/columns/{}", ids[index]);
    flip(&world, &format!("{}/model.safetensors", run(0)));
    fs::remove_dir_all(world.path(&run(1))).unwrap();
    // As a run is that was killed.
    let record = world.read(format!("{}/run.json", run(2)));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["status"] = "running".into();
    record["ended"] = serde_json::Value::Null;
    record.as_object_mut().unwrap().remove("files");
    world.write(&format!("{}/run.json", run(2)), record.to_string());
    fs::remove_file(world.path(&run(2)).join("report.json")).unwrap();

    let ran = world.kiln(&["doctor", "runs"]);
    assert_eq!(ran.status, 1);
    assert_eq!(ran.last_line(), "3 runs: 1 whole, 1 unfinished, 1 damaged", "{}", ran.stdout);
    assert!(has_line(&ran, &["model.safetensors", "SHA-256", "kiln resume runs/columns"]));
    assert!(has_line(
        &ran,
        &[
            "it was killed, or its disk was full; go on from where it was after epoch 3: kiln resume"
        ]
    ));
    assert!(has_line(&ran, &["still to do: 1 of 4", "kiln resume runs/columns"]));
    assert!(ran.stdout.starts_with(&run(0)), "the most serious first: {}", ran.stdout);

    // What it advises helps: the damaged run out of the way, the sweep is whole again.
    fs::remove_dir_all(world.path(&run(0))).unwrap();
    assert_eq!(world.kiln(&["resume", "runs/columns"]).status, 0);
    let ran = world.kiln(&["doctor", "runs"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "4 runs: 4 whole\n"));

    world.write("runs/columns/.kiln/sweep.json", "{}");
    let ran = world.kiln(&["doctor", "runs"]);
    assert_eq!(ran.status, 1);
    assert!(has_line(&ran, &["damaged ", ".kiln/sweep.json"]), "{}", ran.stdout);
}

#[test]
fn a_sweep_that_came_to_no_run_is_told_with_what_there_is_to_do() {
    let world = World::new();
    world.kiln(&["sweep", "experiment.toml", "seed=1,2"]);
    for run in statuses(&world, "runs/columns").into_keys() {
        fs::remove_dir_all(world.path(&format!("runs/columns/{run}"))).unwrap();
    }
    for path in ["runs", "runs/columns"] {
        let ran = world.kiln(&["doctor", path]);
        assert_eq!(ran.status, 0, "{path}: {}", ran.stderr);
        let words = ["still to do: 2 of 2", "kiln resume runs/columns"];
        assert!(has_line(&ran, &words), "{path}: {}", ran.stdout);
    }
}

#[test]
fn a_run_cut_off_before_its_report_is_unfinished_and_not_damaged() {
    let world = World::new();
    let run = world.trained(&[]);
    fs::remove_file(world.path(&run).join("report.json")).unwrap();
    let ran = world.kiln(&["doctor", &run]);
    assert_eq!((ran.status, ran.last_line()), (0, "1 run: 1 unfinished".to_owned()));
    assert!(has_line(&ran, &["after epoch 3: kiln resume "]), "{}", ran.stdout);
    assert_eq!(world.kiln(&["resume", &run]).status, 0);
    assert_eq!(world.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
}

/// Without sums, as a killed run has none: its checkpoint knows what it was.
#[test]
fn an_experiment_that_its_checkpoint_does_not_know_is_damaged() {
    let world = World::new();
    let run = world.trained(&[]);
    fs::remove_file(world.path(&run).join("report.json")).unwrap();
    let record = world.read(format!("{run}/run.json"));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["status"] = "running".into();
    record.as_object_mut().unwrap().remove("files");
    world.write(&format!("{run}/run.json"), record.to_string());
    let config = world.read(format!("{run}/config.toml"));
    let changed = config.replacen("batch_size = ", "batch_size = 1", 1);
    world.write(&format!("{run}/config.toml"), &changed);
    let ran = world.kiln(&["doctor", &run]);
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    let words = ["damaged ", " config.toml: ", "training.batch_size from ", "kiln resume refuses"];
    assert!(has_line(&ran, &words), "{}", ran.stdout);
    assert!(world.kiln(&["resume", &run]).stderr.contains("training.batch_size from "));
    // What no result depends on is not.
    world.write(&format!("{run}/config.toml"), config.replacen("keep = true", "keep = false", 1));
    assert_eq!(world.kiln(&["doctor", &run]).status, 0);
    // It knows the history, too, and brings it back.
    let history = world.read(format!("{run}/history.csv"));
    world.write(&format!("{run}/history.csv"), history.replacen("0.", "1.", 1));
    let ran = world.kiln(&["doctor", &run]);
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    let words = [
        "damaged ",
        " history.csv: it differs from the history in the checkpoint; kiln resume restores it",
    ];
    assert!(has_line(&ran, &words), "{}", ran.stdout);
    assert_eq!(world.kiln(&["resume", &run]).status, 0);
    assert_eq!(world.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
}

/// As a later Kiln would leave it: the experiment has nothing to do with it.
#[test]
fn checkpoints_of_a_later_kiln_are_not_checked() {
    let world = World::new();
    let run = world.trained(&[]);
    fs::remove_file(world.path(&run).join("report.json")).unwrap();
    let checkpoint = format!("{run}/checkpoints/epoch-00003");
    let state = world.read(format!("{checkpoint}/state.json"));
    let state = state.replacen("\"format_version\": 2", "\"format_version\": 99", 1);
    let manifest = world.read(format!("{checkpoint}/manifest.json"));
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let sum = kiln_store::Sum::of(state.as_bytes());
    manifest["files"]["state.json"] = serde_json::to_value(sum).unwrap();
    world.write(&format!("{checkpoint}/state.json"), state);
    world.write(&format!("{checkpoint}/manifest.json"), manifest.to_string());
    let ran = world.kiln(&["doctor", &run]);
    assert_eq!((ran.status, ran.last_line()), (1, "1 run: 1 not checked".to_owned()));
    assert!(has_line(&ran, &["not checked", "checkpoints: ", "version 99", "newer Kiln"]));
    let listing = world.listing();
    let resumed = world.kiln(&["resume", &run]);
    assert_eq!(resumed.status, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("version 99"), "{}", resumed.stderr);
    assert_eq!(world.listing(), listing);
}

/// What is done to a file's text.
type Change = fn(&str) -> String;

/// The first version had no sums: what its files say is held against each other.
#[test]
fn files_without_sums_must_agree() {
    let world = World::new();
    let run = world.trained(&[]);
    let path = |name: &str| format!("{run}/{name}");
    let record = world.read(path("run.json"));
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record.as_object_mut().unwrap().remove("files");
    world.write(&path("run.json"), record.to_string());
    let ran = world.kiln(&["doctor", &run]);
    assert_eq!(ran.status, 0);
    assert_eq!(
        ran.last_line(),
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
        let before = world.read(path(name));
        world.write(&path(name), change(&before));
        let ran = world.kiln(&["doctor", &run]);
        assert_eq!(ran.status, 1, "{name}");
        assert!(has_line(&ran, &["damaged ", &format!(" {name}: ")]), "{name}: {}", ran.stdout);
        world.write(&path(name), before);
    }
    flip_first(&world, &path("model.safetensors"));
    let ran = world.kiln(&["doctor", &run]);
    assert!(has_line(&ran, &["damaged ", " model.safetensors: "]), "{}", ran.stdout);
}

/// Changes a file's first byte.
fn flip_first(world: &World, path: &str) {
    let mut bytes = fs::read(world.path(path)).unwrap();
    bytes[0] ^= 1;
    world.write(path, bytes);
}

#[test]
fn a_run_that_is_at_work_is_left_alone() {
    let world = World::new();
    let run = world.trained(&[]);
    let _claim =
        kiln_store::Claim::of(&kiln_store::RunDirectory::open(world.path(&run)).unwrap()).unwrap();
    world.write(&format!("{run}/.partial-1-1"), "half");
    let ran = world.kiln(&["doctor", &run, "--clean"]);
    assert_eq!((ran.status, ran.last_line()), (0, "1 run: 1 at work".to_owned()));
    assert!(has_line(&ran, &["note ", "it is being worked on by process"]), "{}", ran.stdout);
    assert!(ran.stderr.contains("warning: "), "{}", ran.stderr);
    assert!(world.path(&run).join(".partial-1-1").exists());
}

#[test]
fn without_a_checkpoint_that_is_whole_it_begins_anew() {
    let world = World::new();
    let run = world.trained(&[]);
    world.write(&format!("{run}/checkpoints/epoch-00003/manifest.json"), "{");
    fs::remove_file(world.path(&run).join("report.json")).unwrap();
    let ran = world.kiln(&["doctor", &run]);
    assert!(
        has_line(&ran, &["checkpoints/epoch-00003/manifest.json", "begins anew"]),
        "{}",
        ran.stdout
    );
    assert!(has_line(&ran, &["unfinished ", "go on from its beginning"]), "{}", ran.stdout);
}

#[test]
fn only_what_is_half_written_and_nobodys_is_cleaned_away() {
    let world = World::new();
    let run = world.trained(&[]);
    world.write(&format!("{run}/.partial-1-1"), "half");
    world.write(&format!("{run}/notes.txt"), "mine");
    let above = "runs/columns/.partial-1-2";
    for name in [above, "runs/columns/.kiln/.partial-1-3"] {
        world.write(name, "half");
    }
    let listing = world.listing();
    // What is new may be somebody's who writes it at this moment.
    let ran = world.kiln(&["doctor", "runs"]);
    assert_eq!((ran.status, ran.last_line()), (0, "1 run: 1 whole; 1 stale".to_owned()));
    assert!(has_line(&ran, &["note ", "notes.txt"]), "{}", ran.stdout);
    assert_eq!(world.listing(), listing, "it changes nothing");

    let file = File::options().write(true).open(world.path(above)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(600)).unwrap();
    let ran = world.kiln(&["doctor", "runs", "--clean"]);
    assert_eq!((ran.status, ran.last_line()), (0, "1 run: 1 whole".to_owned()));
    let left: Vec<_> = listing
        .into_iter()
        .filter(|path| !path.ends_with(".partial-1-1") && !path.ends_with(".partial-1-2"))
        .collect();
    assert_eq!(world.listing(), left);
}

#[test]
fn a_name_does_not_reach_the_terminal_as_it_is() {
    let world = World::new();
    fs::create_dir_all(world.path("runs/e\u{1b}[31mvil/run")).unwrap();
    world.write("runs/e\u{1b}[31mvil/run/run.json", "{\n");
    let ran = world.kiln(&["doctor", "runs"]);
    assert_eq!(ran.status, 1);
    assert!(!ran.stdout.contains('\u{1b}'), "{:?}", ran.stdout);
}

#[test]
fn programs_are_told_in_json() {
    let world = World::new();
    let run = world.trained(&[]);
    flip(&world, &format!("{run}/report.md"));
    let ran = world.kiln(&["doctor", "runs", "--json"]);
    assert_eq!(ran.status, 1);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["format_version"], 1);
    assert_eq!(json["counts"]["damaged"], 1);
    let told = &json["runs"][0];
    assert_eq!((&told["path"], &told["health"]), (&run.into(), &"damaged".into()));
    assert_eq!(told["findings"][0]["file"], "report.md");
}

#[test]
fn a_path_without_runs_is_a_wrong_command() {
    let world = World::new();
    for path in ["nowhere", "data", "experiment.toml"] {
        assert_eq!(world.kiln(&["doctor", path]).status, 2, "{path}");
    }
}

/// As a run that was killed when it was finished and had not tidied up.
#[test]
fn checkpoints_that_a_finished_run_does_not_keep_are_stale_until_it_is_resumed() {
    let world = World::new();
    let run = world.trained(&["checkpoint.keep=false"]);
    let checkpoints = world.path(&format!("{run}/checkpoints"));
    assert!(!checkpoints.exists());
    fs::create_dir_all(checkpoints.join("epoch-00003")).unwrap();
    world.write(&format!("{run}/checkpoints/epoch-00003/manifest.json"), "{}");
    let ran = world.kiln(&["doctor", &run]);
    assert!(has_line(&ran, &["stale ", "checkpoints", "kiln resume "]), "{}", ran.stdout);
    let resumed = world.kiln(&["resume", &run]);
    assert_eq!(resumed.status, 0, "{}", resumed.stderr);
    assert!(!checkpoints.exists());
    assert_eq!(world.kiln(&["doctor", &run]).stdout, "1 run: 1 whole\n");
}

#[test]
fn of_two_seeds_the_one_without_its_sum_is_wrong() {
    let world = World::new();
    let run = world.trained(&[]);
    let record = world.read(format!("{run}/run.json"));
    world.write(&format!("{run}/run.json"), record.replacen("\"seed\": 1", "\"seed\": 2", 1));
    let ran = world.kiln(&["doctor", &run]);
    assert_eq!(ran.status, 1);
    assert!(has_line(&ran, &["damaged ", " run.json: ", "seed 1"]), "{}", ran.stdout);
}
