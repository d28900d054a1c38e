use kiln_store::{RunDirectory, RunRecord, Status, StoreError, now};
use tempfile::TempDir;

use crate::finished;
use crate::samples::{directory, record, running};

const GOLDEN: &str = include_str!("golden/run.json");

/// A run whose `run.json` has the given text.
fn run_with(text: &str) -> (TempDir, RunDirectory) {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a claim");
    std::fs::write(run.record_path(), text).expect("written");
    (runs, run)
}

fn problem(text: &str) -> String {
    let (_runs, run) = run_with(text);
    let error = run.read_record().expect_err("it is damaged").to_string();
    let place = run.record_path().display().to_string();
    error.strip_prefix(&place).expect("the file is named").to_owned()
}

#[test]
fn the_file_is_the_golden_one_and_is_read_back() {
    let runs = directory();
    let run = finished(runs.path());
    // Written by itself: the sums of pictures change as pictures do.
    run.write_record(&record()).expect("written");
    assert_eq!(std::fs::read_to_string(run.record_path()).expect("read"), GOLDEN);
    assert_eq!(run.read_record().expect("read"), record());
}

#[test]
fn what_is_not_known_is_null_and_every_number_comes_back() {
    let unknown = RunRecord {
        git_commit: None,
        seed: u64::MAX,
        training_seconds: Some(0.1 + 0.2),
        started: now(),
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
fn a_record_is_written_in_the_words_of_the_contract() {
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
fn fields_of_later_kilns_are_passed_over() {
    let later = GOLDEN.replacen('{', "{\n  \"weather\": {\"rain\": [1, 2]},", 1);
    let (_runs, run) = run_with(&later);
    std::fs::write(run.report_path(), "{}").expect("written");
    assert_eq!(run.read_record().expect("read"), record());
}

#[test]
fn a_later_format_is_refused_whatever_else_it_holds() {
    let (_runs, run) = run_with("{\"format_version\": 2, \"name\": 7}");
    let error = run.read_record().expect_err("it is newer");
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
    let expected = format!(
        "{} has format version 2, and this Kiln reads versions up to 1: read it with a newer Kiln",
        run.record_path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_damaged_record_is_reported_with_its_line() {
    assert_eq!(problem(""), ", line 1: EOF while parsing a value");
    assert_eq!(problem("{\n  \"format_version\": 1"), ", line 2: EOF while parsing an object");
    assert_eq!(problem("{\"name\": \"dense\"}"), ", line 1: missing field `format_version`");
    let seedless = GOLDEN.replace("  \"seed\": 42,\n", "");
    assert!(problem(&seedless).ends_with(": missing field `seed`"));
    let wrong = GOLDEN.replace("\"finished\"", "\"done\"");
    assert!(problem(&wrong).starts_with(", line 5: unknown variant `done`"), "{}", problem(&wrong));
}

#[test]
fn a_run_cut_off_between_its_last_two_files_reads_as_interrupted() {
    let runs = directory();
    let run = finished(runs.path());
    assert!(run.is_finished());
    std::fs::remove_file(run.report_path()).expect("removed");
    assert!(!run.is_finished());
    let read = run.read_record().expect("read");
    assert_eq!(read.status, Status::Interrupted);
    assert_eq!(read.stop_reason.as_deref(), Some("it was cut off while its report was written"));
    assert!(!read.files.contains_key("report.json"), "it was never written");
    let (stop_reason, files) = (record().stop_reason, record().files);
    let as_it_was = RunRecord { status: Status::Finished, stop_reason, files, ..read };
    assert_eq!(as_it_was, record());
    assert_eq!(run.read_report().expect("nothing to read"), None);
}

#[test]
fn ending_a_run_notes_how_why_and_when() {
    let mut ended = running();
    let before = now();
    ended.end(Status::Diverged, "the loss became NaN in epoch 2, step 7");
    assert_eq!(ended.status, Status::Diverged);
    assert_eq!(ended.stop_reason.as_deref(), Some("the loss became NaN in epoch 2, step 7"));
    let at = ended.ended.expect("it has ended");
    assert!(before <= at && at <= now());
    assert_eq!(at.subsec_nanosecond() % 1_000_000, 0, "milliseconds, no more");
}
