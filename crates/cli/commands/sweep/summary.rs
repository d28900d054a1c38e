//! The lines that a sweep prints at its end.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use kiln_compare::{AtEpoch, CompareOptions, Comparison, NextStep, Ranking};
use kiln_store::{Status, duration, printable, quoted};
use kiln_sweep::{CompletedBy, Plan, PlannedRun, RaceProgress, RunOutcome, SweepResult};
use kiln_train::WeightsChoice;

use crate::commands::sweep::lines::{print_command, print_line, status_command};
use crate::commands::sweep::race;
use crate::next_step::{self, kiln_command};
use crate::output::{count, print};

/// If the kept weights are worse in validation than those of the best epoch by more than this, a hint suggests keeping the
/// latter.
const NOTABLE_DROP: f64 = 0.005;

/// The warning before a sweep trains runs again because their data has changed; `None` if it has not.
pub(super) fn changed_data(plan: &Plan) -> anyhow::Result<Option<String>> {
    let mut earlier = plan.runs_on_other_data()?;
    earlier.retain(|run| !plan.path_of(&plan.runs[run.planned]).exists());
    let names: BTreeSet<&str> =
        earlier.iter().map(|run| &*plan.runs[run.planned].dataset.name).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = names.into_iter().collect();
    let again: BTreeSet<usize> = earlier.iter().map(|run| run.planned).collect();
    let (were, they) = if earlier.len() == 1 { ("was", "it stays") } else { ("were", "they stay") };
    Ok(Some(format!(
        "the data has changed: {} of this sweep {were} trained on earlier data of {}; {they}, and {} to be trained on \
         the new data",
        count(earlier.len(), "run"),
        printable(&names.join(", ")),
        if again.len() == 1 { "1 run is".to_owned() } else { format!("{} runs are", again.len()) },
    )))
}

/// Prints the outcomes of the search of a sweep with a budget, whose best combinations race now.
pub(super) fn print_search(race: &Plan, result: &SweepResult) -> anyhow::Result<()> {
    let racing = race.race.as_ref().map_or(0, |race| race.combinations.len());
    print_line(format!("search: {}; the {racing} best ones race", outcomes(result)))
}

/// `used 20 min 1 s of the budget of 20 min`; `None` without a budget.
fn budget(plan: &Plan) -> Option<String> {
    let budget = plan.budget.as_ref()?;
    Some(format!("used {} of the budget of {}", duration(budget.used()), duration(budget.seconds)))
}

/// Prints the outcomes of the runs, the best combination, and the directory of the sweep.
pub(super) fn print_result(plan: &Plan, result: &SweepResult) -> anyhow::Result<()> {
    print_line(outcomes(result))?;
    if let Some(text) = reused(&result.reused) {
        print_line(text)?;
    }
    if let Some(saving) = pruning_saving(plan) {
        print_line(saving)?;
    }
    if let Some(text) = shared_training(plan, result) {
        print_line(text)?;
    }
    let path = quoted(&plan.directory.display().to_string());
    if result.interrupted {
        status_command(&format!("interrupted; to resume: kiln resume {path}"));
    } else if result.outcomes.iter().flatten().any(|(outcome, _)| outcome.is_failure()) {
        status_command(&format!("after fixing the failures, resume with: kiln resume {path}"));
    }
    if let Some(text) = budget(plan) {
        print_line(text)?;
    }
    if plan.race.is_none() && plan.budget.is_some() && !result.interrupted {
        let has_finished = result
            .outcomes
            .iter()
            .flatten()
            .any(|(outcome, _)| matches!(outcome, RunOutcome::Finished));
        print_line(if has_finished {
            "there was no time for a race, so it is not certain which of the best combinations is the best"
        } else {
            "no run was complete when the time was over, so it is not certain which combination is the best"
        })?;
    }
    if let (Some(race), Some(state)) = (&plan.race, &result.race) {
        for line in race::result(plan, race, state, result.needed) {
            print_line(line)?;
        }
    }
    print_best(plan, result)?;
    // A path is not wrapped, so that it can be copied.
    print(plan.directory.display())
}

/// `3 runs used 30 epochs that other runs had trained`; `None` if this sweep has not trained such a run.
fn shared_training(plan: &Plan, result: &SweepResult) -> Option<String> {
    let trained = plan.runs.iter().zip(&result.outcomes).filter(|(_, outcome)| {
        matches!(outcome, Some((_, CompletedBy::ThisSweep | CompletedBy::AnotherSweep)))
    });
    let trained: Vec<&PlannedRun> = trained.map(|(run, _)| run).collect();
    // Reading a record for each run takes a while, and most sweeps have no such runs.
    plan.shared_training(&(0..plan.runs.len()).collect::<Vec<_>>())?;
    let shared = trained.iter().filter_map(|run| plan.run_record(run)?.shared);
    let epochs: Vec<usize> = shared.map(|shared| shared.epochs).collect();
    let sum: usize = epochs.iter().sum();
    (sum > 0).then(|| {
        format!(
            "{} used {} that other runs had trained",
            count(epochs.len(), "run"),
            count(sum, "epoch")
        )
    })
}

/// `48 runs: 46 finished, 2 failed; in 1 min 24 s`
fn outcomes(result: &SweepResult) -> String {
    let number = |is_counted: fn(&RunOutcome) -> bool| {
        result.outcomes.iter().flatten().filter(|(outcome, _)| is_counted(outcome)).count()
    };
    let numbers = [
        (number(|outcome| matches!(outcome, RunOutcome::Finished)), "finished"),
        (number(|outcome| matches!(outcome, RunOutcome::Pruned(_))), "pruned"),
        (number(|outcome| matches!(outcome, RunOutcome::Diverged(_))), "diverged"),
        (number(|outcome| matches!(outcome, RunOutcome::Failed(_))), "failed"),
        (number(|outcome| matches!(outcome, RunOutcome::Interrupted)), "interrupted"),
        (number(|outcome| matches!(outcome, RunOutcome::OutOfTime)), "stopped by the budget"),
        (number(|outcome| matches!(outcome, RunOutcome::Waiting)), "waiting for a failed run"),
        (result.needed - result.outcomes.iter().flatten().count(), "not run"),
        (result.to_draw, "not drawn"),
    ];
    let numbers: Vec<String> = numbers
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, outcome)| format!("{number} {outcome}"))
        .collect();
    let runs = count(result.needed + result.to_draw, "run");
    let mut ended = result.outcomes.iter().flatten();
    let all = result.needed + result.to_draw;
    let all_ended = result.outcomes.iter().flatten().count() == all;
    if all_ended && ended.all(|(_, by)| matches!(by, CompletedBy::EarlierSweep)) {
        return match numbers.as_slice() {
            [only] if only.ends_with("finished") => format!("{runs}: all already finished"),
            _ => format!("{runs}, nothing to do: {}", numbers.join(", ")),
        };
    }
    format!("{runs}: {}; in {}", numbers.join(", "), duration(result.seconds))
}

/// `reused 3 finished runs of rates, widths`; `None` if there are none.
pub(super) fn reused(runs: &[PathBuf]) -> Option<String> {
    let name = |run: &PathBuf| run.parent()?.file_name()?.to_str().map(str::to_owned);
    let names: BTreeSet<String> = runs.iter().filter_map(name).collect();
    let names: Vec<String> = names.into_iter().collect();
    let names = printable(&names.join(", ")).into_owned();
    (!runs.is_empty()).then(|| format!("reused {} of {names}", count(runs.len(), "finished run")))
}

/// How many epochs pruning has saved; `None` for a sweep that does not prune.
fn pruning_saving(plan: &Plan) -> Option<String> {
    plan.prune?;
    let (mut trained, mut saved, mut seconds) = (0_usize, 0_usize, 0.0);
    for run in &plan.runs {
        let Some(record) = plan.run_record(run) else { continue };
        trained = trained.saturating_add(record.epochs);
        if record.status == Status::Pruned && record.epochs > 0 {
            let left = run.epochs.saturating_sub(record.epochs);
            saved = saved.saturating_add(left);
            let seconds_per_epoch = record.training_seconds.unwrap_or(0.0) / record.epochs as f64;
            seconds += seconds_per_epoch * left as f64;
        }
    }
    let all = trained.saturating_add(saved);
    (all > 0).then(|| {
        let percent = 100.0 * saved as f64 / all as f64;
        let time = duration(seconds);
        format!("pruning saved {saved} of {all} epochs ({percent:.0} %), about {time} of training")
    })
}

/// Prints the combination with the best validation accuracy, and commands that continue from there.
fn print_best(plan: &Plan, result: &SweepResult) -> anyhow::Result<()> {
    // The combinations that a race has stopped have fewer seeds, so luck may have put one of them first.
    let race = result.race.as_ref().and_then(|state| plan.race_progress(state));
    let paths: Vec<PathBuf> = match &race {
        Some(race) => race.racing.clone(),
        None => plan.runs.iter().map(|run| plan.path_of(run)).collect(),
    };
    let paths: Vec<PathBuf> = paths.into_iter().filter(|path| path.exists()).collect();
    // If no run can be read, or none was validated, there is no best one.
    let Ok(mut comparison) = Comparison::read(&paths, &CompareOptions::default()) else {
        return Ok(());
    };
    let Some(best) = comparison.selected() else { return Ok(()) };
    let finished_run = best.runs.iter().find(|run| run.status == Status::Finished);
    let planned =
        finished_run.and_then(|finished| plan.runs.iter().find(|run| run.id == finished.id));
    let (Some(accuracy), Some(planned)) = (comparison.ranking.of(best), planned) else {
        return Ok(());
    };
    let deviation = accuracy.deviation.map(|deviation| format!(" ± {deviation:.4}"));
    let runs = match (best.finished(), best.runs.len()) {
        (1, 1) => String::new(),
        (finished, all) if finished == all => format!(" ({all} runs)"),
        (finished, all) => format!(" ({finished} of {all} runs)"),
    };
    print_line(format!(
        "best by validation: {}: {} {:.4}{}{runs}",
        printable(&best.label(&comparison.columns)),
        comparison.ranking.heading(),
        accuracy.mean,
        deviation.unwrap_or_default()
    ))?;
    let at_best_epoch = Ranking::new(comparison.ranking.metric(), AtEpoch::Best);
    if let Some(in_best) =
        at_best_epoch.of(best).filter(|in_best| in_best.mean > accuracy.mean + NOTABLE_DROP)
        && planned.experiment.training.weights == WeightsChoice::Last
    {
        print_line(format!(
            "  the kept weights are those of the last epoch; the best epoch has {:.4}; to keep its weights: training.weights=best",
            in_best.mean
        ))?;
    }
    print_command(&format!("  retrain one run: {}", printable(&run_command(plan, planned))))?;
    let path = quoted(&plan.directory.display().to_string());
    // With other sweeps in the directory, only the runs of this one are compared above.
    let only = plan.number().map_or_else(String::new, |number| format!(" --sweep {number}"));
    print_command(&format!("  compare all:     kiln compare {path}{only}"))?;
    let earlier: HashSet<String> =
        plan.runs_on_other_data()?.into_iter().map(|run| run.id).collect();
    let others = other_runs(plan).saturating_sub(earlier.len());
    for (number, problem) in [
        (earlier.len(), ["was trained on earlier data", "were trained on earlier data"]),
        (others, ["is not part of this sweep", "are not part of this sweep"]),
    ] {
        if number > 0 {
            let (runs, problem) = (count(number, "run"), problem[usize::from(number > 1)]);
            print_line(format!("  note:            {runs} in this directory {problem}"))?;
        }
    }
    print_next_step(plan, &mut comparison, race.as_ref(), result)
}

/// Prints what would tell more about which combination is the best, unless the sweep has to be resumed first.
fn print_next_step(
    plan: &Plan,
    comparison: &mut Comparison,
    race: Option<&RaceProgress>,
    result: &SweepResult,
) -> anyhow::Result<()> {
    let has_failed = result.outcomes.iter().flatten().any(|(outcome, _)| outcome.is_failure());
    // A sweep with a budget has done what its time allows.
    if result.interrupted || has_failed || plan.budget.is_some() {
        return Ok(());
    }
    next_step::propose(comparison, &plan.directory, plan.record(), race);
    let Some(NextStep { sentence, command }) = comparison.next_step() else { return Ok(()) };
    print_line(sentence)?;
    command.map_or(Ok(()), |command| print_command(&format!("  {}", printable(&command))))
}

/// The command that retrains a run of the plan outside of the sweep.
fn run_command(plan: &Plan, run: &PlannedRun) -> String {
    let arguments = ["run".to_owned(), plan.experiment.display().to_string()].into_iter();
    let arguments = arguments.chain(run.settings.iter().map(ToString::to_string));
    kiln_command(arguments, &plan.data_directory, &plan.runs_directory)
}

/// The number of runs in the sweep's directory that the plan does not contain.
fn other_runs(plan: &Plan) -> usize {
    if plan.budget.as_ref().is_some_and(|budget| budget.is_race) {
        // The runs of the search are not in the plan of the race.
        return 0;
    }
    let entries = std::fs::read_dir(&plan.directory).into_iter().flatten().flatten();
    let names = entries
        .filter(|entry| entry.path().join("run.json").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        // A name with a dot belongs to a run that was being deleted when its process was killed.
        .filter(|name| !name.starts_with('.'));
    let own: HashSet<&str> = plan.runs.iter().map(|run| run.id.as_str()).collect();
    names.filter(|name| !own.contains(name.as_str())).count()
}
