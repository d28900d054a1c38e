use std::path::Path;

use kiln_store::number::decimals;
use kiln_store::{Status, quoted};

use crate::answer::{Answer, NextStep};
use crate::cells;
use crate::charts::may_be_best;
use crate::combination::Combination;
use crate::comparison::Comparison;
use crate::measures::Measure;
use crate::notes::{optimism, selected_test};
use crate::ranking::Ranking;

use super::text::{counted, unbroken};
use super::verdicts;

/// The largest number of possible winners in the list.
const MAX_WINNERS: usize = 12;

/// The first section of the page: the best combination by validation, and how certain that is.
pub(super) struct AnswerSection {
    /// Which combinations may be the best; empty if this is not known.
    pub(super) sure: String,
    /// The possible winners, unless all are.
    pub(super) winners: Vec<Winner>,
    /// How many possible winners are not listed.
    pub(super) more_winners: usize,
    pub(super) kicker: &'static str,
    pub(super) combination: String,
    pub(super) facts: Vec<Fact>,
    pub(super) sentences: Vec<String>,
    /// A next step that would tell more about which combination is the best.
    pub(super) next_step: Option<NextStep>,
    /// The command that runs it again.
    pub(super) command: String,
}

/// A combination that may be the best.
pub(super) struct Winner {
    pub(super) label: String,
    pub(super) value: String,
    /// The deviation over seeds.
    pub(super) deviation: String,
    /// Its distance to the best, as an interval.
    pub(super) behind: String,
}

/// A number in the first section.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    /// The deviation over seeds; empty if there is one seed.
    pub(super) deviation: String,
}

impl AnswerSection {
    /// `None` if no run was validated.
    pub(super) fn new(comparison: &Comparison, measures: &[Measure<'_>]) -> Option<Self> {
        let first = comparison.selected().or(comparison.combinations.first())?;
        comparison.ranking.of(first)?;
        let run = first.runs.iter().find(|run| run.status == Status::Finished);
        let run = run.or(first.runs.first())?;
        let judged = measures.iter().filter(|measure| measure.direction.is_some());
        let mut facts: Vec<Fact> = judged
            .filter_map(|measure| {
                let spread = measure.of(first)?;
                Some(Fact {
                    name: measure.heading.to_owned(),
                    value: measure.format.mean(spread.mean, spread.count),
                    deviation: measure.format.deviation(spread),
                })
            })
            .collect();
        let runs = first.runs.len().to_string();
        facts.push(Fact { name: "runs".to_owned(), value: runs, deviation: String::new() });
        let (winners, more_winners) = winners(comparison);
        Some(Self {
            sure: comparison.answer.as_ref().map(Answer::sentence).unwrap_or_default(),
            winners,
            more_winners,
            kicker: if first.finished() > 0 {
                "Best by validation"
            } else {
                "Best by validation so far, without a finished run"
            },
            combination: unbroken(&first.label(&comparison.columns)),
            facts,
            sentences: sentences(comparison, first),
            next_step: comparison.next_step(),
            command: command(&run.directory.config_path()),
        })
    }
}

/// The possible winners, the best first, and how many more there are. None if all combinations are.
fn winners(comparison: &Comparison) -> (Vec<Winner>, usize) {
    let measure = comparison.ranking.measure();
    let possible = comparison.combinations.iter().enumerate();
    let mut winners: Vec<Winner> = possible
        .filter(|(index, _)| may_be_best(comparison, *index))
        .filter_map(|(_, combination)| {
            let spread = measure.of(combination)?;
            Some(Winner {
                label: unbroken(&combination.label(&comparison.columns)),
                value: measure.format.mean(spread.mean, spread.count),
                deviation: measure.format.deviation(spread),
                behind: combination.standing.as_ref().map(cells::behind).unwrap_or_default(),
            })
        })
        .collect();
    let more = winners.len().saturating_sub(MAX_WINNERS);
    winners.truncate(MAX_WINNERS);
    (winners, more)
}

fn sentences(comparison: &Comparison, first: &Combination) -> Vec<String> {
    let mut sentences: Vec<String> = selected_test(comparison).into_iter().collect();
    let place = comparison.combinations.iter().position(|one| std::ptr::eq(one, first));
    let next = place.and_then(|place| comparison.combinations.get(place + 1));
    if let Some(next) = next {
        let label = next.label(&comparison.columns);
        sentences.extend(behind(&comparison.ranking, first, next, &label));
    }
    if let Some(baseline) = comparison.baseline
        && let (Some(verdict), Some(other)) =
            (&first.verdict, comparison.combinations.get(baseline.combination))
    {
        sentences.push(format!(
            "Compared with the baseline, {}, the best is {}.",
            other.label(&comparison.columns),
            verdicts::words(verdict)
        ));
    }
    let runs = first.runs.len();
    if runs == 1 {
        let words = "It has one seed. How much the results vary between seeds is not known.";
        sentences.push(words.to_owned());
    } else if (1..runs).contains(&first.finished()) {
        sentences.push(format!("Of its {}, {} finished.", counted(runs, "run"), first.finished()));
    }
    sentences.extend(optimism(comparison));
    sentences
}

/// How far the next combination is behind, by the metric that ranks.
fn behind(
    ranking: &Ranking,
    first: &Combination,
    next: &Combination,
    label: &str,
) -> Option<String> {
    let metric = ranking.metric();
    let ahead = ranking.of(first)?.mean - ranking.of(next)?.mean;
    let amount = decimals(Some(ahead.abs()), 4);
    let is_ahead = ranking.better().improves(ahead, 0.0, 0.0);
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

/// `kiln run` with the run's configuration, quoted for a shell.
fn command(path: &Path) -> String {
    let path = path.to_string_lossy();
    // Without the prefix, a relative path could be taken for an option.
    let prefix = if path.starts_with('-') { "./" } else { "" };
    format!("kiln run {}", quoted(&format!("{prefix}{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_one_argument_for_a_shell() {
        assert_eq!(command(Path::new("runs/a/b/config.toml")), "kiln run runs/a/b/config.toml");
        assert_eq!(command(Path::new("my runs/a'b")), "kiln run 'my runs/a'\\''b'");
        assert_eq!(command(Path::new("-x/$(y)")), "kiln run './-x/$(y)'");
    }
}
