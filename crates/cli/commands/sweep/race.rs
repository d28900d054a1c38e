//! The output of a sweep about a race between its combinations.

use kiln_sweep::{Budget, Plan, Race, RaceEnd, RaceState};

use crate::commands::sweep::label;
use crate::output::count;

/// The most combinations that are listed.
const MAX_LISTED: usize = 12;

/// `after 3 seeds: 11 of 16 combinations stopped, 5 continue`
pub(super) fn look(race: &Race, state: &RaceState) -> String {
    let stopped = state.stopped.len();
    let combinations = race.combinations.len();
    let seeds = taken_seeds(race, state);
    let left = state.racing.len();
    match state.end {
        Some(_) => format!("after {seeds} seeds: {stopped} of {combinations} combinations stopped"),
        None => format!(
            "after {seeds} seeds: {stopped} of {combinations} combinations stopped, {left} continue with {} more {}",
            state.seeds - seeds,
            if state.seeds - seeds == 1 { "seed" } else { "seeds" }
        ),
    }
}

/// The number of seeds at the last look.
fn taken_seeds(race: &Race, state: &RaceState) -> usize {
    let is_before = |look: &&usize| **look < state.seeds;
    match state.end {
        Some(_) => state.seeds,
        None => race.config.looks.iter().rfind(is_before).copied().unwrap_or_default(),
    }
}

/// The result of a race, one line each: what is known at which error rate, the combinations that are left, and the
/// saving.
pub(super) fn result(plan: &Plan, race: &Race, state: &RaceState, needed: usize) -> Vec<String> {
    let combinations = race.combinations.len();
    let left = state.racing.len();
    let sure = format!("{} % sure", percent(1.0 - race.config.level));
    let seeds = state.seeds;
    let taken = taken_seeds(race, state);
    let is_out_of_time = plan.budget.as_ref().is_some_and(Budget::is_over);
    let mut lines = match state.end {
        None if is_out_of_time && taken == 0 => vec![format!(
            "the time was over before all {combinations} combinations had {seeds} seeds, so it is not certain which is the best"
        )],
        None if is_out_of_time => vec![format!(
            "{sure}: the best of {combinations} combinations is among these {left}, after {taken} seeds, for which there was time:"
        )],
        None => vec![format!(
            "the race is not over: {left} of {combinations} combinations are left, and some of their runs are not done"
        )],
        Some(RaceEnd::NoneLeft) => vec![format!(
            "the race has no winner: each of the {combinations} combinations has a run that was pruned or diverged"
        )],
        Some(RaceEnd::OneLeft) => {
            vec![format!(
                "{sure}: the best of {combinations} combinations is this one, after {seeds} seeds:"
            )]
        }
        Some(RaceEnd::Equivalent(within)) => vec![format!(
            "{sure}: the best of {combinations} combinations is among these {left}, and each is within {within:.4} of it, after {seeds} seeds:"
        )],
        Some(RaceEnd::OutOfSeeds) => vec![format!(
            "{sure}: the best of {combinations} combinations is among these {left}, after all {seeds} seeds:"
        )],
    };
    if state.end.is_some() || is_out_of_time && taken > 0 {
        let keys = plan.differing_keys();
        let keys: Vec<_> = keys.into_iter().filter(|key| key.path != "seed").collect();
        for combination in state.racing.iter().take(MAX_LISTED) {
            let run = &plan.runs[race.combinations[*combination][0]];
            lines.push(format!("  {}", label(plan, &keys, run)));
        }
        if left > MAX_LISTED {
            lines.push(format!("  and {} more", left - MAX_LISTED));
        }
    }
    let incomplete = state.stopped.iter().filter(|stopped| stopped.is_incomplete).count();
    if incomplete > 0 {
        lines.push(format!(
            "out of the race because a run was pruned or diverged: {}",
            count(incomplete, "combination")
        ));
    }
    if state.end.is_some() {
        let (all, saved) = (plan.runs.len(), plan.runs.len() - needed);
        let share = 100.0 * saved as f64 / all as f64;
        lines.push(format!("the race saved {saved} of {all} runs ({share:.0} %)"));
    }
    lines
}

/// A share as a percentage without needless decimals: `95`, `99.9`.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percentages_have_no_needless_decimals() {
        assert_eq!([0.95, 0.999, 0.9].map(percent), ["95", "99.9", "90"]);
    }
}
