use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use kiln_report::table;
use kiln_store::{duration, grouped, quoted};
use kiln_sweep::{Budget, Estimate, LaunchOptions, Plan, RunState, SharedTraining};
use unicode_width::UnicodeWidthStr;

use crate::commands::sweep::lines::print_line;
use crate::commands::sweep::summary;
use crate::output::{count, print, print_styled, terminal};

/// Prints every run of a plan with its cost, its state and an estimate of how long it takes.
pub(super) fn print_plan(plan: &Plan, options: &LaunchOptions) -> anyhow::Result<()> {
    let estimate = Estimate::measure(plan, options.jobs, options.threads)?;
    let differing = plan.differing_keys();
    let race_state = plan.race_state();
    // The runs that the sweep needs in any case, and those that a race may come to.
    let (needed, possible): (HashSet<usize>, HashSet<usize>) = match (&plan.race, &race_state) {
        (Some(race), Some(state)) => (
            race.wanted(state).into_iter().collect(),
            race.wanted_at_most(state).into_iter().collect(),
        ),
        _ => ((0..plan.runs.len()).collect(), HashSet::new()),
    };
    let mut to_do = Vec::new();
    let mut to_do_at_most = Vec::new();
    let mut damaged = 0;
    let mut rows = Vec::new();
    let states: Vec<RunState> = plan.runs.iter().map(|run| RunState::of(plan, run)).collect();
    let is_to_do = |index: &usize| {
        let (state, run) = (&states[*index], &plan.runs[*index]);
        !matches!(state, RunState::Unreadable(_) | RunState::Running)
            && !state.is_done(plan, run, options.retry_failed)
    };
    let candidates: Vec<usize> =
        (0..plan.runs.len()).filter(|run| needed.contains(run) && is_to_do(run)).collect();
    let reusable = if options.reuse { plan.reusable(&candidates)? } else { BTreeMap::new() };
    for (index, run) in plan.runs.iter().enumerate() {
        let state = &states[index];
        let (is_needed, is_possible) = (needed.contains(&index), possible.contains(&index));
        let is_reused = is_needed && reusable.contains_key(&index);
        let mut state_text = if is_reused { "to reuse".to_owned() } else { state.to_string() };
        if matches!(state, RunState::Unreadable(_)) {
            damaged += 1;
        } else if !state.is_done(plan, run, options.retry_failed) && !is_reused {
            if is_needed {
                to_do.push(index);
            }
            if is_needed || is_possible {
                to_do_at_most.push(index);
            }
            if *state == RunState::Missing && !is_needed {
                state_text = if is_possible { "if needed" } else { "not needed" }.to_owned();
            }
        }
        let mut row = vec![run.id.clone()];
        row.extend(differing.iter().map(|key| {
            let setting = run.setting(&key.path);
            setting.map_or_else(String::new, |setting| setting.value.value_text())
        }));
        row.extend([
            grouped(run.parameters as u64),
            format!("{:.1} M", run.step_flops as f64 / 1e6),
            duration(estimate.runs[index]),
            state_text,
        ]);
        rows.push(row);
    }
    let mut head = vec!["run".to_owned()];
    head.extend(differing.iter().map(|key| key.label.clone()));
    head.extend(["parameters", "FLOPs/step", "estimate", "state"].map(str::to_owned));
    let terminal = terminal();
    fit(&mut head, &mut rows, terminal.width.into());
    // The id is text; the other columns are numbers.
    let words = usize::from(head[0] == "run");
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    print_styled(table(&head, words, rows, terminal).trim_end())?;
    let pruning = if plan.prune.is_some() { ", less if runs are pruned" } else { "" };
    let first = |paths: Vec<PathBuf>| paths.into_iter().next();
    let reused: Vec<PathBuf> = reusable.into_values().filter_map(first).collect();
    let (runs, jobs) = (count(plan.runs.len(), "run"), options.jobs);
    let time_of = |runs: &[usize]| estimate.total(plan, runs, jobs);
    let time = |runs: &[usize]| duration(time_of(runs));
    if let Some(budget) = plan.budget.as_ref().filter(|budget| !budget.is_race) {
        print_budget(plan, budget, &estimate, jobs)?;
    } else if let Some(race) = &plan.race {
        print_line(format!(
            "a race of {} over {} seeds: {runs} at most",
            count(race.combinations.len(), "combination"),
            race.seeds.len()
        ))?;
        print_line(format!(
            "{} to {} to do: about {} at best, {} at worst, with {jobs} at a time{pruning}",
            to_do.len(),
            to_do_at_most.len(),
            time(&to_do),
            time(&to_do_at_most),
        ))?;
    } else if to_do.is_empty() && reused.is_empty() && plan.runs_to_draw() == 0 {
        print_line(format!("{runs}, nothing to do"))?;
    } else {
        print_line(format!(
            "{runs}, {} to do: about {} with {jobs} at a time{pruning}",
            to_do.len(),
            time(&to_do),
        ))?;
    }
    if plan.runs_to_draw() > 0 {
        // The runs to come cost what the known ones cost on average.
        let all: Vec<usize> = (0..plan.runs.len()).collect();
        let share = plan.runs_to_draw() as f64 / all.len().max(1) as f64;
        print_line(format!(
            "{}, whose settings follow from the results: about {}{pruning}",
            count(plan.runs_to_draw(), "more run"),
            duration(time_of(&all) * share),
        ))?;
    }
    if let Some(SharedTraining { runs, epochs, all }) = plan.shared_training(&to_do) {
        let runs = match runs {
            1 => "1 run trains like another up to its last epoch".to_owned(),
            runs => format!("{runs} runs train like others up to their last epoch"),
        };
        print_line(format!("{runs}: {epochs} of {all} epochs need not be trained again"))?;
    }
    if let Some(text) = summary::reused(&reused) {
        print_line(format!("to be {text}, if they are intact"))?;
    }
    if damaged > 0 {
        let directory = quoted(&plan.directory.display().to_string());
        print_line(format!("{damaged} damaged and skipped; for details: kiln doctor {directory}"))?;
    }
    if let Some(text) = summary::changed_data(plan)? {
        print_line(text)?;
    }
    if let Some(text) = plan.skipped_text() {
        print_line(text)?;
    }
    print(plan.directory.display())
}

/// Prints what a sweep with a budget does with its time, as far as that can be known before it starts.
fn print_budget(
    plan: &Plan,
    budget: &Budget,
    estimate: &Estimate,
    jobs: NonZeroUsize,
) -> anyhow::Result<()> {
    let seconds = &estimate.runs;
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    if let Some(error) = plan.budget_error(least).filter(|_| least > budget.seconds) {
        return Err(error.into());
    }
    let Some(outlook) = plan.outlook(mean, least, jobs) else { return Ok(()) };
    print_line(format!(
        "a budget of {}, of which {} are used, with {jobs} at a time",
        duration(budget.seconds),
        duration(budget.used())
    ))?;
    let rungs: Vec<String> =
        plan.prune.zip(plan.runs.first()).map_or(Vec::new(), |(prune, run)| {
            prune.rungs(run.epochs).map(|it| it.to_string()).collect()
        });
    let pruned = match (outlook.prunes, rungs.as_slice()) {
        (true, [_, ..]) => format!("more with pruning, after epoch {}", rungs.join(", ")),
        _ => "none is pruned".to_owned(),
    };
    print_line(format!(
        "search: {}, room for about {}; {pruned}",
        duration(outlook.search_seconds),
        count(outlook.full_runs, "complete run"),
    ))?;
    print_line(match outlook.racing {
        0 => "race: no time for one".to_owned(),
        racing => format!(
            "race: {}, the {racing} best ones with 3 seeds, and those that may be the best with up to 10",
            duration(budget.seconds - outlook.search_seconds)
        ),
    })?;
    print_line(
        "not known yet: the settings after the first samples, and the cost of a run, which is measured while the sweep runs",
    )
}

/// Makes a table fit into `width` columns. First it removes what a reader can do without, then it cuts long settings.
fn fit(head: &mut Vec<String>, rows: &mut [Vec<String>], width: usize) {
    /// No cell is cut to fewer columns.
    const MIN_CELL: usize = 8;
    for optional in ["FLOPs/step", "parameters", "run"] {
        let is_too_wide = widths(head, rows).iter().map(|cell| cell + GAP).sum::<usize>() > width;
        if let Some(column) =
            head.iter().position(|title| title == optional).filter(|_| is_too_wide)
        {
            head.remove(column);
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    loop {
        let widths = widths(head, rows);
        let excess = widths.iter().map(|cell| cell + GAP).sum::<usize>().saturating_sub(width);
        let widest = widths.iter().enumerate().max_by_key(|(_, cell)| **cell);
        let Some((column, cell)) = widest.filter(|(_, cell)| excess > 0 && **cell > MIN_CELL)
        else {
            return;
        };
        let room = cell.saturating_sub(excess).max(MIN_CELL);
        for text in rows.iter_mut().map(|row| &mut row[column]).chain([&mut head[column]]) {
            shorten(text, room);
        }
    }
}

/// The columns between two cells.
const GAP: usize = 3;

/// The width of each column.
fn widths(head: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).chain([&head[column]]);
        cells.map(|cell| UnicodeWidthStr::width(cell.as_str())).max().unwrap_or_default()
    };
    (0..head.len()).map(width).collect()
}

/// Cuts the end of a text that is wider than `room` columns.
fn shorten(text: &mut String, room: usize) {
    if UnicodeWidthStr::width(text.as_str()) > room {
        while UnicodeWidthStr::width(text.as_str()) + 1 > room {
            text.pop();
        }
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    fn fitted(width: usize) -> Vec<Vec<String>> {
        let row = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
        let mut head = row(["run", "optimizer", "parameters", "FLOPs/step", "estimate", "state"]);
        let adam = "{type = \"adam\", learning_rate = 0.001}";
        let mut rows = vec![row(["32c9f52c56f7", adam, "238,510", "30.7 M", "3.1 s", "to do"])];
        fit(&mut head, &mut rows, width);
        rows.insert(0, head);
        rows
    }

    #[test]
    fn a_narrow_table_keeps_settings_estimate_and_state() {
        assert_eq!(fitted(200)[0].len(), 6);
        assert_eq!(fitted(90)[0], ["run", "optimizer", "parameters", "estimate", "state"]);
        assert_eq!(fitted(80)[0], ["run", "optimizer", "estimate", "state"]);
        assert_eq!(fitted(60)[0], ["optimizer", "estimate", "state"]);
        let narrow = fitted(40);
        assert_eq!(narrow[1], ["{type = \"adam\", l…", "3.1 s", "to do"]);
    }
}
