use std::path::PathBuf;

use kiln_store::{Predictions, StoreError, predictions};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::finished;
use crate::samples::{Test, directory, listing, test};

const GOLDEN: &str = include_str!("golden/predictions.csv");

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = directory();
    let path = directory.path().join("predictions.csv");
    std::fs::write(&path, text).expect("written");
    (directory, path)
}

/// The error message about a damaged file, after the file name.
fn problem(text: &str) -> String {
    let (_directory, path) = file(text);
    let error = Predictions::read(&path).expect_err("it is damaged");
    assert!(matches!(error, StoreError::Malformed { .. }), "{error:?}");
    let error = error.to_string();
    error.strip_prefix(&path.display().to_string()).expect("the file is named").to_owned()
}

/// Writes the predictions of a test to a file and reads them.
fn round_trip(test: &Test) -> Predictions {
    let directory = directory();
    let path = directory.path().join("predictions.csv");
    predictions::write(&path, &test.tested()).expect("written");
    Predictions::read(&path).expect("read")
}

#[test]
fn file_matches_the_golden_file_and_round_trips() {
    let runs = directory();
    let run = finished(runs.path());
    assert_eq!(std::fs::read_to_string(run.predictions_path()).expect("read"), GOLDEN);
    let read = run.read_predictions().expect("read");
    let test = test();
    assert_eq!(read.class_names, test.class_names);
    assert_eq!(read.labels, test.labels);
    assert_eq!(read.predicted, [0, 0, 0, 1, 1, 1, 0, 2]);
    assert_eq!(read.probabilities, test.probabilities);
}

#[test]
fn class_names_may_contain_csv_syntax() {
    let names = ["a,b", "\"quoted\"", "two\nlines", "label", " ", "=1+1"];
    let row = [0.5, 0.1, 0.1, 0.1, 0.1, 0.1];
    let read = round_trip(&Test::new(&names, &[(5, &row), (0, &row)]));
    assert_eq!(read.class_names, names);
    assert_eq!(read.labels, [5, 0]);
    assert_eq!(read.probabilities, row.repeat(2));
}

#[test]
fn two_hundred_and_fifty_six_classes_fit() {
    let names: Vec<String> = (0..256).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut row = [0.0; 256];
    row[255] = 1.0;
    let read = round_trip(&Test::new(&names, &[(255, &row)]));
    assert_eq!((read.labels, read.predicted), (vec![255], vec![255]));
}

/// A test of 1,000 classes: image i has class 3 i, and the six most probable classes begin with `first`.
fn many_classes(first: &[(usize, f32)]) -> Test {
    let names: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut row = vec![0.0001; 1000];
    for (class, probability) in first {
        row[*class] = *probability;
    }
    Test::new(&names, &[(0, &row), (3, &row), (998, &row)])
}

#[test]
fn many_classes_keep_the_five_most_probable_and_the_true_one() {
    // The true class of the last image is the fifth, together with class 999.
    let first = [(7, 0.1), (500, 0.3), (3, 0.2), (999, 0.05), (998, 0.05), (300, 0.15)];
    let test = many_classes(&first);
    let directory = directory();
    let path = directory.path().join("predictions.csv");
    predictions::write(&path, &test.tested()).expect("written");
    let text = std::fs::read_to_string(&path).expect("read");
    let top = "500,0.3,3,0.2,300,0.15,7,0.1,998,0.05";
    let header = "index,label,predicted,top1_class,top1_probability,top2_class,top2_probability,\
                  top3_class,top3_probability,top4_class,top4_probability,top5_class,\
                  top5_probability,label_probability";
    let rows = format!("0,0,500,{top},0.0001\n1,3,500,{top},0.2\n2,998,500,{top},0.05\n");
    assert_eq!(text, format!("{header}\n{rows}"));

    let read = Predictions::read(&path).expect("read");
    assert_eq!((read.labels, read.predicted), (vec![0, 3, 998], vec![500; 3]));
    assert!(read.class_names.is_empty() && read.probabilities.is_empty());
    assert_eq!(read.top[1].classes, [500, 3, 300, 7, 998]);
    assert_eq!(read.top[1].label_probability, 0.2);

    let header = format!("{header}\n");
    for (rows, expected) in [
        (
            "0,0,499,500,0.3,3,0.2,300,0.1,7,0.1,998,0.05,0\n",
            "class 500 is above the predicted one, 499",
        ),
        (
            "0,0,500,500,0.3,3,0.2,300,0.1,7,0.2,998,0.05,0\n",
            "the probabilities are not in descending order",
        ),
        ("0,0,500,500,0.3,3,0.2,300,0.1,7,0.1,998,0.05,2\n", "`2` is not a probability"),
        ("0,70000,500,500,0.3,3,0.2,300,0.1,7,0.1,998,0.05,0\n", "`70000` is not a class"),
        ("0,0\n", "2 cells, but the header has 14"),
    ] {
        assert_eq!(problem(&format!("{header}{rows}")), format!(", line 2: {expected}"));
    }
}

/// Rounding makes the largest probabilities equal; the predicted class is the one with the largest logit.
#[test]
fn the_predicted_class_is_the_first_of_equals() {
    let mut test = many_classes(&[(3, 0.5), (4, 0.5)]);
    test.predicted = vec![4; 3];
    assert_eq!(round_trip(&test).top[0].classes, [4, 3, 0, 1, 2]);
}

#[test]
fn inconsistent_predictions_are_not_written() {
    let directory = directory();
    let mut test = test();
    test.probabilities.pop();
    let path = directory.path().join("predictions.csv");
    let error = predictions::write(&path, &test.tested()).expect_err("one is missing");
    assert!(matches!(error, StoreError::Inconsistent(_)), "{error:?}");
    assert_eq!(listing(directory.path()), Vec::<String>::new());
}

#[test]
fn invalid_line_is_reported_with_its_number() {
    let header = "index,label,predicted,probability,cat,dog\n";
    let start =
        ", line 1: predictions must begin with the columns `index,label,predicted,probability`";
    assert_eq!(problem(""), start);
    assert_eq!(problem("index,label\n"), start);
    for (rows, expected) in [
        ("0,0,0,0.5\n", ", line 2: 4 cells, but the header has 6"),
        ("1,0,0,0.5,0.5,0.5\n", ", line 2: index `1` where 0 comes next"),
        ("0,2,0,0.5,0.5,0.5\n", ", line 2: `2` is not the index of one of the 2 classes"),
        ("0,0,cat,0.5,0.5,0.5\n", ", line 2: `cat` is not the index of one of the 2 classes"),
        ("0,0,0,0.5,0.5,0.5\n1,0,0,0.5,1.5,0.5\n", ", line 3: `1.5` is not a probability"),
        ("0,0,0,0.5,0.5,\n", ", line 2: `` is not a probability"),
        ("0,0,0,high,0.5,0.5\n", ", line 2: `high` is not a probability"),
        ("0,0,0,0.5,NaN,0.5\n", ", line 2: `NaN` is not a probability"),
    ] {
        assert_eq!(problem(&format!("{header}{rows}")), expected);
    }
}

#[test]
fn missing_file_is_named() {
    let directory = directory();
    let path = directory.path().join("predictions.csv");
    let error = Predictions::read(&path).expect_err("there is none").to_string();
    assert_eq!(error, format!("cannot read {}: no such file or directory", path.display()));
}

proptest! {
    // Few cases, since each one waits for a sync to the disk.
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Probabilities keep all bits of their f32.
    #[test]
    fn predictions_round_trip(
        rows in prop::collection::vec((0_u16..3, prop::array::uniform3(0_u32..=0x3f80_0000)), 1..100),
    ) {
        // All bit patterns from 0.0 to 1.0, including subnormal numbers.
        let rows: Vec<(u16, [f32; 3])> =
            rows.into_iter().map(|(label, bits)| (label, bits.map(f32::from_bits))).collect();
        let images: Vec<(u16, &[f32])> =
            rows.iter().map(|(label, row)| (*label, row.as_slice())).collect();
        let test = Test::new(&["cat", "dog", "fox"], &images);
        let read = round_trip(&test);
        prop_assert_eq!(read.labels, test.labels);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&read.probabilities), bits(&test.probabilities));
    }
}
