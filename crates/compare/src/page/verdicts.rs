//! Sentences about verdicts.

use kiln_store::number::decimals;

use crate::comparison::Comparison;
use crate::notes::covered_variation;
use crate::verdict::{Verdict, VerdictOutcome};

/// A verdict as the end of the sentence "It is …": "worse by 0.0034: interval −0.0056 to −0.0012, p = 0.0031".
pub(super) fn words(verdict: &Verdict) -> String {
    let difference = decimals(Some(verdict.difference.abs()), 4);
    let words = match verdict.outcome {
        VerdictOutcome::Better => format!("better by {difference}: "),
        VerdictOutcome::Worse => format!("worse by {difference}: "),
        VerdictOutcome::NotDistinguishable => {
            format!("not distinguishable from it: difference {}, ", signed(verdict.difference))
        }
    };
    let (low, high) = verdict.interval;
    let p_value = p_value(verdict.p_value);
    format!("{words}interval {} to {}, {p_value}", signed(low), signed(high))
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

/// The paragraphs that explain the answer and the verdicts of the page.
pub(super) fn explanation(comparison: &Comparison) -> Vec<String> {
    let metric = comparison.ranking.heading();
    let mut paragraphs = Vec::new();
    if let Some(answer) = &comparison.answer {
        paragraphs.push(answer.sentence());
        paragraphs.push(format!(
            "A possible winner is a combination that may be the best in {metric}; the best one is among them with a \
             probability of {}. “Behind” is how far a combination is behind the best, as a simultaneous confidence interval \
             (Hsu’s multiple comparisons with the best). Only a combination that is called worse is worse than the best \
             one with the same probability for all of them together.",
            kiln_store::number::significant(1.0 - answer.level)
        ));
        paragraphs.push(format!(
            "The seeds of all combinations are compared, with variances that borrow strength from each other. {}",
            covered_variation(comparison)
        ));
    } else {
        paragraphs.push(
            "There is no answer: it needs two combinations with at least two finished seeds each."
                .to_owned(),
        );
    }
    if let Some(baseline) = comparison.baseline.filter(|baseline| baseline.comparisons > 0) {
        let label = comparison
            .combinations
            .get(baseline.combination)
            .map(|combination| combination.label(&comparison.columns))
            .unwrap_or_default();
        paragraphs.push(format!(
            "A verdict says whether a combination differs from {label}, the given baseline: better, worse, or not \
             distinguishable. “Not distinguishable” does not mean equal. P-values and intervals are corrected for {} \
             comparisons.",
            baseline.comparisons
        ));
    }
    paragraphs.extend(comparison.notes.iter().cloned());
    paragraphs
}
