//! Verdicts in words.

use kiln_store::number::decimals;

use crate::comparison::Comparison;
use crate::verdict::{Accuracy, BaselineChoice, Method, Verdict, VerdictOutcome};

/// A verdict as it follows "the next is": "worse by 0.0034: interval −0.0056 to −0.0012, p = 0.0031, Welch’s t over seeds".
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

/// A verdict in a cell of a table.
pub(super) fn short(verdict: &Verdict) -> &'static str {
    match verdict.outcome {
        VerdictOutcome::Better => "better",
        VerdictOutcome::Worse => "worse",
        VerdictOutcome::NotDistinguishable => "not distinguishable",
    }
}

/// A difference with its sign: a true minus, which is as wide as a plus.
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

/// What the verdicts of the page are about, a paragraph each.
pub(super) fn explanation(comparison: &Comparison) -> Vec<String> {
    let verdicts: Vec<&Verdict> =
        comparison.combinations.iter().filter_map(|all| all.verdict.as_ref()).collect();
    let mut paragraphs = Vec::new();
    match &comparison.baseline {
        Some(baseline) if !verdicts.is_empty() => {
            let label = comparison
                .combinations
                .get(baseline.combination)
                .map(|combination| combination.label(&comparison.columns))
                .unwrap_or_default();
            let chosen = match baseline.chosen {
                BaselineChoice::Given => "the baseline that was given",
                BaselineChoice::Best => "the best by validation",
            };
            paragraphs.push(format!(
                "A verdict says whether the accuracy of a combination differs from that of {label}, {chosen}: better, worse, \
                  or not distinguishable, which does not mean that they are equal."
            ));
            paragraphs.push(correction(baseline.level, baseline.comparisons, baseline.chosen));
        }
        _ => paragraphs.push(
            "There are no verdicts: it takes two combinations that were tested on the same images."
                .to_owned(),
        ),
    }
    if verdicts.iter().any(|verdict| verdict.method == Method::Welch) {
        paragraphs.push(
            "Welch’s t test compares the seeds of both, with two or more on each side, by the best val_accuracy, or by test \
             accuracy where the runs were not all validated on the same images. It covers the noise of the seeds, and not that other images would \
             have given other numbers."
                .to_owned(),
        );
    }
    if verdicts.iter().any(|verdict| verdict.method == Method::McNemar) {
        paragraphs.push(
            "The exact McNemar test compares one run of each on the test set, image by image: of the images that one has right and the other \
             wrong, how many favour which. It covers the noise of the test images, and not that other seeds would have given \
             other numbers."
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
            "Where there is no difference, a verdict is wrong in at most {percent}% of cases; the intervals are of the same \
             level."
        );
    }
    let why = match chosen {
        BaselineChoice::Given => "each with the baseline",
        BaselineChoice::Best => "all pairs, since the best was picked by looking at the results",
    };
    format!(
        "Where there is no difference at all, any verdict of the page is wrong in at most {percent}% of cases: p values and \
         intervals are corrected for {comparisons} comparisons ({why}; Bonferroni)."
    )
}
