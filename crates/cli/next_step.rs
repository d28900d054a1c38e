//! The next step that `kiln sweep` and `kiln compare` propose: a sentence, and the command that would tell more about
//! which combination is the best.

use std::path::Path;

use kiln_compare::{
    Answer, CompareOptions, Comparison, DEFAULT_METRIC, MoreSeeds, NextStep, Ranking,
};
use kiln_store::{Status, quoted};
use kiln_sweep::{RaceEnd, RaceProgress, Sweep, SweepRecord};

/// The most combinations that a proposed race has.
const TOP: usize = 10;

/// Sets what to do next in the comparison of all runs of a sweep in `directory`. `race` is the state of its race, if it has
/// one.
pub(crate) fn propose(
    comparison: &mut Comparison,
    directory: &Path,
    record: &SweepRecord,
    race: Option<&RaceProgress>,
) {
    if Sweep::from_record(record).is_ok_and(|sweep| sweep.has_budget()) {
        // It has done what its time allows.
        return;
    }
    if let Some(race) = race {
        // The combinations that the race has stopped have fewer seeds.
        let more_seeds = more_seeds_of_race(comparison, race);
        if let Some(answer) = &mut comparison.answer {
            answer.more_seeds = more_seeds;
        }
        if race.state.end.is_none() {
            let command = ["resume".to_owned(), directory.display().to_string()];
            comparison.proposal = Some(NextStep {
                sentence: "The race is not over. To continue it:".to_owned(),
                command: Some(kiln_command(command, Path::new(""), Path::new(""))),
            });
            return;
        }
    }
    let command = more_seeds(comparison).and_then(|more| match race {
        None => Some(sweep_command(directory, record, Some(&more.new_seeds), &[])),
        Some(race) => race_command(directory, record, race, &more.new_seeds),
    });
    match comparison.answer.as_mut().and_then(|answer| answer.more_seeds.as_mut()) {
        Some(more) => {
            more.command = command;
            if let (Some(race), None) = (race, &more.command) {
                let seeds = race.seeds.len() + more.new_seeds.len();
                comparison.proposal = Some(NextStep {
                    sentence: format!(
                        "{} For that, set `seeds = {seeds}` in the table [race] of a sweep file.",
                        more.sentence()
                    ),
                    command: None,
                });
            }
        }
        None if race.is_none() => {
            comparison.proposal = race_the_best(comparison, directory, record)
        }
        None => {}
    }
}

fn more_seeds(comparison: &Comparison) -> Option<&MoreSeeds> {
    comparison.answer.as_ref()?.more_seeds.as_ref()
}

/// The gain of more seeds for the combinations that are left, if they could not be told apart with all seeds.
fn more_seeds_of_race(comparison: &Comparison, race: &RaceProgress) -> Option<MoreSeeds> {
    if race.state.end != Some(RaceEnd::OutOfSeeds) {
        return None;
    }
    let options = CompareOptions {
        ranking: Ranking::new(comparison.ranking.metric(), comparison.ranking.at()),
        baseline: None,
        level: comparison.level,
    };
    let racing = Comparison::read(&race.racing, &options).ok()?;
    racing.answer.and_then(|Answer { more_seeds, .. }| more_seeds)
}

/// The command that continues a race with further seeds; `None` if no command can.
fn race_command(
    directory: &Path,
    record: &SweepRecord,
    race: &RaceProgress,
    new_seeds: &[u64],
) -> Option<String> {
    let seeds: Vec<u64> = race.seeds.iter().chain(new_seeds).copied().collect();
    let takes_seeds = record.race_takes_seeds();
    takes_seeds.then(|| sweep_command(directory, record, Some(&seeds), &record.options()))
}

/// The race between the best combinations of a search that has one seed for each and is done.
fn race_the_best(
    comparison: &Comparison,
    directory: &Path,
    record: &SweepRecord,
) -> Option<NextStep> {
    // A race compares the validation accuracy.
    if comparison.answer.is_some() || comparison.ranking.metric() != DEFAULT_METRIC {
        return None;
    }
    let has_one_seed = comparison.combinations.iter().all(|one| one.runs.len() == 1);
    let is_done = comparison
        .runs()
        .all(|run| matches!(run.status, Status::Finished | Status::Pruned | Status::Diverged));
    let finished = comparison.runs().filter(|run| run.status == Status::Finished).count();
    let top = TOP.min(finished);
    let sweep = Sweep::from_record(record).ok()?.with_samples(directory).ok()?;
    let is_complete = sweep.samples_left() == 0
        && sweep.expand().is_ok_and(|runs| runs.len() <= comparison.runs().count());
    if !(has_one_seed && is_done && is_complete) || sweep.with_race(Some(top)).is_err() {
        return None;
    }
    let mut race = vec!["--race".to_owned(), "--top".to_owned(), top.to_string()];
    race.extend(record.options());
    Some(NextStep {
        sentence: format!("A race with more seeds tells which of the {top} best is the best:"),
        command: Some(sweep_command(directory, record, None, &race)),
    })
}

/// The command that declares a sweep with other seeds, if there are some, and with these options.
fn sweep_command(
    directory: &Path,
    record: &SweepRecord,
    seeds: Option<&[u64]>,
    options: &[String],
) -> String {
    let mut arguments = vec!["sweep".to_owned(), record.file.display().to_string()];
    let is_seed = |axis: &&String| axis.split('=').next().is_some_and(|key| key.trim() == "seed");
    let axes = record.axes.iter().filter(|axis| seeds.is_none() || !is_seed(axis));
    arguments.extend(axes.cloned());
    arguments.extend(seeds.map(|seeds| format!("seed={}", listed(seeds))));
    arguments.extend_from_slice(options);
    kiln_command(arguments, &record.data, directory.parent().unwrap_or(Path::new("")))
}

/// Seeds as the values of an axis: `4,5`, or `1..20` for many that follow each other.
fn listed(seeds: &[u64]) -> String {
    const MAX_LISTED: usize = 10;
    let follow = seeds.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    match seeds {
        [first, .., last] if follow && seeds.len() > MAX_LISTED => format!("{first}..{last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
    }
}

/// A command of Kiln, quoted for a shell, with the directories of the datasets and of the runs. An empty path means
/// the default.
pub(crate) fn kiln_command(
    arguments: impl IntoIterator<Item = String>,
    data: &Path,
    runs: &Path,
) -> String {
    let mut command = vec!["kiln".to_owned()];
    command.extend(arguments);
    for (option, path) in [("data", data), ("runs", runs)] {
        // Defaults need no option. They are compared as absolute paths, because the record of a sweep has those.
        let is_default = std::path::absolute(option).ok() == std::path::absolute(path).ok();
        if !path.as_os_str().is_empty() && !is_default {
            command.extend([format!("--{option}"), path.display().to_string()]);
        }
    }
    command.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn many_seeds_that_follow_each_other_are_a_range() {
        assert_eq!(listed(&[4, 5, 6]), "4,5,6");
        let many: Vec<u64> = (1..=30).collect();
        assert_eq!(listed(&many), "1..30");
        assert_eq!(listed(&[&[42], &many[..10]].concat()), "42,1,2,3,4,5,6,7,8,9,10");
        assert_eq!(listed(&[u64::MAX, 0]), "18446744073709551615,0");
    }
}
