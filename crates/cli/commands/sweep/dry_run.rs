use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_report::table;
use kiln_store::{duration, grouped, quoted};
use kiln_sweep::{Estimate, LaunchOptions, Plan, RunState};

use crate::commands::sweep::summary;
use crate::output::{count, print, print_styled, terminal};

/// Prints every run of a plan with its cost, its state and an estimate of how long it takes.
pub(super) fn print_plan(plan: &Plan, options: &LaunchOptions) -> anyhow::Result<()> {
    let estimate = Estimate::measure(plan, options.jobs)?;
    let differing = plan.differing_keys();
    let mut to_do = Vec::new();
    let mut damaged = 0;
    let mut rows = Vec::new();
    let states: Vec<RunState> = plan.runs.iter().map(|run| RunState::of(plan, run)).collect();
    let is_to_do = |index: &usize| {
        let (state, run) = (&states[*index], &plan.runs[*index]);
        !matches!(state, RunState::Unreadable(_) | RunState::Running)
            && !state.is_done(plan, run, options.retry_failed)
    };
    let candidates: Vec<usize> = (0..plan.runs.len()).filter(is_to_do).collect();
    let reusable = if options.reuse { plan.reusable(&candidates)? } else { BTreeMap::new() };
    for (index, run) in plan.runs.iter().enumerate() {
        let state = &states[index];
        if matches!(state, RunState::Unreadable(_)) {
            damaged += 1;
        } else if !state.is_done(plan, run, options.retry_failed) && !reusable.contains_key(&index)
        {
            to_do.push(index);
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
            if reusable.contains_key(&index) { "to reuse".to_owned() } else { state.to_string() },
        ]);
        rows.push(row);
    }
    let mut head = vec!["run"];
    head.extend(differing.iter().map(|key| key.label.as_str()));
    head.extend(["parameters", "FLOPs/step", "estimate", "state"]);
    // The first column, the id, is text; the others are numbers.
    print_styled(table(&head, 1, rows, terminal()).trim_end())?;
    let pruning = if plan.prune.is_some() { ", less if runs are pruned" } else { "" };
    print(format!(
        "{}, {} to do: about {} with {} at a time{pruning}",
        count(plan.runs.len(), "run"),
        to_do.len(),
        duration(estimate.total(&to_do, options.jobs)),
        options.jobs,
    ))?;
    let first = |paths: Vec<PathBuf>| paths.into_iter().next();
    let reused: Vec<PathBuf> = reusable.into_values().filter_map(first).collect();
    if let Some(text) = summary::reused(&reused) {
        print(format!("to be {text}, if they are intact"))?;
    }
    if damaged > 0 {
        let directory = quoted(&plan.directory.display().to_string());
        print(format!("{damaged} damaged and skipped; for details: kiln doctor {directory}"))?;
    }
    if let Some(text) = summary::changed_data(plan)? {
        print(text)?;
    }
    print(plan.directory.display())
}
