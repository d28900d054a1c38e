use kiln_store::escape::control;
use kiln_store::{Status, grouped};

use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::verdict::{Accuracy, BaselineChoice, Method};

/// How many directories that were left out are told one by one.
const MOST_LEFT_OUT: usize = 10;

/// What a reader of the table must know, a line each: what ranks, what the verdicts are against and rest on, and what
/// was left out. It stands beside the table and not in it, so that CSV, Markdown and JSON stay clean.
#[must_use]
pub fn notes(comparison: &Comparison) -> String {
    let mut lines = vec![head(comparison)];
    lines.extend(selection(comparison));
    lines.extend(unequal_validation(comparison));
    lines.extend(verdicts(comparison));
    lines.extend(comparison.notes.iter().cloned());
    if has_repeated_seeds(comparison) {
        lines.push(
            "Some combinations have several runs of one seed, which are the same run again: numbers and verdicts take one of each seed."
                .to_owned(),
        );
    }
    if runs(comparison).any(|run| run.status == Status::Running) {
        lines.push("A run that is `running` is training, or was killed without a word.".to_owned());
    }
    lines.extend(left_out(comparison));
    lines.iter().map(|line| format!("{}\n", control(line))).collect()
}

fn runs(comparison: &Comparison) -> impl Iterator<Item = &RunSummary> {
    comparison.combinations.iter().flat_map(|combination| &combination.runs)
}

/// Runs are ordered by seed, so that equals stand side by side.
fn has_repeated_seeds(comparison: &Comparison) -> bool {
    let combinations = &comparison.combinations;
    combinations.iter().any(|it| it.runs.windows(2).any(|runs| runs[0].seed == runs[1].seed))
}

fn head(comparison: &Comparison) -> String {
    let combinations = &comparison.combinations;
    let count = |count: usize, one: &str, many: &str| {
        format!("{} {}", grouped(count as u64), if count == 1 { one } else { many })
    };
    let runs = count(runs(comparison).count(), "run", "runs");
    let rows = count(combinations.len(), "combination", "combinations");
    let any_finished = combinations.iter().any(|combination| combination.finished() > 0);
    let order = if comparison.is_ranked() && any_finished {
        "ranked by the best val_accuracy of the finished runs; the test set has no say in it"
    } else if comparison.is_ranked() {
        "ranked by the best val_accuracy so far, for none is finished"
    } else {
        "ordered by settings: without validation there is nothing to rank by"
    };
    let spread = if combinations.iter().any(|combination| combination.runs.len() > 1) {
        " Numbers are mean ± standard deviation (runs)."
    } else {
        ""
    };
    format!("{runs} in {rows}, {order}.{spread}")
}

/// That the ranking is not on equal terms, where it is not.
fn unequal_validation(comparison: &Comparison) -> Option<String> {
    let column = comparison.columns.iter().find(|column| column.key.starts_with("data."))?;
    comparison.is_ranked().then(|| {
        format!(
            "The runs differ in {}: where that changes which images validate, the ranking is not on equal terms.",
            column.key
        )
    })
}

fn selection(comparison: &Comparison) -> Option<String> {
    let selected = comparison.selected()?;
    if comparison.combinations.len() < 2 {
        return None;
    }
    Some(format!("Best by validation: {}.", selected.label(&comparison.columns)))
}

fn verdicts(comparison: &Comparison) -> Vec<String> {
    let Some(baseline) = comparison.baseline else {
        let is_missing = comparison.combinations.len() > 1;
        let line = "No verdicts: there is no tested combination that validation finds best; --baseline names one.";
        return if is_missing { vec![line.to_owned()] } else { Vec::new() };
    };
    if baseline.comparisons == 0 {
        return Vec::new();
    }
    let against = comparison
        .combinations
        .get(baseline.combination)
        .map(|combination| combination.label(&comparison.columns))
        .unwrap_or_default();
    let count = grouped(baseline.comparisons as u64);
    let (choice, comparisons) = match (baseline.chosen, baseline.comparisons) {
        (BaselineChoice::Given, 1) => ("", String::new()),
        (BaselineChoice::Best, 1) => (", the best by validation", String::new()),
        (BaselineChoice::Given, _) => ("", format!(" over {count} comparisons (Bonferroni)")),
        (BaselineChoice::Best, _) => (
            ", the best by validation",
            format!(" over all {count} pairs, for the best was picked by looking (Bonferroni)"),
        ),
    };
    let mut lines = vec![format!(
        "Verdicts are against {against}{choice}: the difference and its interval, at level {}{comparisons}.",
        baseline.level
    )];
    let has = |method, accuracy| {
        let verdicts = comparison.combinations.iter().filter_map(|it| it.verdict);
        verdicts.into_iter().any(|verdict| (verdict.method, verdict.accuracy) == (method, accuracy))
    };
    let explained = [
        (
            (Method::Welch, Accuracy::Validation),
            "Over seeds they are on the best val_accuracy, which ranks (Welch's t test): not covered is which images the validation set happens to have.",
        ),
        (
            (Method::Welch, Accuracy::Test),
            "Over seeds they are on test accuracy, for the runs were not all validated on the same images (Welch's t test): not covered is which images the test set happens to have.",
        ),
        (
            (Method::McNemar, Accuracy::Test),
            "Of one run each they are on test accuracy, image by image (McNemar's exact test): not covered is what another seed would do.",
        ),
    ];
    let explained = explained.iter().filter(|((method, accuracy), _)| has(*method, *accuracy));
    lines.extend(explained.map(|(_, words)| (*words).to_owned()));
    lines
}

fn left_out(comparison: &Comparison) -> Vec<String> {
    let all = &comparison.left_out;
    if all.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["Left out:".to_owned()];
    let shown = all.iter().take(MOST_LEFT_OUT);
    lines.extend(shown.map(|it| format!("  {}: {}", it.path.display(), it.problem)));
    if all.len() > MOST_LEFT_OUT {
        lines.push(format!("  and {} more", grouped((all.len() - MOST_LEFT_OUT) as u64)));
    }
    lines
}
