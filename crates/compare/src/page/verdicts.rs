//! Sentences about verdicts.

use kiln_store::number::decimals;

use crate::comparison::Comparison;
use crate::verdict::{Accuracy, BaselineChoice, Method, Verdict, VerdictOutcome};

/// A verdict as the end of the sentence "It is …": "worse by 0.0034: interval −0.0056 to −0.0012, p = 0.0031, Welch’s t over seeds".
pub(super) fn words(verdict: &Verdict) -> String {
    let difference = decimals(Some(verdict.difference.abs()), 4);
    let mut words = match verdict.outcome {
        VerdictOutcome::Better => format!("better by {difference}: "),
        VerdictOutcome::Worse => format!("worse by {difference}: "),
        VerdictOutcome::NotDistinguishable => {
            format!("not distinguishable from it: difference {}, ", signed(verdict.difference))
        }
    };
    if let Some((low, high)) = verdict.interval {
        words.push_str(&format!("interval {} to {}, ", signed(low), signed(high)));
    }
    words + &format!("{}, {}", p_value(verdict.p_value), method(verdict))
}

/// A difference with its sign. The minus is U+2212, which is as wide as a plus.
pub(super) fn signed(value: f64) -> String {
    let digits = decimals(Some(value.abs()), 4);
    let is_zero = digits.chars().all(|c| matches!(c, '0' | '.'));
    match (is_zero, value < 0.0) {
        (true, _) => digits,
        (false, true) => format!("−{digits}"),
        (false, false) => format!("+{digits}"),
    }
}

pub(super) fn p_value(value: f64) -> String {
    if value < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {value:.4}") }
}

fn method(verdict: &Verdict) -> &'static str {
    match (verdict.method, verdict.accuracy) {
        (Method::Welch, Accuracy::Validation) => "Welch’s t over the seeds’ val_accuracy",
        (Method::Welch, Accuracy::Test) => "Welch’s t over the seeds’ test accuracy",
        (Method::McNemar, _) => "exact McNemar over test images",
    }
}

/// The paragraphs that explain the verdicts of the page.
pub(super) fn explanation(comparison: &Comparison) -> Vec<String> {
    let verdicts: Vec<&Verdict> = comparison
        .combinations
        .iter()
        .filter_map(|combination| combination.verdict.as_ref())
        .collect();
    let mut paragraphs = Vec::new();
    match &comparison.baseline {
        Some(baseline) if !verdicts.is_empty() => {
            let label = comparison
                .combinations
                .get(baseline.combination)
                .map(|combination| combination.label(&comparison.columns))
                .unwrap_or_default();
            let chosen = match baseline.chosen {
                BaselineChoice::Given => "the given baseline",
                BaselineChoice::Best => "the best by validation",
            };
            paragraphs.push(format!(
                "A verdict says whether the accuracy of a combination differs from that of {label}, {chosen}: better, worse, \
                  or not distinguishable. “Not distinguishable” does not mean equal."
            ));
            paragraphs.push(correction(baseline.level, baseline.comparisons, baseline.chosen));
        }
        _ => paragraphs.push(
            "There are no verdicts: they need two combinations that were tested on the same images."
                .to_owned(),
        ),
    }
    if verdicts.iter().any(|verdict| verdict.method == Method::Welch) {
        paragraphs.push(
            format!(
                "Welch’s t test compares the seeds of both, two or more on each side. It compares {}, or test accuracy if \
                 not all runs were validated on the same images. It covers the variation between seeds, but not the choice \
                 of the images.",
                comparison.ranking.heading()
            ),
        );
    }
    if verdicts.iter().any(|verdict| verdict.method == Method::McNemar) {
        paragraphs.push(
            "The exact McNemar test compares one run of each on the test set, image by image: it counts the images that only \
             one of the two classified correctly. It covers the choice of the test images, but not the variation between \
             seeds."
                .to_owned(),
        );
    }
    paragraphs.extend(comparison.notes.iter().cloned());
    paragraphs
}

fn correction(level: f64, comparisons: usize, chosen: BaselineChoice) -> String {
    let percent = kiln_store::number::significant(level * 100.0);
    if comparisons <= 1 {
        return format!(
            "If there is no difference, the verdict is wrong in at most {percent}% of cases. The interval has the same level."
        );
    }
    let why = match chosen {
        BaselineChoice::Given => "each with the baseline",
        BaselineChoice::Best => "all pairs, because the baseline was chosen from the results",
    };
    format!(
        "If no combinations differ, at least one verdict of the page is wrong in at most {percent}% of cases: p-values \
         and intervals are Bonferroni-corrected for {comparisons} comparisons ({why})."
    )
}
