//! The sentences around the page's tables and charts.

use std::collections::HashSet;

use kiln_store::{Status, grouped};

use crate::comparison::Comparison;
use crate::notes::unreadable_notes;

/// The largest number of experiment names in the title.
const MAX_NAMES: usize = 3;

/// The names of the experiments.
pub(super) fn title(comparison: &Comparison) -> String {
    let mut known = HashSet::new();
    let names = comparison.runs().map(|run| run.name.as_str());
    let names: Vec<&str> = names.filter(|name| known.insert(*name)).collect();
    match names.len() {
        0 => "No runs".to_owned(),
        1..=MAX_NAMES => names.join(", "),
        all => format!("{} and {} more", names[..MAX_NAMES].join(", "), all - MAX_NAMES),
    }
}

/// The number of combinations and runs, their statuses, and the settings that differ.
pub(super) fn lede(comparison: &Comparison) -> String {
    let runs: Vec<_> = comparison.combinations.iter().flat_map(|all| &all.runs).collect();
    let combinations = counted(comparison.combinations.len(), "combination");
    let mut words = format!("{combinations} of settings in {}", counted(runs.len(), "run"));
    let statuses = [
        Status::Finished,
        Status::Running,
        Status::Interrupted,
        Status::Pruned,
        Status::Diverged,
        Status::Failed,
    ];
    let counts =
        statuses.map(|status| (runs.iter().filter(|run| run.status == status).count(), status));
    let counts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{} {status}", grouped(*count as u64)))
        .collect();
    if !counts.is_empty() {
        words.push_str(&format!(": {}", counts.join(", ")));
    }
    words.push('.');
    let columns = comparison.columns.iter().filter(|column| !column.is_implied());
    let labels: Vec<&str> = columns.map(|column| column.label.as_str()).collect();
    if !labels.is_empty() {
        words.push_str(&format!(" They differ in {}.", listed(&labels)));
    }
    words
}

/// How the table is ordered, and which notes of runs it does not have.
pub(super) fn about_tables(comparison: &Comparison) -> Vec<String> {
    let mut notes = vec![order(comparison)];
    notes.extend(unreadable_notes(comparison));
    notes
}

fn order(comparison: &Comparison) -> String {
    if comparison.is_ranked() {
        format!(
            "Ranked by {}: the mean over seeds ± the sample standard deviation. Combinations whose runs all finished come \
             first. Test results are not used for ranking.",
            comparison.ranking.heading()
        )
    } else {
        format!(
            "No run has a {}, so there is no ranking. The rows are ordered by their settings.",
            comparison.ranking.metric()
        )
    }
}

/// The sentence that replaces the first section if no combination is the best.
pub(super) fn no_answer(comparison: &Comparison) -> String {
    if comparison.combinations.is_empty() {
        "No run could be read.".to_owned()
    } else {
        format!(
            "The best combination is chosen by validation, and no run has a {}: set data.validation.",
            comparison.ranking.metric()
        )
    }
}

/// A label whose lines do not break between a setting and its value, unless the value is long.
pub(super) fn unbroken(label: &str) -> String {
    const LONGEST: usize = 40;
    let setting = |setting: &str| {
        let is_short = setting.chars().count() <= LONGEST;
        if is_short { setting.replace(' ', "\u{a0}") } else { setting.to_owned() }
    };
    label.split(", ").map(setting).collect::<Vec<_>>().join(", ")
}

/// "1 run", "2 runs".
pub(super) fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count as u64))
}

/// "a", "a and b", "a, b and c".
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
