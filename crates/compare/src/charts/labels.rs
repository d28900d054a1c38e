//! The labels of settings and runs in charts.

use std::collections::HashMap;

use kiln_report::short_names;
use kiln_store::Status;
use kiln_store::number::decimals;

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::measures::Format;
use kiln_statistics::Spread;

/// The largest numbers of characters of a setting's value in labels that are too long, one after the other until all
/// labels fit.
const VALUE_LENGTHS: [usize; 3] = [56, 44, 32];

/// The index of a column by its key.
pub(super) fn column(comparison: &Comparison, key: &str) -> Option<usize> {
    comparison.columns.iter().position(|column| column.key == key)
}

/// The value of a setting as a number, if it is a finite one.
pub(crate) fn number(setting: Option<&str>) -> Option<f64> {
    setting?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The distinct values of a column: numbers ascending, then other values in the order of the combinations.
pub(crate) fn values(comparison: &Comparison, column: usize) -> Vec<Option<&str>> {
    let mut values: Vec<Option<&str>> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for combination in &comparison.combinations {
        let value = setting(combination, column);
        if known.insert(value) {
            values.push(value);
        }
    }
    values.sort_by(|left, right| match (number(*left), number(*right)) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        (left, right) => right.is_some().cmp(&left.is_some()),
    });
    values
}

/// Whether this is the combination that is best by validation.
pub(crate) fn is_selected(comparison: &Comparison, index: usize) -> bool {
    let selected = comparison.selected();
    selected
        .zip(comparison.combinations.get(index))
        .is_some_and(|(one, other)| std::ptr::eq(one, other))
}

/// Whether the combination may be the best one.
pub(crate) fn may_be_best(comparison: &Comparison, index: usize) -> bool {
    let standing = comparison.combinations.get(index).and_then(|combination| combination.standing);
    // If all may be the best, a mark says nothing.
    let says_something =
        comparison.answer.as_ref().is_some_and(|answer| answer.possible_winners < answer.judged);
    says_something && standing.is_some_and(|standing| standing.may_be_best)
}

/// The settings of each combination, with long texts cut so that the values of a setting stay distinguishable.
pub(super) fn short_values(comparison: &Comparison, longest: usize) -> Vec<Vec<Option<String>>> {
    let mut all: Vec<Vec<Option<String>>> =
        comparison.combinations.iter().map(|combination| combination.settings.clone()).collect();
    for column in 0..comparison.columns.len() {
        let values: Vec<&str> = values(comparison, column).into_iter().flatten().collect();
        let short = short_names(&values, longest);
        let places: HashMap<&str, usize> =
            values.iter().enumerate().map(|(place, value)| (*value, place)).collect();
        for (combination, settings) in comparison.combinations.iter().zip(&mut all) {
            let place = setting(combination, column).and_then(|value| places.get(value));
            if let Some(place) = place {
                settings[column] = Some(short[*place].clone());
            }
        }
    }
    all
}

/// A label for each combination, of at most `longest` characters if that is possible without losing what
/// distinguishes them.
pub(super) fn short_labels(comparison: &Comparison, longest: usize) -> Vec<String> {
    let combinations = &comparison.combinations;
    let labels: Vec<String> =
        combinations.iter().map(|combination| combination.label(&comparison.columns)).collect();
    let fits = |labels: &[String]| labels.iter().all(|label| label.chars().count() <= longest);
    if fits(&labels) {
        return labels;
    }
    let shorter = VALUE_LENGTHS.map(|value| -> Vec<String> {
        let values = short_values(comparison, value);
        let pairs = combinations.iter().zip(&values);
        pairs.map(|(it, values)| it.label_with(&comparison.columns, values)).collect()
    });
    let [.., shortest] = &shorter;
    shorter.iter().find(|labels| fits(labels)).unwrap_or(shortest).clone()
}

pub(super) fn setting(combination: &Combination, column: usize) -> Option<&str> {
    combination.settings.get(column).and_then(Option::as_deref)
}

/// The value, or "not set".
pub(super) fn name(value: Option<&str>) -> String {
    value.unwrap_or("not set").to_owned()
}

/// The runs of a combination that did not finish: "diverged", "1 of 3 pruned"; `None` if all finished.
pub(super) fn unfinished(combination: &Combination) -> Option<String> {
    let all = combination.runs.len();
    let mut counts: Vec<(Status, usize)> = Vec::new();
    for run in combination.runs.iter().filter(|run| run.status != Status::Finished) {
        match counts.iter_mut().find(|(status, _)| *status == run.status) {
            Some((_, count)) => *count += 1,
            None => counts.push((run.status, 1)),
        }
    }
    let words = counts.iter().map(|(status, count)| match *count {
        count if count == all => status.to_string(),
        count => format!("{count} of {all} {status}"),
    });
    Some(words.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty())
}

/// A mean over seeds as text: "0.8794 ± 0.0006 (3 seeds)"; the number alone if there is one seed.
pub(super) fn spread_words(spread: Spread, format: Format) -> String {
    let mean = decimals(Some(spread.mean), format.decimals());
    match spread.deviation {
        Some(deviation) => {
            let deviation = decimals(Some(deviation), format.decimals());
            format!("{mean} ± {deviation} ({} seeds)", spread.count)
        }
        None => mean,
    }
}

/// A label that distinguishes a run from others: "learning_rate 0.1, seed 2".
pub(super) fn run_words(
    comparison: &Comparison,
    combination: &Combination,
    run: &RunSummary,
) -> String {
    let unfinished = match run.status {
        Status::Finished => String::new(),
        _ => format!(", {}", run.status_words()),
    };
    format!("{}, seed {}{unfinished}", combination.label(&comparison.columns), run.seed)
}
