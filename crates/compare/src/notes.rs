use kiln_store::escape::control;
use kiln_store::{Status, grouped};

use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::verdict::{Accuracy, BaselineChoice, Method};

/// The number of skipped directories that are listed.
const MAX_LISTED: usize = 10;

/// What a reader of the table must know, one line each: what ranks the rows, the baseline and the method of the
/// verdicts, and which directories were skipped. The notes are separate from the table, so that CSV, Markdown and JSON
/// contain nothing else.
#[must_use]
pub fn notes(comparison: &Comparison) -> String {
    let mut lines = vec![head(comparison)];
    lines.extend(selection(comparison));
    lines.extend(unequal_validation(comparison));
    lines.extend(verdicts(comparison));
    lines.extend(comparison.notes.iter().cloned());
    if has_repeated_seeds(comparison) {
        lines.push(
            "Some combinations have several runs with the same seed. They are identical, so numbers and verdicts use one run per seed."
                .to_owned(),
        );
    }
    if runs(comparison).any(|run| run.status == Status::Running) {
        lines.push(
            "A run with status `running` is still training, or its process was killed.".to_owned(),
        );
    }
    lines.extend(skipped(comparison));
    lines.iter().map(|line| format!("{}\n", control(line))).collect()
}

fn runs(comparison: &Comparison) -> impl Iterator<Item = &RunSummary> {
    comparison.combinations.iter().flat_map(|combination| &combination.runs)
}

/// Whether a combination has two runs with the same seed. Runs are ordered by seed, so these are neighbors.
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
    let ranking = comparison.ranking.heading();
    let order = if comparison.is_ranked() && any_finished {
        format!("ranked by {ranking} of finished runs; test results are not used for ranking")
    } else if comparison.is_ranked() {
        format!("ranked by {ranking} so far, because no run is finished")
    } else {
        format!("ordered by settings, because no run has a {}", comparison.ranking.metric)
    };
    let spread = if combinations.iter().any(|combination| combination.runs.len() > 1) {
        " Numbers are mean ± standard deviation (runs)."
    } else {
        ""
    };
    format!("{runs} in {rows}, {order}.{spread}")
}

/// A warning if the runs may have been validated on different images.
fn unequal_validation(comparison: &Comparison) -> Option<String> {
    let column = comparison.columns.iter().find(|column| column.key.starts_with("data."))?;
    comparison.is_ranked().then(|| {
        format!(
            "The runs differ in {}. If that changes the validation set, the ranking compares accuracies on different images.",
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
        let line = "No verdicts: the best combination by validation was not tested, or there is none. Choose a baseline with --baseline.";
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
        (BaselineChoice::Given, _) => {
            ("", format!(", Bonferroni-corrected for {count} comparisons"))
        }
        (BaselineChoice::Best, _) => (
            ", the best by validation",
            format!(
                ", Bonferroni-corrected for all {count} pairs, because the baseline was chosen from the results"
            ),
        ),
    };
    let mut lines = vec![format!(
        "Verdicts compare with {against}{choice}. They show the difference and its interval at level {}{comparisons}.",
        baseline.level
    )];
    let has = |method, accuracy| {
        let verdicts = comparison.combinations.iter().filter_map(|it| it.verdict);
        verdicts.into_iter().any(|verdict| (verdict.method, verdict.accuracy) == (method, accuracy))
    };
    let ranking = comparison.ranking.heading();
    let explained = [
        (
            (Method::Welch, Accuracy::Validation),
            format!(
                "Verdicts over seeds use {ranking}, which ranks (Welch's t test). They do not cover the choice of the validation images."
            ),
        ),
        (
            (Method::Welch, Accuracy::Test),
            "Verdicts over seeds use test accuracy, because not all runs were validated on the same images (Welch's t test). They do not cover the choice of the test images.".to_owned(),
        ),
        (
            (Method::McNemar, Accuracy::Test),
            "Verdicts on single runs use test accuracy, image by image (McNemar's exact test). They do not cover the variation between seeds.".to_owned(),
        ),
    ];
    let explained = explained.into_iter().filter(|((method, accuracy), _)| has(*method, *accuracy));
    lines.extend(explained.map(|(_, words)| words));
    lines
}

fn skipped(comparison: &Comparison) -> Vec<String> {
    let all = &comparison.left_out;
    if all.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["Skipped:".to_owned()];
    let shown = all.iter().take(MAX_LISTED);
    lines.extend(shown.map(|it| format!("  {}: {}", it.path.display(), it.problem)));
    if all.len() > MAX_LISTED {
        lines.push(format!("  and {} more", grouped((all.len() - MAX_LISTED) as u64)));
    }
    lines
}
