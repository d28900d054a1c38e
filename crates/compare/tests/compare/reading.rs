use std::fs;
use std::path::Path;

use kiln_compare::{AtEpoch, CompareOptions, Comparison, DEFAULT_METRIC, EpochValue, Measure};
use kiln_store::Status;

use crate::tree::SampleRun;
use crate::{compared, directory, ids};

/// The reason why a damaged run next to an intact one is skipped.
fn skip_reason(damage: impl Fn(&Path)) -> String {
    let sweep = directory();
    let damaged = SampleRun::new(0.1, 1, 1).write(sweep.path());
    damage(&damaged);
    let comparison = compared(sweep.path(), &[SampleRun::new(0.1, 1, 2)]);
    assert_eq!(ids(&comparison.combinations[0]), ["0.1-1-2"]);
    let [left_out] = comparison.left_out.as_slice() else {
        panic!("{:?}", comparison.left_out);
    };
    assert_eq!(left_out.path, damaged);
    left_out.problem.clone()
}

/// Replaces a part of a file of the run.
fn edit(run: &Path, file: &str, from: &str, to: &str) {
    let path = run.join(file);
    let text = fs::read_to_string(&path).expect("a text");
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn damaged_run_is_reported_and_skipped() {
    insta::assert_snapshot!(
        skip_reason(|run| fs::write(run.join("run.json"), "{").expect("written")),
        @"run.json, line 1: EOF while parsing an object"
    );
    insta::assert_snapshot!(
        skip_reason_of_edit("run.json", "\"format_version\":1", "\"format_version\":2"),
        @"run.json has format version 2, but this version of Kiln reads versions up to 1: use a newer version of Kiln"
    );
    insta::assert_snapshot!(
        skip_reason(|run| fs::remove_file(run.join("config.toml")).expect("removed")),
        @"cannot read config.toml: no such file or directory"
    );
    insta::assert_snapshot!(
        skip_reason_of_edit("config.toml", "type = \"sgd\"", "type = "),
        @"config.toml, line 20: invalid TOML: string values must be quoted, expected literal string"
    );
    insta::assert_snapshot!(
        skip_reason_of_edit("history.csv", "\n2,0.5", "\n2,x"),
        @"history.csv, line 3: `x` in column `loss` is not a finite number"
    );
    insta::assert_snapshot!(
        skip_reason_of_edit("report.json", "\"accuracy\"", "\"precision\""),
        @"report.json, line 1: missing field `accuracy`"
    );
}

#[test]
fn files_of_different_runs_are_rejected() {
    insta::assert_snapshot!(
        skip_reason_of_edit("run.json", "\"finished\"", "\"running\""),
        @"run.json has status running, but there is a report.json, which only a finished run has: a file is stale or was edited"
    );
    insta::assert_snapshot!(
        skip_reason(|run| {
            edit(run, "history.csv", "2,0.5,0.75,0.5,0.75,0.01,0.500\n3,0.5,0.75,0.5,0.625,0.01,0.500\n", "");
        }),
        @"report.json is about epoch 2, but history.csv ends at epoch 1: a file is stale or was edited"
    );
    insta::assert_snapshot!(
        skip_reason_of_edit("config.toml", "seed = 1", "seed = 7"),
        @"config.toml has seed 7, but run.json has seed 1: a file is stale or was edited"
    );
}

/// The reason why a run is skipped after a part of one of its files was replaced.
fn skip_reason_of_edit(file: &str, from: &str, to: &str) -> String {
    skip_reason(|run| edit(run, file, from, to))
}

#[test]
fn error_without_readable_runs_gives_the_reasons() {
    let sweep = directory();
    let run = SampleRun::new(0.1, 1, 1).write(sweep.path());
    fs::write(run.join("run.json"), "").expect("written");
    let error = Comparison::read(&[sweep.path()], &CompareOptions::default())
        .expect_err("no run")
        .to_string();
    assert!(error.contains("run.json, line 1: EOF"), "{error}");
    assert!(error.contains(": no readable run: "), "{error}");
}

#[test]
fn run_is_summarized() {
    let sweep = directory();
    let mut run = SampleRun::new(0.1, 1, 1);
    // Of equal values, the earliest is the best. The last epoch counts as the last even if it has no value.
    run.val_accuracies = vec![Some(0.5), Some(0.75), Some(0.75), None];
    let comparison = compared(sweep.path(), &[run]);
    let run = &comparison.combinations[0].runs[0];
    let metric = |at| run.metric(DEFAULT_METRIC, at);
    assert_eq!(metric(AtEpoch::Best), Some(EpochValue { epoch: 2, value: 0.75 }));
    assert_eq!((metric(AtEpoch::Last), run.epochs, run.seed), (None, 4, 1));
    let test = run.test.expect("a test");
    assert_eq!((test.accuracy, test.loss, test.examples), (0.75, Some(0.5), 20));
    assert_eq!(run.training_seconds, Some(1.5));
}

#[test]
fn killed_run_counts_with_its_complete_epochs() {
    let sweep = directory();
    let run = SampleRun::new(0.1, 1, 1).ended(Status::Running).write(sweep.path());
    let path = run.join("history.csv");
    let history = fs::read_to_string(&path).expect("a history");
    // The last line was cut off.
    fs::write(&path, &history[..history.len() - 4]).expect("written");
    let comparison =
        Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("a comparison");
    let combination = &comparison.combinations[0];
    assert_eq!(combination.runs[0].epochs, 2);
    assert_eq!(combination.status(), "running");
    assert_eq!(comparison.ranking.of(combination).map(|best| best.mean), Some(0.75));
    let tested = Measure::find("test_accuracy").and_then(|accuracy| accuracy.of(combination));
    assert_eq!((tested, comparison.selected()), (None, None));
}

#[test]
fn finished_run_without_report_is_interrupted() {
    let sweep = directory();
    let run = SampleRun::new(0.1, 1, 1).write(sweep.path());
    fs::remove_file(run.join("report.json")).expect("removed");
    let comparison =
        Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("a comparison");
    assert_eq!(comparison.combinations[0].status(), "interrupted");
}
