use std::collections::BTreeSet;

use kiln_store::escape::control;
use kiln_store::number::decimals;
use kiln_store::{Status, grouped};

use crate::answer::NextStep;
use crate::cells::outward;
use crate::combination::{Combination, RunSummary};
use crate::comparison::{Comparison, SelectedTest};
use crate::judge::same_images;
use crate::metric::AtEpoch;

/// The number of skipped directories that are listed.
const MAX_LISTED: usize = 10;

/// Notes for the reader of the table, one line each: what ranks the rows, which may be the best, what the
/// verdicts compare, and which directories were skipped. The notes are separate from the table, so that CSV, Markdown and JSON
/// contain nothing else.
#[must_use]
pub fn notes(comparison: &Comparison) -> String {
    let mut lines = about_rows(comparison);
    lines.extend(answer(comparison));
    lines.extend(optimism(comparison));
    lines.extend(verdicts(comparison));
    lines.extend(comparison.notes.iter().cloned());
    lines.extend(next_step(comparison));
    lines.extend(about_runs(comparison));
    text(&lines)
}

/// The [`notes`] for a table with one row per run, which has neither an answer nor verdicts.
#[must_use]
pub fn run_notes(comparison: &Comparison) -> String {
    let mut lines = about_rows(comparison);
    lines.extend(about_runs(comparison));
    text(&lines)
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", control(line))).collect()
}

fn about_rows(comparison: &Comparison) -> Vec<String> {
    let mut lines = vec![head(comparison)];
    lines.extend(kept_epochs(comparison));
    lines.extend(selection(comparison));
    lines.extend(unequal_validation(comparison));
    lines
}

fn about_runs(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(copies(comparison));
    if comparison.runs().any(|run| run.status == Status::Running) {
        lines.push(
            "A run with status `running` is still training, or its process was killed.".to_owned(),
        );
    }
    lines.extend(unreadable_notes(comparison));
    lines.extend(other_data(comparison));
    lines.extend(skipped(comparison));
    lines
}

fn head(comparison: &Comparison) -> String {
    let combinations = &comparison.combinations;
    let count = |count: usize, one: &str, many: &str| {
        format!("{} {}", grouped(count as u64), if count == 1 { one } else { many })
    };
    let runs = count(comparison.runs().count(), "run", "runs");
    let rows = count(combinations.len(), "combination", "combinations");
    let any_finished = combinations.iter().any(|combination| combination.finished() > 0);
    let ranking = comparison.ranking.heading();
    let order = if comparison.is_ranked() && any_finished {
        format!("ranked by {ranking} of finished runs; test results are not used for ranking")
    } else if comparison.is_ranked() {
        format!("ranked by {ranking} so far, because no run is finished")
    } else {
        format!("ordered by settings, because no run has a {}", comparison.ranking.metric())
    };
    let spread = if combinations.iter().any(|combination| combination.runs.len() > 1) {
        " Numbers are mean ± standard deviation (runs)."
    } else {
        ""
    };
    format!("{runs} in {rows}, {order}.{spread}")
}

/// Which epoch the kept weights are of.
fn kept_epochs(comparison: &Comparison) -> Option<String> {
    let ranking = &comparison.ranking;
    if ranking.at() != AtEpoch::Kept || !comparison.is_ranked() {
        return None;
    }
    let is_kept_at = |at| {
        comparison.runs().all(|run| {
            run.metric(ranking.metric(), at) == run.metric(ranking.metric(), AtEpoch::Kept)
        })
    };
    let metric = ranking.metric();
    // A run of one epoch keeps it in both ways.
    Some(if is_kept_at(AtEpoch::Last) {
        format!(
            "All runs keep the weights of their last epoch, so kept {metric} is that of the last epoch."
        )
    } else if is_kept_at(AtEpoch::Best) {
        format!("All runs keep the weights of their epoch with the best {metric}.")
    } else {
        format!("Kept {metric} is that of the epoch whose weights a run keeps and tests.")
    })
}

/// A warning if the runs were validated on different images.
fn unequal_validation(comparison: &Comparison) -> Option<String> {
    let first = comparison.selected().or(comparison.combinations.first())?;
    let differs = |one: &&Combination| !same_images(one, first, &comparison.columns);
    let other = comparison.combinations.iter().find(differs)?;
    comparison.is_ranked().then(|| {
        format!(
            "The runs were not all validated on the same images, for example those of {} and {}. The ranking compares values on different images.",
            first.label(&comparison.columns),
            other.label(&comparison.columns)
        )
    })
}

fn selection(comparison: &Comparison) -> Option<String> {
    let selected = comparison.selected()?;
    if comparison.combinations.len() < 2 {
        return None;
    }
    let mut words = format!("Best by validation: {}.", selected.label(&comparison.columns));
    if let Some(test) = selected_test(comparison) {
        words.push_str(&format!(" {test}"));
    }
    Some(words)
}

/// The test accuracy of the best combination, and how much the choice of the test images may change it.
pub(crate) fn selected_test(comparison: &Comparison) -> Option<String> {
    let SelectedTest { accuracy, interval, images } = comparison.selected_test()?;
    let [low, high] = outward(interval.0, interval.1);
    Some(format!(
        "Its test accuracy is {}, with an interval of {low} to {high} for the choice of the {} test images.",
        decimals(Some(accuracy), 4),
        grouped(images as u64)
    ))
}

/// Which combinations may be the best.
fn answer(comparison: &Comparison) -> Vec<String> {
    let Some(answer) = &comparison.answer else { return Vec::new() };
    let mut lines = vec![answer.sentence()];
    let metric = comparison.ranking.heading();
    let mut how = format!(
        "`behind` is how far a setting is behind the best in {metric}, as an interval at level {}.",
        answer.level
    );
    if answer.centered {
        how.push_str(" All have the same seeds, so what a seed does to all of them is subtracted.");
    }
    how.push_str(&format!(" {}", covered_variation(comparison)));
    lines.push(how);
    lines
}

/// The source of the differences between the seeds of a combination: they may include the choice of the validation
/// images.
pub(crate) fn covered_variation(comparison: &Comparison) -> &'static str {
    let several = || comparison.combinations.iter().filter(|one| one.runs.len() > 1);
    let all_have = |is_number: fn(usize, usize) -> bool| {
        several().next().is_some()
            && several().all(|one| {
                validation_images(one).is_some_and(|images| is_number(images.len(), one.runs.len()))
            })
    };
    if all_have(|images, _| images == 1) {
        "The answer covers the variation between seeds, but not the choice of the validation images: they are the same for all seeds."
    } else if all_have(|images, runs| images == runs) {
        "The answer covers the variation between seeds, and with it the choice of the validation images: each seed has others, because data.split_seed is not set."
    } else {
        "The answer covers the variation between seeds, but not the choice of the validation images."
    }
}

/// The different sets of validation images of the seeds; `None` if a record does not say which they are.
fn validation_images(combination: &Combination) -> Option<BTreeSet<&str>> {
    combination.runs.iter().map(|run| run.validation_fingerprint.as_deref()).collect()
}

/// The next step, followed by its command.
fn next_step(comparison: &Comparison) -> Vec<String> {
    let Some(NextStep { sentence, command }) = comparison.next_step() else { return Vec::new() };
    std::iter::once(sentence).chain(command.map(|command| format!("  {command}"))).collect()
}

/// How much too high the ranked values are because each run's epoch was chosen by them.
pub(crate) fn optimism(comparison: &Comparison) -> Option<String> {
    let found = comparison.optimism()?;
    let direction = if found.mean < 0.0 { "lower" } else { "higher" };
    Some(format!(
        "Choosing each run's epoch by the validation images makes {} {} {direction} than on other images, on average (cross-fitting in {} runs). Choosing the best setting adds to that.",
        comparison.ranking.heading(),
        decimals(Some(found.mean.abs()), 4),
        grouped(found.count as u64)
    ))
}

/// How verdicts compare with the baseline that was asked for.
fn verdicts(comparison: &Comparison) -> Vec<String> {
    let Some(baseline) = comparison.baseline.filter(|baseline| baseline.comparisons > 0) else {
        return Vec::new();
    };
    let against = comparison.combinations.get(baseline.combination);
    let against = against.map(|one| one.label(&comparison.columns)).unwrap_or_default();
    let count = match baseline.comparisons {
        1 => String::new(),
        count => format!(", corrected for {} comparisons", grouped(count as u64)),
    };
    vec![format!(
        "Verdicts compare {} with {against}. They show the difference and its interval at level {}{count}.",
        comparison.compared_metric(),
        baseline.level
    )]
}

/// How many runs are copies of others, and whether the results of some differ.
fn copies(comparison: &Comparison) -> Vec<String> {
    let copies: usize = comparison.combinations.iter().map(|one| one.copies.len()).sum();
    if copies == 0 {
        return Vec::new();
    }
    let mut lines = vec![match copies {
        1 => "1 run has the settings, seed and data of another one and does not count.".to_owned(),
        _ => format!(
            "{} runs have the settings, seed and data of others and do not count.",
            grouped(copies as u64)
        ),
    }];
    let of = |run: &RunSummary| comparison.ranking.of_run(run);
    let different = comparison.combinations.iter().find_map(|one| {
        let finished = |run: &&RunSummary| run.status == Status::Finished;
        let copies = one.copies.iter().filter(finished);
        copies.into_iter().find_map(|copy| {
            let run = one.runs.iter().filter(finished).find(|run| run.seed == copy.seed)?;
            (of(run) != of(copy)).then_some((run, copy))
        })
    });
    if let Some((run, copy)) = different {
        lines.push(format!(
            "But {} and {} have different results: another version, engine or machine computed them, or a file was edited. The first one counts.",
            run.directory.path().display(),
            copy.directory.path().display()
        ));
    }
    lines
}

/// The runs that are on other data.
fn other_data(comparison: &Comparison) -> Option<String> {
    let names: Vec<String> = comparison.other_data.iter().map(Comparison::data_name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "These runs used {}. Runs on other data are not compared with them: {}.",
            comparison.data_name(),
            names.join(", ")
        )
    })
}

/// The user's notes and tags that cannot be read.
/// The runs whose notes and tags cannot be read.
pub(crate) fn unreadable_notes(comparison: &Comparison) -> Vec<String> {
    let problems = comparison.runs().filter_map(RunSummary::notes_problem);
    problems.take(MAX_LISTED).map(|problem| format!("Without note and tags: {problem}.")).collect()
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
