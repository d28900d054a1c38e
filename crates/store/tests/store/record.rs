use kiln_store::{NormalizationRecord, RunDirectory, RunRecord, Status, StoreError, now};
use tempfile::TempDir;

use crate::finished;
use crate::samples::{directory, record, running};

const GOLDEN: &str = include_str!("golden/run.json");

/// A run whose `run.json` has the given text.
fn run_with(text: &str) -> (TempDir, RunDirectory) {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    std::fs::write(run.record_path(), text).expect("written");
    (runs, run)
}

fn problem(text: &str) -> String {
    let (_runs, run) = run_with(text);
    let error = run.read_record().expect_err("it is damaged").to_string();
    let place = run.record_path().display().to_string();
    error.strip_prefix(&place).expect("the file is named").to_owned()
}

/// The golden file as a version without checksums would have written it.
fn without_checksum() -> String {
    let is_checksum = |line: &&str| line.starts_with("  \"checksum\"");
    GOLDEN.lines().filter(|line| !is_checksum(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_edit_of_a_record_with_a_checksum_is_noticed() {
    let expected = ": it was changed after it was written (its SHA-256 differs)";
    for (from, to) in [
        ("\"seed\": 42", "\"seed\": 43"),
        ("55000", "54000"),
        ("0123456789abcdef", "0123456789abcdee"),
        ("\"epochs\": 3,\n", "\"epochs\": 3, \n"),
        ("\"threads\": 1,\n", "\"threads\": 1,\n  \"weather\": 1,\n"),
    ] {
        let problem = problem(&GOLDEN.replacen(from, to, 1));
        assert_eq!(problem.replace(" is damaged", ""), expected, "{to}");
    }
    let (_runs, run) = run_with(&without_checksum());
    std::fs::write(run.report_path(), "{}").expect("written");
    assert_eq!(run.read_record().expect("earlier versions wrote no checksum"), record());
}

#[test]
fn file_matches_the_golden_file_and_round_trips() {
    let runs = directory();
    let run = finished(runs.path());
    // Write a record without checksums: the checksums of charts change whenever the charts do.
    run.write_record(&record()).expect("written");
    assert_eq!(std::fs::read_to_string(run.record_path()).expect("read"), GOLDEN);
    assert_eq!(run.read_record().expect("read"), record());
}

#[test]
fn unknown_values_are_null_and_numbers_round_trip() {
    let unknown = RunRecord {
        git_commit: None,
        seed: u64::MAX,
        training_seconds: Some(0.1 + 0.2),
        started: now(),
        normalization: Some(NormalizationRecord {
            method: "standardize".to_owned(),
            mean: vec![0.1 + 0.2],
            standard_deviation: vec![1.0 / 3.0],
        }),
        ..running()
    };
    let (_runs, run) = run_with("");
    run.write_record(&unknown).expect("written");
    assert_eq!(run.read_record().expect("read"), unknown);
    let text = std::fs::read_to_string(run.record_path()).expect("read");
    for null in ["stop_reason", "git_commit", "ended"] {
        assert!(text.contains(&format!("\"{null}\": null")), "{text}");
    }
}

#[test]
fn status_has_its_documented_name() {
    for (status, word) in [
        (Status::Running, "running"),
        (Status::Finished, "finished"),
        (Status::Interrupted, "interrupted"),
        (Status::Failed, "failed"),
        (Status::Diverged, "diverged"),
    ] {
        assert_eq!(status.to_string(), word);
        let (_runs, run) = run_with("");
        run.write_record(&RunRecord { status, ..record() }).expect("written");
        let text = std::fs::read_to_string(run.record_path()).expect("read");
        assert!(text.contains(&format!("\"status\": \"{word}\"")), "{text}");
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let later = without_checksum().replacen('{', "{\n  \"weather\": {\"rain\": [1, 2]},", 1);
    let (_runs, run) = run_with(&later);
    std::fs::write(run.report_path(), "{}").expect("written");
    assert_eq!(run.read_record().expect("read"), record());
}

#[test]
fn newer_format_is_refused() {
    let (_runs, run) = run_with("{\"format_version\": 2, \"name\": 7}");
    let error = run.read_record().expect_err("it is newer");
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
    let expected = format!(
        "{} has format version 2, but this version of Kiln reads versions up to 1: use a newer version of Kiln",
        run.record_path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn damaged_record_is_reported_with_its_line() {
    assert_eq!(problem(""), ", line 1: EOF while parsing a value");
    assert_eq!(problem("{\n  \"format_version\": 1"), ", line 2: EOF while parsing an object");
    assert_eq!(problem("{\"name\": \"dense\"}"), ", line 1: missing field `format_version`");
    let seedless = without_checksum().replace("  \"seed\": 42,\n", "");
    assert!(problem(&seedless).ends_with(": missing field `seed`"));
    let wrong = without_checksum().replace("\"finished\"", "\"done\"");
    assert!(problem(&wrong).starts_with(", line 5: unknown variant `done`"), "{}", problem(&wrong));
}

#[test]
fn finished_record_without_report_reads_as_interrupted() {
    let runs = directory();
    let run = finished(runs.path());
    assert!(run.is_finished());
    std::fs::remove_file(run.report_path()).expect("removed");
    assert!(!run.is_finished());
    let read = run.read_record().expect("read");
    assert_eq!(read.status, Status::Interrupted);
    assert_eq!(read.stop_reason.as_deref(), Some("it was killed while its report was written"));
    assert!(!read.files.contains_key("report.json"), "it was never written");
    let (stop_reason, files) = (record().stop_reason, record().files);
    let as_it_was = RunRecord { status: Status::Finished, stop_reason, files, ..read };
    assert_eq!(as_it_was, record());
    assert_eq!(run.read_report().expect("nothing to read"), None);
}

#[test]
fn end_records_status_reason_and_time() {
    let mut ended = running();
    let before = now();
    ended.end(Status::Diverged, "the loss became NaN in epoch 2, step 7");
    assert_eq!(ended.status, Status::Diverged);
    assert_eq!(ended.stop_reason.as_deref(), Some("the loss became NaN in epoch 2, step 7"));
    let at = ended.ended.expect("it has ended");
    assert!(before <= at && at <= now());
    assert_eq!(at.subsec_nanosecond() % 1_000_000, 0, "times are in whole milliseconds");
}
