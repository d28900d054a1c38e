//! The metrics, compared with values computed by hand and with scikit-learn's.

use kiln_data::Mix;
use kiln_store::{TestReport, Tested, TestedWeights};
use kiln_train::{Metrics, Targets};
use serde_json::Value;

use crate::common::declaration;

fn metrics(overrides: &[&str], classes: usize) -> Metrics {
    Metrics::new(&declaration(overrides).experiment, classes)
}

fn smoothed(label_smoothing: f64, classes: usize) -> Metrics {
    metrics(&[&format!("loss={{label_smoothing={label_smoothing}}}")], classes)
}

fn assert_close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6, "{value}, expected {expected}");
}

#[test]
fn equal_logits_have_the_logarithm_of_the_classes_as_loss() {
    let mut metrics = smoothed(0.0, 10);
    assert_close(metrics.add_batch(&[3.0; 10], &[7]), 10_f64.ln());
    assert_close(metrics.loss(), 10_f64.ln());
}

#[test]
fn the_loss_is_minus_the_log_probability_of_the_true_class() {
    // Probabilities 1/2, 1/3, 1/6.
    let logits = [6_f32.ln() - 2_f32.ln(), 6_f32.ln() - 3_f32.ln(), 0.0];
    assert_close(smoothed(0.0, 3).add_batch(&logits, &[1]), 3_f64.ln());
    // 0.7 + 0.3/3 on the true class, 0.1 on each other.
    let expected = 0.8 * 3_f64.ln() + 0.1 * 2_f64.ln() + 0.1 * 6_f64.ln();
    assert_close(smoothed(0.3, 3).add_batch(&logits, &[1]), expected);
}

#[test]
fn mixed_labels_have_the_weighted_loss_and_count_as_the_heavier_label() {
    // Probabilities 1/2, 1/3, 1/6, twice.
    let logits = [6_f32.ln() - 2_f32.ln(), 6_f32.ln() - 3_f32.ln(), 0.0];
    let logits = [logits, logits].concat();
    let mix = [Mix { label: 1, weight: 0.25 }, Mix { label: 2, weight: 0.75 }];
    let mut metrics = smoothed(0.0, 3);
    let loss =
        metrics.add_batch(&logits, Targets { labels: &[0, 0], mix: &mix, class_weights: &[] });
    let first = 0.75 * 2_f64.ln() + 0.25 * 3_f64.ln();
    let second = 0.25 * 2_f64.ln() + 0.75 * 6_f64.ln();
    assert_close(loss, (first + second) / 2.0);
    // The first image counts as class 0, which is predicted, the second as class 2.
    assert_eq!(metrics.value("accuracy"), Some(0.5));
}

#[test]
fn an_evaluation_reports_the_loss_without_and_with_label_smoothing() {
    // Probabilities 1/2, 1/3, 1/6; 0.7 + 0.3/3 on the true class, 0.1 on each other.
    let logits = [6_f32.ln() - 2_f32.ln(), 6_f32.ln() - 3_f32.ln(), 0.0];
    let with_smoothing = 0.8 * 3_f64.ln() + 0.1 * 2_f64.ln() + 0.1 * 6_f64.ln();
    let evaluated = |label_smoothing: &str| {
        let overrides = [format!("loss={{label_smoothing={label_smoothing}}}")];
        let experiment = declaration(&overrides.each_ref().map(String::as_str)).experiment;
        let mut metrics = Metrics::of_evaluation(&experiment, 3);
        metrics.add_batch(&logits, &[1]);
        metrics
    };
    let smoothed = evaluated("0.3");
    assert_close(smoothed.loss(), 3_f64.ln());
    assert_close(smoothed.value("smoothed_loss").unwrap(), with_smoothing);
    let plain = evaluated("0.0");
    assert_eq!(plain.loss().to_bits(), smoothed.loss().to_bits());
    assert_eq!(plain.value("smoothed_loss"), None);
}

#[test]
fn large_logits_do_not_overflow() {
    let mut metrics = smoothed(0.0, 2);
    assert_close(metrics.add_batch(&[1e30, 0.0], &[0]), 0.0);
    assert_close(metrics.add_batch(&[1000.0, 0.0], &[1]), 1000.0);
}

#[test]
fn logits_that_are_nan_give_no_loss_and_a_wrong_prediction() {
    let mut metrics = metrics(&["top_k=[2]", "metrics=['macro_f1','balanced_accuracy']"], 3);
    assert!(metrics.add_batch(&[f32::NAN, f32::NAN, f32::NAN], &[1]).is_nan());
    assert!(metrics.loss().is_nan());
    assert_eq!(metrics.value("loss"), None);
    for name in ["accuracy", "top_2_accuracy", "macro_f1", "balanced_accuracy"] {
        assert_eq!(metrics.value(name), Some(0.0), "{name}");
    }
}

#[test]
fn samples_count_the_same_in_batches_of_any_size() {
    let mut metrics = smoothed(0.0, 2);
    metrics.add_batch(&[1000.0, 0.0, 1000.0, 0.0, 1000.0, 0.0], &[0, 0, 0]);
    metrics.add_batch(&[1000.0, 0.0], &[1]);
    assert_close(metrics.loss(), 250.0);
    assert_eq!(metrics.value("accuracy"), Some(0.75));
}

#[test]
fn top_k_counts_the_true_class_among_the_k_largest() {
    let mut metrics = metrics(&["top_k=[2,3]"], 4);
    for label in 0..4 {
        metrics.add_batch(&[4.0, 3.0, 2.0, 1.0], &[label]);
    }
    assert_eq!(metrics.value("accuracy"), Some(0.25));
    assert_eq!(metrics.value("top_2_accuracy"), Some(0.5));
    assert_eq!(metrics.value("top_3_accuracy"), Some(0.75));
    assert_eq!(metrics.value("top_4_accuracy"), None);
}

#[test]
fn the_lower_of_two_classes_with_equal_logits_is_predicted() {
    let mut metrics = metrics(&["top_k=[2]", "metrics=['balanced_accuracy']"], 4);
    metrics.add_batch(&[0.0; 12], &[0, 1, 2]);
    assert_close(metrics.value("accuracy").unwrap(), 1.0 / 3.0);
    assert_close(metrics.value("top_2_accuracy").unwrap(), 2.0 / 3.0);
    assert_close(metrics.value("balanced_accuracy").unwrap(), 1.0 / 3.0);
}

#[test]
fn before_the_first_sample_no_metric_has_a_value() {
    let metrics = metrics(&["top_k=[2]", "metrics=['macro_f1','balanced_accuracy']"], 3);
    for name in ["loss", "accuracy", "top_2_accuracy", "macro_f1", "balanced_accuracy"] {
        assert_eq!(metrics.value(name), None, "{name}");
    }
}

#[test]
fn only_metrics_that_the_experiment_names_are_computed() {
    let computed = |overrides: &[&str]| {
        let mut metrics = metrics(overrides, 3);
        metrics.add_batch(&[1.0, 0.0, 0.0], &[0]);
        ["macro_f1", "balanced_accuracy"].map(|name| metrics.value(name).is_some())
    };
    assert_eq!(computed(&[]), [false, false]);
    assert_eq!(computed(&["metrics=['balanced_accuracy']"]), [false, true]);
    assert_eq!(computed(&["training.monitor=val_macro_f1"]), [true, false]);
    let both = ["training.monitor=macro_f1", "early_stopping.monitor=val_balanced_accuracy"];
    assert_eq!(computed(&both), [true, true]);
}

/// `class_metrics.py` next to the fixture says how scikit-learn computed it. Among the cases are classes that no sample
/// has, with and without predictions, and classes that were never predicted.
#[test]
fn macro_f1_and_balanced_accuracy_are_those_of_scikit_learn() {
    let fixture: Value =
        serde_json::from_str(include_str!("../fixtures/class_metrics.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let classes = |key: &str| -> Vec<u16> {
            let classes = case[key].as_array().unwrap().iter();
            classes.map(|class| u16::try_from(class.as_u64().unwrap()).unwrap()).collect()
        };
        let (labels, predicted) = (classes("labels"), classes("predicted"));
        let classes = usize::try_from(case["classes"].as_u64().unwrap()).unwrap();
        let mut metrics = metrics(&["metrics=['macro_f1','balanced_accuracy']"], classes);
        // In batches, because both are ratios of sums over all batches and no means over batches.
        for (labels, predicted) in labels.chunks(7).zip(predicted.chunks(7)) {
            let mut logits = vec![0.0; labels.len() * classes];
            for (row, class) in logits.chunks_exact_mut(classes).zip(predicted) {
                row[usize::from(*class)] = 1.0;
            }
            metrics.add_batch(&logits, labels);
        }
        for name in ["macro_f1", "balanced_accuracy"] {
            let (value, expected) = (metrics.value(name).unwrap(), case[name].as_f64().unwrap());
            let case = &case["name"];
            assert!((value - expected).abs() < 1e-12, "{case}: {name} {value}, not {expected}");
        }
    }
}

/// The classes of a run's history and those of its test report are averaged by the same rules.
#[test]
fn macro_f1_and_balanced_accuracy_are_those_of_the_test_report() {
    // Class 2 is absent, and class 3 is never predicted.
    let labels = [0, 0, 1, 1, 1, 3, 3, 4];
    let predicted = [0_u16, 1, 1, 1, 4, 0, 4, 4];
    let mut logits = vec![0.0; labels.len() * 5];
    for (row, class) in logits.chunks_exact_mut(5).zip(predicted) {
        row[usize::from(class)] = 1.0;
    }
    let mut metrics = metrics(&["metrics=['macro_f1','balanced_accuracy']"], 5);
    metrics.add_batch(&logits, &labels);
    let report = TestReport::new(&Tested {
        class_names: &["a", "b", "c", "d", "e"].map(str::to_owned),
        labels: &labels,
        predicted: &predicted,
        probabilities: &logits,
        loss: 0.0,
        smoothed_loss: None,
        weights: TestedWeights::Last,
        epoch: 1,
        flip: false,
        top_k: &[],
        most_frequent: None,
        optimism: None,
    });
    let average = report.unwrap().macro_average;
    assert_eq!(metrics.value("macro_f1"), average.f1);
    assert_eq!(metrics.value("balanced_accuracy"), average.recall);
}
