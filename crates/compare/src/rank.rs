//! The order of the combinations.

use std::cmp::Ordering;

use crate::combination::Combination;

/// Sorts by validation: first those whose runs all finished, then those of which some did, then the others; in each
/// group by the mean of the best `val_accuracy`, descending, those without a value last; equals by their settings.
/// Without any value there is no ranking, and the settings alone decide.
pub(crate) fn rank(combinations: &mut [Combination]) {
    let is_ranked = is_ranked(combinations);
    combinations.sort_by(|left, right| {
        let by_validation = if is_ranked { compare(left, right) } else { Ordering::Equal };
        by_validation.then_with(|| compare_settings(&left.settings, &right.settings))
    });
}

/// Whether there is anything to rank by.
pub(crate) fn is_ranked(combinations: &[Combination]) -> bool {
    combinations.iter().any(|combination| combination.best().is_some())
}

fn compare(left: &Combination, right: &Combination) -> Ordering {
    let mean = |combination: &Combination| combination.best().map(|best| best.mean);
    group(left).cmp(&group(right)).then_with(|| descending(mean(left), mean(right)))
}

fn group(combination: &Combination) -> u8 {
    match combination.finished() {
        0 => 2,
        finished if finished < combination.runs.len() => 1,
        _ => 0,
    }
}

/// The higher number first and none last.
pub(crate) fn descending(left: Option<f64>, right: Option<f64>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => right.total_cmp(&left),
        (left, right) => right.is_some().cmp(&left.is_some()),
    }
}

/// The lower number first and none last.
pub(crate) fn ascending(left: Option<f64>, right: Option<f64>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        (left, right) => right.is_some().cmp(&left.is_some()),
    }
}

/// Column by column, numbers as numbers.
fn compare_settings(left: &[Option<String>], right: &[Option<String>]) -> Ordering {
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| compare_values(left.as_deref(), right.as_deref()))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Numbers before words, and a setting that is not there last.
pub(crate) fn compare_values(left: Option<&str>, right: Option<&str>) -> Ordering {
    let (Some(left), Some(right)) = (left, right) else {
        return right.is_some().cmp(&left.is_some());
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    ascending(number(left), number(right)).then_with(|| left.cmp(right))
}
