use std::path::Path;

use kiln_store::Status;
use kiln_store::number::decimals;

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::measures::by_importance;
use crate::ranking::Ranking;
use crate::verdict::Baseline;

use super::verdicts;
use super::words::counted;

/// The page's first section: the best combination by validation, and how sure that is.
pub(super) struct Answer {
    pub(super) kicker: &'static str,
    pub(super) combination: String,
    pub(super) facts: Vec<Fact>,
    pub(super) sentences: Vec<String>,
    /// What repeats it.
    pub(super) command: String,
}

/// A number of the answer.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Over seeds; empty where there is one.
    pub(super) deviation: String,
}

impl Answer {
    /// `None` where nothing was validated.
    pub(super) fn new(comparison: &Comparison) -> Option<Self> {
        let first = comparison.selected().or(comparison.combinations.first())?;
        comparison.ranking.of(first)?;
        let run = first.runs.iter().find(|run| run.status == Status::Finished);
        let run = run.or(first.runs.first())?;
        let judged = by_importance().into_iter().filter(|measure| measure.better.is_some());
        let mut facts: Vec<Fact> = judged
            .filter_map(|measure| {
                let spread = measure.of(first)?;
                Some(Fact {
                    name: measure.heading,
                    value: measure.format.mean(spread.mean, spread.count),
                    deviation: measure.format.deviation(spread),
                })
            })
            .collect();
        let runs = first.runs.len().to_string();
        facts.push(Fact { name: "runs", value: runs, deviation: String::new() });
        Some(Self {
            kicker: if first.finished() > 0 {
                "Best by validation"
            } else {
                "Best by validation so far; none of its runs is finished"
            },
            combination: first.label(&comparison.columns),
            facts,
            sentences: sentences(comparison, first),
            command: command(run),
        })
    }
}

fn sentences(comparison: &Comparison, first: &Combination) -> Vec<String> {
    let mut sentences = Vec::new();
    let place = comparison.combinations.iter().position(|one| std::ptr::eq(one, first));
    let next = place.and_then(|place| comparison.combinations.get(place + 1));
    if let (Some(place), Some(next)) = (place, next) {
        sentences.extend(behind(
            &comparison.ranking,
            first,
            next,
            &next.label(&comparison.columns),
        ));
        let is_baseline = |baseline: &Baseline| baseline.combination == place;
        if comparison.baseline.as_ref().is_some_and(is_baseline) {
            sentences.push(match &next.verdict {
                Some(verdict) => format!("It is {}.", verdicts::words(verdict)),
                None => "Nothing can be said about whether their difference is noise.".to_owned(),
            });
        }
    }
    if let Some(baseline) = comparison.baseline
        && let (Some(verdict), Some(other)) =
            (&first.verdict, comparison.combinations.get(baseline.combination))
    {
        sentences.push(format!(
            "Against the baseline, {}, the best is {}.",
            other.label(&comparison.columns),
            verdicts::words(verdict)
        ));
    }
    let runs = first.runs.len();
    if runs == 1 {
        let words = "It ran with one seed: how much another seed would change is not known.";
        sentences.push(words.to_owned());
    } else if (1..runs).contains(&first.finished()) {
        sentences.push(format!("Of its {}, {} finished.", counted(runs, "run"), first.finished()));
    }
    sentences
}

/// How far the next combination is behind, by the metric that ranks.
fn behind(
    ranking: &Ranking,
    first: &Combination,
    next: &Combination,
    label: &str,
) -> Option<String> {
    let metric = &ranking.metric;
    let ahead = ranking.of(first)?.mean - ranking.of(next)?.mean;
    let amount = decimals(Some(ahead.abs()), 4);
    let is_ahead = ranking.better(std::slice::from_ref(first)).improves(ahead, 0.0, 0.0);
    Some(if is_ahead {
        format!("The next, {label}, is behind by {amount} of {metric}.")
    } else if ahead != 0.0 {
        // A combination with unfinished runs can have the better value: finished ones are ranked before it.
        format!(
            "The next, {label}, is better by {amount} of {metric}, but not all of its runs finished."
        )
    } else {
        format!("The next, {label}, has the same {metric}.")
    })
}

/// `kiln run` on the run's configuration, fit for a shell.
fn command(run: &RunSummary) -> String {
    format!("kiln run {}", quoted(&run.directory.config_path()))
}

fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@:,%".contains(c);
    if text.chars().all(is_plain) && !text.starts_with('-') {
        text.into_owned()
    } else if text.starts_with('-') {
        format!("'./{}'", text.replace('\'', "'\\''"))
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted(Path::new("runs/a/b/config.toml")), "runs/a/b/config.toml");
        assert_eq!(quoted(Path::new("my runs/a'b")), "'my runs/a'\\''b'");
        assert_eq!(quoted(Path::new("-x/$(y)")), "'./-x/$(y)'");
    }
}
