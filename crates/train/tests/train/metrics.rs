//! Loss, accuracy and top-k, against what one computes by hand.

use kiln_train::{LossConfig, Metrics};

fn smoothed(label_smoothing: f64) -> LossConfig {
    LossConfig::SparseCategoricalCrossentropy { label_smoothing }
}

fn assert_close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6, "{value}, expected {expected}");
}

#[test]
fn equal_logits_lose_the_logarithm_of_the_classes() {
    let mut metrics = Metrics::new(smoothed(0.0), &[]);
    assert_close(metrics.add(&[3.0; 10], &[7]), 10_f64.ln());
    assert_close(metrics.loss(), 10_f64.ln());
}

#[test]
fn the_loss_is_minus_the_log_probability_of_the_true_class() {
    // Probabilities 1/2, 1/3, 1/6.
    let logits = [6_f32.ln() - 2_f32.ln(), 6_f32.ln() - 3_f32.ln(), 0.0];
    assert_close(Metrics::new(smoothed(0.0), &[]).add(&logits, &[1]), 3_f64.ln());
    // 0.7 + 0.3/3 on the true class, 0.1 on each other.
    let expected = 0.8 * 3_f64.ln() + 0.1 * 2_f64.ln() + 0.1 * 6_f64.ln();
    assert_close(Metrics::new(smoothed(0.3), &[]).add(&logits, &[1]), expected);
}

#[test]
fn large_logits_do_not_overflow() {
    let mut metrics = Metrics::new(smoothed(0.0), &[]);
    assert_close(metrics.add(&[1e30, 0.0], &[0]), 0.0);
    assert_close(metrics.add(&[1000.0, 0.0], &[1]), 1000.0);
}

#[test]
fn a_logit_that_is_no_number_makes_the_loss_none_and_the_answer_wrong() {
    let mut metrics = Metrics::new(smoothed(0.0), &[2]);
    assert!(metrics.add(&[f32::NAN, f32::NAN, f32::NAN], &[0]).is_nan());
    assert_eq!(metrics.accuracy(), 0.0);
    assert_eq!(metrics.top_k().collect::<Vec<_>>(), [(2, 0.0)]);
}

#[test]
fn samples_count_alike_whatever_their_batch() {
    let mut metrics = Metrics::new(smoothed(0.0), &[]);
    metrics.add(&[1000.0, 0.0, 1000.0, 0.0, 1000.0, 0.0], &[0, 0, 0]);
    metrics.add(&[1000.0, 0.0], &[1]);
    assert_close(metrics.loss(), 250.0);
    assert_close(metrics.accuracy(), 0.75);
}

#[test]
fn top_k_counts_the_true_class_among_the_k_largest() {
    let mut metrics = Metrics::new(smoothed(0.0), &[2, 3]);
    let logits = [4.0, 3.0, 2.0, 1.0];
    for label in 0..4 {
        metrics.add(&logits, &[label]);
    }
    assert_close(metrics.accuracy(), 0.25);
    assert_eq!(metrics.top_k().collect::<Vec<_>>(), [(2, 0.5), (3, 0.75)]);
}

#[test]
fn of_equal_logits_the_lower_class_comes_first() {
    let mut metrics = Metrics::new(smoothed(0.0), &[2]);
    metrics.add(&[0.0; 12], &[0, 1, 2]);
    assert_close(metrics.accuracy(), 1.0 / 3.0);
    let top_2 = metrics.top_k().next().unwrap().1;
    assert_close(top_2, 2.0 / 3.0);
}
