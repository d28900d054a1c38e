use kiln_store::{Average, ClassReport, StoreError, TestReport, Tested, TestedWeights, TopK};
use proptest::prelude::*;

use crate::finished;
use crate::samples::{Test, directory, test};

const GOLDEN: &str = include_str!("golden/report.json");

fn report(test: &Test) -> TestReport {
    TestReport::new(&test.tested()).expect("a report")
}

/// A test with this confusion matrix, in which the model predicts with probability 1.
fn with_confusion<const N: usize>(confusion: [[usize; N]; N]) -> Test {
    let names: Vec<String> = (0..N).map(|class| format!("class {class}")).collect();
    let certain: Vec<Vec<f32>> =
        (0..N).map(|own| (0..N).map(|class| f32::from(u8::from(class == own))).collect()).collect();
    let mut images: Vec<(u16, &[f32])> = Vec::new();
    for (label, row) in (0..).zip(confusion) {
        for (predicted, count) in row.into_iter().enumerate() {
            images.extend(std::iter::repeat_n((label, certain[predicted].as_slice()), count));
        }
    }
    Test::new(&names.iter().map(String::as_str).collect::<Vec<_>>(), &images)
}

fn close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => (left - right).abs() < 1e-12,
        (None, None) => true,
        _ => false,
    }
}

#[track_caller]
fn assert_average(average: Average, [precision, recall, f1]: [f64; 3]) {
    let expected = Average { precision: Some(precision), recall: Some(recall), f1: Some(f1) };
    let all = close(average.precision, expected.precision)
        && close(average.recall, expected.recall)
        && close(average.f1, expected.f1);
    assert!(all, "{average:?}, expected {expected:?}");
}

#[test]
fn file_matches_the_golden_file_and_round_trips() {
    let runs = directory();
    let run = finished(runs.path());
    assert_eq!(std::fs::read_to_string(run.report_path()).expect("read"), GOLDEN);
    assert_eq!(run.read_report().expect("read"), Some(report(&test())));
}

#[test]
fn numbers_round_trip() {
    let runs = directory();
    let run = finished(runs.path());
    let shares: Vec<f64> = (1..1000).map(|part| f64::from(part) / 997.0 / 997.0).collect();
    let top_k: Vec<String> =
        shares.iter().map(|share| format!("{{\"k\": 2, \"accuracy\": {share}}}")).collect();
    let text = GOLDEN.replace("\"top_k\": [", &format!("\"top_k\": [{},", top_k.join(",")));
    std::fs::write(run.report_path(), text).expect("written");
    let report = run.read_report().expect("read").expect("a report");
    let read: Vec<f64> = report.top_k.iter().map(|top| top.accuracy).collect();
    assert_eq!(read[..999], shares);
}

#[test]
fn newer_format_is_refused_and_unknown_fields_are_ignored() {
    let runs = directory();
    let run = finished(runs.path());
    let with_more = GOLDEN.replacen('{', "{\n  \"calibration\": [0.5],", 1);
    std::fs::write(run.report_path(), with_more).expect("written");
    assert_eq!(run.read_report().expect("read"), Some(report(&test())));
    std::fs::write(run.report_path(), GOLDEN.replacen("1", "2", 1)).expect("written");
    let error = run.read_report().expect_err("it is newer");
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
}

/// The expected values are computed by hand from the definitions of precision, recall and F1.
#[test]
fn metrics_match_their_definitions() {
    let report = report(&test());
    assert_eq!(report.confusion, [[3, 1, 0], [0, 2, 0], [1, 0, 1]]);
    assert_eq!((report.examples, report.epoch, report.weights), (8, 2, TestedWeights::Best));
    assert_eq!((report.loss, report.accuracy), (Some(0.375), 6.0 / 8.0));
    let class = |name: &str, precision, recall, f1, support| ClassReport {
        class: name.to_owned(),
        precision: Some(precision),
        recall: Some(recall),
        f1: Some(f1),
        support,
    };
    assert_eq!(
        report.per_class,
        [
            class("T-shirt/top", 3.0 / 4.0, 3.0 / 4.0, 6.0 / 8.0, 4),
            class("Trouser", 2.0 / 3.0, 1.0, 4.0 / 5.0, 2),
            class("Ankle boot", 1.0, 1.0 / 2.0, 2.0 / 3.0, 2),
        ]
    );
    // (3/4 + 2/3 + 1) / 3 and so on.
    assert_average(report.macro_average, [29.0 / 36.0, 0.75, 133.0 / 180.0]);
    // (4 * 3/4 + 2 * 2/3 + 2 * 1) / 8 and so on.
    assert_average(report.weighted_average, [19.0 / 24.0, 0.75, 89.0 / 120.0]);
    assert_eq!(report.notes, Vec::<String>::new());
}

/// scikit-learn 1.9.1: `precision_recall_fscore_support(…, labels=range(5), zero_division=np.nan)`. Class 3 is never
/// predicted and class 4 has no images.
#[test]
fn undefined_metrics_agree_with_scikit_learn() {
    let report = report(&with_confusion([
        [18, 2, 2, 0, 2],
        [2, 8, 0, 0, 2],
        [4, 0, 8, 0, 0],
        [2, 0, 8, 0, 2],
        [0, 0, 0, 0, 0],
    ]));
    let expected = [
        (Some(0.6923076923076923), Some(0.75), Some(0.72), 24),
        (Some(0.8), Some(0.6666666666666666), Some(0.7272727272727273), 12),
        (Some(0.4444444444444444), Some(0.6666666666666666), Some(0.5333333333333333), 12),
        (None, Some(0.0), Some(0.0), 12),
        (Some(0.0), None, Some(0.0), 0),
    ];
    for (class, (precision, recall, f1, support)) in report.per_class.iter().zip(expected) {
        assert!(close(class.precision, precision), "{class:?}");
        assert!(close(class.recall, recall), "{class:?}");
        assert!(close(class.f1, f1), "{class:?}");
        assert_eq!(class.support, support);
    }
    assert_average(
        report.macro_average,
        [0.4841880341880342, 0.5208333333333333, 0.3961212121212121],
    );
    assert_average(
        report.weighted_average,
        [0.6572649572649573, 0.5666666666666667, 0.5401212121212121],
    );
    assert!(close(Some(report.accuracy), Some(0.5666666666666667)));
    assert_eq!(
        report.notes,
        [
            "no precision for class 3: never predicted; averages exclude it",
            "no recall for class 4: the test set has no such image; averages exclude it",
        ]
    );
}

#[test]
fn undefined_metrics_are_null() {
    // Class 1 has no images and is never predicted.
    let report = report(&with_confusion([[2, 0], [0, 0]]));
    let absent = &report.per_class[1];
    assert_eq!((absent.precision, absent.recall, absent.f1), (None, None, None));
    assert_average(report.macro_average, [1.0; 3]);
    let json = serde_json::to_value(&report).expect("JSON");
    for number in ["precision", "recall", "f1"] {
        assert!(json["per_class"][1][number].is_null(), "{json}");
    }

    let test = test();
    let diverged = Tested { loss: f64::NAN, ..test.tested() };
    let report = TestReport::new(&diverged).expect("a report");
    assert_eq!(report.loss, None);
    assert!(serde_json::to_value(&report).expect("JSON")["loss"].is_null());
}

/// With logits 200, 50 and 40, the probabilities of the last two classes are both 0 in 32 bits.
#[test]
fn predictions_and_top_k_are_those_of_the_logits() {
    let test = Test {
        predicted: vec![1, 0],
        ..Test::new(&["a", "b", "c"], &[(1, &[0.5, 0.5, 0.0]), (2, &[1.0, 0.0, 0.0])])
    };
    let top_k = [TopK { k: 2, accuracy: 0.5 }];
    let report = TestReport::new(&Tested { top_k: &top_k, ..test.tested() }).expect("a report");
    assert_eq!(report.confusion, [[0, 0, 0], [0, 1, 0], [1, 0, 0]]);
    assert_eq!(report.accuracy, 0.5);
    assert_eq!(report.top_k, top_k);
}

#[test]
fn confused_pairs_are_sorted_by_count() {
    let report = report(&with_confusion([[9, 2, 5], [0, 9, 2], [7, 0, 9]]));
    let pairs = report.confused_pairs();
    let pairs: Vec<_> = pairs.iter().map(|pair| (pair.label, pair.predicted, pair.count)).collect();
    assert_eq!(pairs, [(2, 0, 7), (0, 2, 5), (0, 1, 2), (1, 2, 2)]);
}

/// Image i of 1,000 has class i, and the predicted class is i, except for some.
fn thousand_classes() -> Test {
    let names: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let predicted = |class: usize| match class {
        // Class 4 is never predicted.
        4 => 5,
        10..13 => 500,
        _ => class,
    };
    let rows: Vec<Vec<f32>> = (0..1000)
        .chain([999, 10])
        .map(|class| {
            let mut row = vec![0.0; 1000];
            row[predicted(class)] = 1.0;
            row
        })
        .collect();
    let labels = (0_u16..1000).chain([998, 10]);
    let images: Vec<(u16, &[f32])> = labels.zip(rows.iter().map(Vec::as_slice)).collect();
    Test::new(&names, &images)
}

#[test]
fn of_a_thousand_classes_the_confused_ones_are_listed() {
    let test = thousand_classes();
    let report = report(&test);
    assert!(report.confusion.is_empty());
    let pairs: Vec<_> =
        report.confused.iter().map(|pair| (pair.label, pair.predicted, pair.count)).collect();
    assert_eq!(pairs, [(10, 500, 2), (4, 5, 1), (11, 500, 1), (12, 500, 1), (998, 999, 1)]);
    assert_eq!(report.confused_pairs(), report.confused);
    assert_eq!(report.accuracy, 996.0 / 1002.0);
    let counts = |class| {
        let counts = report.counts(class).expect("a class");
        (counts.hits, counts.predicted, counts.support)
    };
    assert_eq!(counts(0), (1, 1, 1));
    assert_eq!(counts(4), (0, 0, 1));
    assert_eq!(counts(5), (1, 2, 1));
    assert_eq!(counts(10), (0, 0, 2));
    assert_eq!(counts(500), (1, 5, 1));
    assert_eq!(counts(998), (1, 1, 2));
    assert_eq!(report.counts(1000), None);
    assert_eq!(
        report.notes,
        [
            "no precision for class 4, class 10, class 11, class 12: never predicted; averages exclude it"
        ]
    );

    let runs = directory();
    let run = finished(runs.path());
    std::fs::write(run.report_path(), report.to_json().expect("JSON")).expect("written");
    assert_eq!(run.read_report().expect("read"), Some(report.clone()));
    let json = report.to_json().expect("JSON").replace("\"label\": 998", "\"label\": 1000");
    std::fs::write(run.report_path(), json).expect("written");
    let error = run.read_report().expect_err("no such class").to_string();
    assert!(error.contains("it has the classes 1000 and 999, but there are 1000"), "{error}");
}

#[test]
fn notes_about_many_classes_name_some_of_them() {
    let mut test = thousand_classes();
    test.labels.truncate(3);
    test.predicted.truncate(3);
    test.probabilities.truncate(3000);
    let notes = report(&test).notes;
    let names = "class 3, class 4, class 5, class 6, class 7, class 8, class 9, class 10, class 11, \
                 class 12 and 987 other classes";
    assert_eq!(notes[0], format!("no precision for {names}: never predicted; averages exclude it"));
}

#[test]
fn inconsistent_data_is_refused() {
    let good = test();
    let tested = good.tested();
    let names: Vec<String> = (0..=65_536).map(|class| format!("class {class}")).collect();
    let beyond = [0, 0, 0, 0, 0, 0, 0, 3];
    let with = |at: usize, value: f32| {
        let mut probabilities = good.probabilities.clone();
        probabilities[at] = value;
        probabilities
    };
    let (nan, negative, large) = (with(4, f32::NAN), with(0, -0.5), with(23, 1.5));
    for (tested, problem) in [
        (Tested { class_names: &[], ..tested }, "there are no images or no classes"),
        (Tested { labels: &[], probabilities: &[], ..tested }, "there are no images or no classes"),
        (Tested { class_names: &names, ..tested }, "65537 classes; at most 65536 are supported"),
        (
            Tested { labels: &[0, 1], ..tested },
            "2 images of 3 classes need 2 × 3 probabilities, not 24",
        ),
        (Tested { labels: &beyond, ..tested }, "image 7 has label 3, but there are only 3 classes"),
        (Tested { probabilities: &nan, ..tested }, "NaN is not a probability (image 1, class 1)"),
        (
            Tested { probabilities: &negative, ..tested },
            "-0.5 is not a probability (image 0, class 0)",
        ),
        (Tested { probabilities: &large, ..tested }, "1.5 is not a probability (image 7, class 2)"),
        (Tested { predicted: &[0], ..tested }, "8 images need 8 predicted classes, not 1"),
        (
            Tested { predicted: &[2; 8], ..tested },
            "image 0 is predicted as class 2, which is not the most probable",
        ),
        (
            Tested { predicted: &[3; 8], ..tested },
            "image 0 is predicted as class 3, which is not the most probable",
        ),
    ] {
        let error = TestReport::new(&tested).expect_err(problem);
        assert!(matches!(error, StoreError::Inconsistent(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("test report: {problem}"));
    }
    // A softmax may round to slightly more than 1.
    let rounded = with(0, 1.000_1);
    TestReport::new(&Tested { probabilities: &rounded, ..tested }).expect("a report");
}

proptest! {
    /// The reference counts image by image, and computes F1 as the harmonic mean of precision and recall.
    #[test]
    fn metrics_agree_with_counting(
        pairs in prop::collection::vec((0_u16..4, 0_usize..4), 1..40),
    ) {
        let mut confusion = [[0; 4]; 4];
        for (label, predicted) in &pairs {
            confusion[usize::from(*label)][*predicted] += 1;
        }
        let report = report(&with_confusion(confusion));
        let share = |of: &dyn Fn(u16, usize) -> bool, among: &dyn Fn(u16, usize) -> bool| {
            let among: Vec<_> = pairs.iter().filter(|(l, p)| among(*l, *p)).collect();
            let hits = among.iter().filter(|(l, p)| of(*l, *p)).count();
            (!among.is_empty()).then(|| hits as f64 / among.len() as f64)
        };
        for (class, numbers) in report.per_class.iter().enumerate() {
            let (is, taken) = (|l: u16, _: usize| usize::from(l) == class, |_: u16, p: usize| p == class);
            let (precision, recall) = (share(&is, &taken), share(&taken, &is));
            prop_assert!(close(numbers.precision, precision));
            prop_assert!(close(numbers.recall, recall));
            if let (Some(precision), Some(recall)) = (precision, recall) {
                let sum = precision + recall;
                let f1 = if sum == 0.0 { 0.0 } else { 2.0 * precision * recall / sum };
                prop_assert!(close(numbers.f1, Some(f1)));
            }
        }
        let right = share(&|l, p| usize::from(l) == p, &|_, _| true);
        prop_assert!(close(Some(report.accuracy), right));
        // The mean of recall, weighted by support, is the accuracy.
        prop_assert!(close(report.weighted_average.recall, right));
    }
}
