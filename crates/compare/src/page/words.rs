//! What the page says around its tables and pictures.

use kiln_store::Status;

use crate::comparison::Comparison;

/// As many names are in the title.
const MOST_NAMES: usize = 3;

/// The experiments' names.
pub(super) fn title(comparison: &Comparison) -> String {
    let mut names: Vec<&str> = Vec::new();
    for run in comparison.combinations.iter().flat_map(|combination| &combination.runs) {
        if !names.contains(&run.name.as_str()) {
            names.push(&run.name);
        }
    }
    match names.len() {
        0 => "No runs".to_owned(),
        1..=MOST_NAMES => names.join(", "),
        all => format!("{} and {} more", names[..MOST_NAMES].join(", "), all - MOST_NAMES),
    }
}

/// What was compared, and how.
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
        .map(|(count, status)| format!("{count} {status}"))
        .collect();
    if !counts.is_empty() {
        words.push_str(&format!(": {}", counts.join(", ")));
    }
    words.push('.');
    let labels: Vec<&str> = comparison.columns.iter().map(|column| column.label.as_str()).collect();
    if !labels.is_empty() {
        words.push_str(&format!(" They differ in {}.", listed(&labels)));
    }
    words
}

/// How the rows are ordered.
pub(super) fn ranking(comparison: &Comparison) -> String {
    if comparison.is_ranked() {
        "Ranked by the best epoch’s val_accuracy, the mean over seeds ± the sample standard deviation; combinations whose \
         runs all finished come first. The test set does not rank, it only reports."
            .to_owned()
    } else {
        "No run has a val_accuracy, so there is no ranking: the rows are ordered by their settings."
            .to_owned()
    }
}

/// What is said where nothing can be called the best.
pub(super) fn no_answer(comparison: &Comparison) -> &'static str {
    if comparison.combinations.is_empty() {
        "No run could be read."
    } else {
        "The best is chosen by validation, and no run has a val_accuracy: set data.validation to have one."
    }
}

/// "1 run", "2 runs".
pub(super) fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", kiln_store::number::grouped(count as u64))
}

/// "a", "a and b", "a, b and c".
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
