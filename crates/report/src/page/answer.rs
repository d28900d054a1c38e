use std::path::Path;

use crate::Status;
use crate::chart::compared::Measure;
use crate::compare::{BaselineChoice, Combination, Comparison, RunSummary};
use crate::number::decimals;

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
        let first = comparison.combinations.first()?;
        first.best()?;
        let run = first.runs.iter().find(|run| run.status == Status::Finished);
        let run = run.or(first.runs.first())?;
        let measures = [
            ("best val_accuracy", Measure::BestValidation),
            ("test accuracy", Measure::TestAccuracy),
            ("test loss", Measure::TestLoss),
            ("seconds of training", Measure::TrainingSeconds),
        ];
        let mut facts: Vec<Fact> = measures
            .into_iter()
            .filter_map(|(name, measure)| {
                let spread = measure.of(first)?;
                let digits = measure.decimals();
                Some(Fact {
                    name,
                    value: decimals(Some(spread.mean), digits),
                    deviation: decimals(spread.deviation, digits),
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
    if let Some(next) = comparison.combinations.get(1) {
        let ahead = first.best().zip(next.best()).map(|(first, next)| first.mean - next.mean);
        let next_label = next.label(&comparison.columns);
        if let Some(ahead) = ahead {
            let validation = if ahead == 0.0 {
                "has the same val_accuracy".to_owned()
            } else {
                format!(
                    "is {} of val_accuracy {}",
                    decimals(Some(ahead.abs()), 4),
                    if ahead > 0.0 { "behind" } else { "ahead, and not all of its runs finished" }
                )
            };
            sentences.push(format!("The next, {next_label}, {validation}."));
        }
        let is_best_baseline = comparison.baseline.is_some_and(|baseline| {
            baseline.combination == 0 && baseline.chosen == BaselineChoice::Best
        });
        match (&next.verdict, is_best_baseline) {
            (Some(verdict), true) => sentences
                .push(format!("On the test images the next is {}.", verdicts::words(verdict))),
            (None, true) => sentences
                .push("Nothing can be said about their difference on the test set.".to_owned()),
            _ => {}
        }
    }
    let given = comparison.baseline.filter(|baseline| baseline.chosen == BaselineChoice::Given);
    if let Some(baseline) = given
        && let Some(other) = comparison.combinations.get(baseline.combination)
    {
        let label = other.label(&comparison.columns);
        match &first.verdict {
            Some(verdict) => sentences.push(format!(
                "Against the given baseline, {label}, it is {} on the test images.",
                verdicts::words(verdict)
            )),
            None if baseline.combination == 0 => {
                sentences.push("It is the given baseline itself.".to_owned());
            }
            None => {}
        }
    }
    let seeds = first.runs.len();
    if seeds == 1 {
        sentences.push(
            "It ran with one seed: how much another seed would change is not known.".to_owned(),
        );
    } else if first.finished() < seeds {
        sentences.push(format!("Of its {}, {} finished.", counted(seeds, "run"), first.finished()));
    }
    sentences
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
