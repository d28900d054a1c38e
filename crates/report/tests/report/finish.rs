use kiln_report::{ReportError, finish, stop};
use kiln_store::{History, RunDirectory, RunRecord, Status, StoreError, Tested};

use crate::samples::{Test, directory, finished, history, images, listing, record, running, test};

const COMPUTED: [&str; 6] =
    ["predictions.csv", "history.svg", "confusion.svg", "mistakes.png", "report.md", "run.json"];

fn new_run(runs: &tempfile::TempDir) -> RunDirectory {
    RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run")
}

#[test]
fn a_finished_run_has_a_report() {
    let runs = directory();
    let run = finished(runs.path());
    assert!(run.is_finished());
    assert_eq!(run.read_record().expect("read").status, Status::Finished);
    let report = run.read_report().expect("read").expect("a report");
    assert_eq!(report.accuracy, 0.75);
    for name in COMPUTED {
        assert!(std::fs::metadata(run.path().join(name)).expect("a file").len() > 0, "{name}");
    }
}

#[test]
fn the_list_of_files_matches_those_of_a_finished_run() {
    let runs = directory();
    let run = finished(runs.path());
    let mut listed = Vec::from(RunDirectory::FILES.map(|file| file.name.to_owned()));
    // The sample has no convolution, and only the user writes notes.
    listed.retain(|name| !["filters.png", "notes.json"].contains(&name.as_str()));
    listed.sort();
    assert_eq!(listing(run.path()), listed);
    assert!(RunDirectory::FILES.iter().all(|file| !file.holds.is_empty()));
    let optional = RunDirectory::FILES.iter().filter(|file| file.optional);
    assert_eq!(
        optional.map(|file| file.name).collect::<Vec<_>>(),
        ["splits.csv", "filters.png", "initial.safetensors", "notes.json"]
    );
}

#[test]
fn the_record_of_a_finished_run_has_the_checksum_of_every_file_except_the_log() {
    let runs = directory();
    let run = finished(runs.path());
    let record = run.read_record().expect("read");
    let mut names = listing(run.path());
    names.retain(|name| name != "run.json" && name != "log.jsonl");
    assert_eq!(Vec::from_iter(record.files.keys()), Vec::from_iter(&names));
    for (name, sum) in &record.files {
        let content = std::fs::read(run.path().join(name)).expect("a file");
        assert_eq!(*sum, kiln_store::Checksum::of(&content), "{name}");
    }
}

/// A test of 300 images of 300 classes, of which the first 50 are classified wrongly.
fn many_classes() -> Test {
    let names: Vec<String> = (0..300).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows: Vec<Vec<f32>> = (0..300)
        .map(|class| {
            let mut row = vec![0.001; 300];
            row[if class < 50 { class + 100 } else { class }] = 0.701;
            row
        })
        .collect();
    let images: Vec<(u16, &[f32])> = (0..).zip(rows.iter().map(Vec::as_slice)).collect();
    Test::new(&names, &images)
}

#[test]
fn a_test_of_many_classes_is_finished_and_stays_readable() {
    let runs = directory();
    let run = new_run(&runs);
    let test = many_classes();
    let report =
        finish(&run, &record(), &history(), &test.tested(), images(&test), None).expect("an end");
    assert_eq!(run.read_report().expect("read"), Some(report));
    let read = |name: &str| std::fs::read_to_string(run.path().join(name)).expect(name);

    let predictions = read("predictions.csv");
    assert!(predictions.starts_with("index,label,predicted,top1_class,"), "{predictions}");
    assert_eq!(run.read_predictions().expect("read").top.len(), 300);
    let outcomes = kiln_store::Outcomes::read(&run).expect("read");
    assert_eq!(outcomes.class_names[299], "class 299");
    assert_eq!(outcomes.right.iter().filter(|right| **right).count(), 250);

    let text = read("report.md");
    assert!(text.lines().count() < 150, "{text}");
    assert!(text.contains("The 20 of 300 classes with the lowest recall"), "{text}");
    assert!(text.contains("1 of 1 class 0 predicted as class 100"), "{text}");

    let elements = crate::xml::parse(&read("confusion.svg"));
    let texts: Vec<&str> = elements.iter().map(|element| element.text.as_str()).collect();
    let heading = "300 classes: the 30 most often confused of 50 pairs, true as predicted";
    assert!(texts.contains(&heading), "{texts:?}");
    assert!(texts.contains(&"class 0 as class 100") && texts.contains(&"1 of 1"), "{texts:?}");

    let shown = kiln_report::show(&run, kiln_report::Terminal { width: 100, color: false });
    assert!(shown.expect("a report").text.lines().count() < 100);
}

/// The report is written last: if any other file cannot be written, the run does not look finished.
#[test]
fn a_file_that_cannot_be_written_leaves_the_run_unfinished() {
    for name in COMPUTED {
        let runs = directory();
        let run = new_run(&runs);
        let in_the_way = run.path().join(name);
        std::fs::create_dir(&in_the_way).expect("a directory in the way");
        let test = test();
        let error = finish(&run, &record(), &history(), &test.tested(), images(&test), None);
        let error = error.expect_err(name).to_string();
        assert!(error.starts_with(&format!("cannot write {}: ", in_the_way.display())), "{error}");
        assert!(!run.is_finished(), "{name}");
        assert!(listing(run.path()).iter().all(|name| !name.starts_with('.')), "{name}");
    }
}

#[test]
fn inconsistent_test_data_is_an_error() {
    let runs = directory();
    let run = new_run(&runs);
    let test = test();
    let short = Tested { labels: &test.labels[..3], ..test.tested() };
    let error =
        finish(&run, &record(), &history(), &short, images(&test), None).expect_err("too short");
    assert!(matches!(error, ReportError::Store(StoreError::Inconsistent(_))), "{error:?}");
    assert!(!run.is_finished());
}

#[test]
fn only_a_finished_record_gets_a_report() {
    for status in [Status::Running, Status::Interrupted, Status::Failed, Status::Diverged] {
        let runs = directory();
        let run = new_run(&runs);
        let test = test();
        let record = RunRecord { status, ..record() };
        let error = finish(&run, &record, &history(), &test.tested(), images(&test), None);
        let error = error.expect_err(status.as_str()).to_string();
        assert_eq!(error, format!("a run with status {status} cannot have a test report"));
        assert_eq!(listing(run.path()), Vec::<String>::new());
    }
}

#[test]
fn a_stopped_run_keeps_its_history_and_has_no_test_report() {
    for status in [Status::Interrupted, Status::Failed, Status::Diverged] {
        let runs = directory();
        let run = new_run(&runs);
        let stopped = RunRecord { status, ..record() };
        stop(&run, &stopped, &history()).expect("stopped");
        assert_eq!(listing(run.path()), ["history.svg", "report.md", "run.json"]);
        let read = run.read_record().expect("read");
        assert_eq!(Vec::from_iter(read.files.keys()), ["history.svg", "report.md"]);
        assert_eq!(RunRecord { files: stopped.files.clone(), ..read }, stopped);
        assert!(!run.is_finished());
    }
}

#[test]
fn a_run_stopped_before_its_first_epoch_has_no_chart() {
    let runs = directory();
    let run = new_run(&runs);
    let stopped = RunRecord { status: Status::Interrupted, ..running() };
    stop(&run, &stopped, &History::default()).expect("stopped");
    assert_eq!(listing(run.path()), ["report.md", "run.json"]);
    let text = std::fs::read_to_string(run.markdown_path()).expect("read");
    assert!(!text.contains("history.svg"), "{text}");
}

#[test]
fn a_running_or_finished_record_cannot_be_stopped() {
    let runs = directory();
    let run = new_run(&runs);
    for record in [running(), record()] {
        let error = stop(&run, &record, &history()).expect_err("not stopped").to_string();
        assert_eq!(error, format!("a run with status {} was not stopped early", record.status));
    }
    assert_eq!(listing(run.path()), Vec::<String>::new());
}
