use std::path::PathBuf;

use kiln_store::history::{MAX_BYTES, MAX_EPOCHS};
use kiln_store::{Direction, EpochRow, History, HistoryWriter, StoreError};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::finished;
use crate::samples::{directory, history, metrics, row};

const GOLDEN: &str = include_str!("golden/history.csv");
const HEADER: &str = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n";

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = directory();
    let path = directory.path().join("history.csv");
    std::fs::write(&path, text).expect("written");
    (directory, path)
}

fn read(text: &str) -> History {
    let (_directory, path) = file(text);
    History::read(&path).expect("a history")
}

/// The error message about a damaged file, after the file name.
fn problem(text: &str) -> String {
    let (_directory, path) = file(text);
    let error = History::read(&path).expect_err("the file is damaged");
    assert!(matches!(error, StoreError::Malformed { .. }), "{error:?}");
    let error = error.to_string();
    error
        .strip_prefix(&path.display().to_string())
        .expect("the message begins with the file")
        .to_owned()
}

/// An epoch without metrics.
fn bare(epoch: usize) -> EpochRow {
    EpochRow { epoch, learning_rate: 0.1, seconds: 1.5, ..EpochRow::default() }
}

#[test]
fn file_matches_the_golden_file_and_round_trips() {
    let runs = directory();
    let run = finished(runs.path());
    assert_eq!(std::fs::read_to_string(run.history_path()).expect("read"), GOLDEN);
    assert_eq!(history().to_csv(), GOLDEN);
    let mut expected = history();
    for row in &mut expected.rows {
        row.seconds = 20.417;
    }
    assert_eq!(run.read_history().expect("read"), expected);
}

#[test]
fn missing_and_non_finite_numbers_are_empty_cells() {
    let directory = directory();
    let path = directory.path().join("history.csv");
    let mut writer = HistoryWriter::create(&path, &["top_2_accuracy"]).expect("created");
    writer.append(&bare(1)).expect("appended");
    let broken = EpochRow {
        metrics: metrics([
            ("loss", f64::NAN),
            ("accuracy", 0.1),
            ("val_loss", f64::INFINITY),
            ("top_2_accuracy", f64::NEG_INFINITY),
        ]),
        ..bare(2)
    };
    writer.append(&broken).expect("appended");
    let text = std::fs::read_to_string(&path).expect("read");
    assert_eq!(
        text,
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,top_2_accuracy\n\
         1,,,,,0.1,1.500,\n\
         2,,0.1,,,0.1,1.500,\n"
    );
    let read = History::read(&path).expect("read");
    assert_eq!(read.rows, [bare(1), EpochRow { metrics: metrics([("accuracy", 0.1)]), ..bare(2) }]);
}

#[test]
fn each_epoch_is_written_when_it_is_appended() {
    let directory = directory();
    let path = directory.path().join("history.csv");
    let mut writer = HistoryWriter::create(&path, &[]).expect("created");
    assert_eq!(History::read(&path).expect("read"), History::default());
    for epoch in 1..=3 {
        writer.append(&bare(epoch)).expect("appended");
        assert_eq!(History::read(&path).expect("read").rows.len(), epoch);
    }
    assert!(HistoryWriter::create(&path, &[]).is_err(), "a history is never overwritten");
    assert_eq!(History::read(&path).expect("read").rows.len(), 3);
}

#[test]
fn invalid_row_is_refused_and_not_written() {
    let directory = directory();
    let path = directory.path().join("history.csv");
    let mut writer = HistoryWriter::create(&path, &["f1"]).expect("created");
    let header = std::fs::read_to_string(&path).expect("read");
    let with_metric = |name: &'static str| EpochRow { metrics: metrics([(name, 0.5)]), ..bare(1) };
    for (row, problem) in [
        (bare(2), "epoch 2, but epoch 1 comes next"),
        (with_metric("auc"), "metric `auc` has no column"),
        (with_metric("epoch"), "metric `epoch` has no column"),
        (
            EpochRow { learning_rate: f64::NAN, ..bare(1) },
            "learning rate and seconds must be finite",
        ),
        (
            EpochRow { seconds: f64::INFINITY, ..bare(1) },
            "learning rate and seconds must be finite",
        ),
    ] {
        let error = writer.append(&row).expect_err(problem);
        assert_eq!(error.to_string(), format!("history: {problem}"));
    }
    assert_eq!(std::fs::read_to_string(&path).expect("read"), header);
    writer.append(&with_metric("f1")).expect("the next epoch with a known metric");
}

#[test]
fn invalid_column_names_are_refused() {
    let directory = directory();
    for (columns, problem) in [
        (&["loss"][..], "duplicate column `loss`"),
        (&["f1", "f1"], "duplicate column `f1`"),
        (&[""], "\"\" cannot be the name of a column"),
        (&["a,b"], "\"a,b\" cannot be the name of a column"),
        (&["a\"b"], "\"a\\\"b\" cannot be the name of a column"),
        (&["a\nb"], "\"a\\nb\" cannot be the name of a column"),
    ] {
        let error = HistoryWriter::create(&directory.path().join("history.csv"), columns);
        let error = error.expect_err(problem);
        assert!(matches!(error, StoreError::Inconsistent(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("history: {problem}"));
    }
    assert_eq!(crate::samples::listing(directory.path()), Vec::<String>::new());
}

#[test]
fn truncated_last_line_is_skipped_and_reported() {
    for end in ["4,0.2", "4,0.2,0.9,0.4,0.86,0.01,20.417,0.9", "4", "garbage \u{fffd}"] {
        let read = read(&format!("{GOLDEN}{end}"));
        assert!(read.cut, "{end}");
        assert_eq!(read.rows.len(), 3, "{end}");
    }
    assert!(!read(GOLDEN).cut);
    assert_eq!(read("epoch,lo"), History { cut: true, ..History::default() });
    assert_eq!(read(""), History::default());
}

#[test]
fn invalid_line_is_reported_with_its_number() {
    let lines = |rows: &str| format!("{HEADER}{rows}");
    let first = "1,,,,,0.1,1.5\n";
    for (text, expected) in [
        (
            "a,b\n".to_owned(),
            format!(", line 1: a history begins with the columns `{}`", HEADER.trim_end()),
        ),
        (HEADER.replace('\n', ",f1,f1\n"), ", line 1: duplicate column `f1`".to_owned()),
        (lines("1,2\n"), ", line 2: 2 cells, but the header has 7".to_owned()),
        (lines("1,,,,,0.1,1.5,7\n"), ", line 2: 8 cells, but the header has 7".to_owned()),
        (lines("\n"), ", line 2: 1 cell, but the header has 7".to_owned()),
        (lines("2,,,,,0.1,1.5\n"), ", line 2: epoch `2`, but epoch 1 comes next".to_owned()),
        (lines(&first.repeat(2)), ", line 3: epoch `1`, but epoch 2 comes next".to_owned()),
        (
            lines("1,high,,,,0.1,1.5\n"),
            ", line 2: `high` in column `loss` is not a finite number".to_owned(),
        ),
        (
            lines("1,,,NaN,,0.1,1.5\n"),
            ", line 2: `NaN` in column `val_loss` is not a finite number".to_owned(),
        ),
        (lines("1,,,,,,1.5\n"), ", line 2: column `learning_rate` is empty".to_owned()),
        (lines("1,,,,,0.1,\n"), ", line 2: column `seconds` is empty".to_owned()),
    ] {
        assert_eq!(problem(&text), expected);
    }
}

#[test]
fn windows_line_endings_are_accepted() {
    let read = read(&GOLDEN.replace('\n', "\r\n"));
    assert_eq!(read.extra_columns, ["top_3_accuracy"]);
    assert_eq!(read.rows.len(), 3);
}

#[test]
fn missing_history_is_empty() {
    let runs = directory();
    let run = finished(runs.path());
    std::fs::remove_file(run.history_path()).expect("removed");
    assert_eq!(run.read_history().expect("an empty history"), History::default());
}

#[test]
fn resumed_history_drops_later_rows() {
    let (_directory, path) = file(&format!("{GOLDEN}4,0.2"));
    let mut history = History::read(&path).expect("read");
    history.rows.truncate(2);
    let mut writer = HistoryWriter::resume(&path, &history).expect("open");
    assert!(writer.append(&row(4, [0.1; 4])).is_err(), "epoch 3 comes next");
    writer.append(&row(3, [0.1, 0.9, 0.2, 0.8])).expect("appended");
    let expected: String = GOLDEN.split_inclusive('\n').take(3).collect();
    let expected = expected + "3,0.1,0.9,0.2,0.8,0.01,20.417,0.95\n";
    assert_eq!(std::fs::read_to_string(&path).expect("read"), expected);
}

#[test]
fn best_epoch_is_the_first_with_the_lowest_validation_loss() {
    let best = |history: &History| history.best().map(|row| row.epoch);
    let set_val_loss = |history: &mut History, values: [f64; 3]| {
        for (row, value) in history.rows.iter_mut().zip(values) {
            row.metrics.retain(|(name, _)| &**name != "val_loss");
            row.metrics.push(("val_loss".into(), value));
        }
    };
    let mut history = history();
    assert_eq!(best(&history), Some(2));
    set_val_loss(&mut history, [0.6, 0.4, 0.4]);
    assert_eq!(best(&history), Some(2));
    // The sign of a computed NaN depends on the processor, so both signs must be ignored.
    set_val_loss(&mut history, [-f64::NAN, f64::NAN, 0.4]);
    assert_eq!(best(&history), Some(3));
    for row in &mut history.rows {
        row.metrics.retain(|(name, _)| &**name != "val_loss");
    }
    assert_eq!(best(&history), Some(3), "without validation, the training loss decides");
    history.rows.clear();
    assert_eq!(best(&history), None);
}

#[test]
fn best_value_depends_on_the_direction_of_the_metric() {
    let history = history();
    let best = |metric: &str, better| {
        history.best_by(metric, better).map(|(row, value)| (row.epoch, value))
    };
    assert_eq!(best("val_loss", Direction::Lower), Some((2, 0.4)));
    assert_eq!(best("val_loss", Direction::Higher), Some((1, 0.6)));
    assert_eq!(best("val_accuracy", Direction::Higher), Some((3, 0.85)));
    assert_eq!(best("top_3_accuracy", Direction::Higher), Some((1, 0.95)), "the first of equals");
    assert_eq!(best("macro_f1", Direction::Higher), None);
}

#[test]
fn metric_is_found_by_its_column_name() {
    let row = row(1, [0.75, 0.5, 0.6, 0.7]);
    let names = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"];
    let values = [0.75, 0.5, 0.6, 0.7, 0.01, 20.4166];
    for (name, value) in names.into_iter().zip(values) {
        assert_eq!(row.metric(name), Some(value), "{name}");
    }
    assert_eq!(row.metric("top_3_accuracy"), Some(0.95));
    assert_eq!(row.metric("f1"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Finite numbers keep all their bits. Only the seconds are rounded.
    #[test]
    fn history_round_trips(
        numbers in prop::collection::vec(
            prop::array::uniform6(prop::option::of(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL)),
            0..6,
        ),
        seconds in 0_u32..100_000_000,
    ) {
        let rows = (1..).zip(numbers).map(|(epoch, [loss, accuracy, val_loss, val_accuracy, rate, f1])| {
            let values = [loss, accuracy, val_loss, val_accuracy, f1];
            let names = ["loss", "accuracy", "val_loss", "val_accuracy", "f1"].into_iter();
            EpochRow {
                epoch,
                learning_rate: rate.unwrap_or(0.0),
                seconds: f64::from(seconds) / 1000.0,
                metrics: metrics(names.zip(values).filter_map(|(name, value)| Some((name, value?)))),
            }
        });
        let history = History { extra_columns: vec!["f1".to_owned()], rows: rows.collect(), cut: false };
        prop_assert_eq!(read(&history.to_csv()), history);
    }

    /// Reading any text gives a history or an error, and writing and reading that history gives the same history.
    #[test]
    fn any_text_can_be_read(text in "([0-9a-z.,\\n\u{e9}-]|epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds){0,40}") {
        let (_directory, path) = file(&text);
        if let Ok(history) = History::read(&path) {
            let again = History { cut: false, ..history };
            if !again.rows.is_empty() {
                prop_assert_eq!(read(&again.to_csv()), again);
            }
        }
    }
}

/// Writing has the same limits as reading, so that every written history can be read.
#[test]
fn history_is_limited_in_epochs_and_bytes() {
    let text = |epochs: usize| {
        let rows: String = (1..=epochs).map(|epoch| format!("{epoch},,,,,0.1,1.000\n")).collect();
        HEADER.to_owned() + &rows
    };
    assert_eq!(read(&text(MAX_EPOCHS)).rows.len(), MAX_EPOCHS);
    let one_more = problem(&text(MAX_EPOCHS + 1));
    assert_eq!(one_more, ", line 100002: there are more than 100000 epochs");

    let extra_columns: Vec<String> = (0..200).map(|metric| format!("metric_{metric}")).collect();
    let values = metrics(extra_columns.iter().map(|column| (column.as_str(), 1.0 / 3.0)));
    let row = |epoch| EpochRow { metrics: values.clone(), ..bare(epoch) };
    let rows = |epochs| History {
        extra_columns: extra_columns.clone(),
        rows: (1..=epochs).map(row).collect(),
        cut: false,
    };
    let line = rows(2).to_csv().len() - rows(1).to_csv().len();
    // Later rows are a little longer, because the number of their epoch has more digits.
    let begun = usize::try_from(MAX_BYTES).expect("some MiB") / line - 20;
    let (_directory, path) = file("");
    let mut writer = HistoryWriter::resume(&path, &rows(begun)).expect("there is room");
    let added = (begun + 1..).take_while(|epoch| writer.append(&row(*epoch)).is_ok()).count();
    assert!((1..20).contains(&added), "{added} rows of {line} bytes");
    let error = writer.append(&row(begun + added + 1)).expect_err("the file is full");
    assert!(error.to_string().contains("the file is full: Kiln reads at most 32 MiB"), "{error}");
    assert_eq!(History::read(&path).expect("intact").rows.len(), begun + added);
}
