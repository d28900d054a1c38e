use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_store::{duration, printable, quoted};
use kiln_sweep::{Activity, QueuedWorker, RunStatus, Submissions, SweepError, read_status};
use serde_json::{Value, json};

use crate::commands::sweep::{DeclaredSweep, label};
use crate::options::GlobalOptions;
use crate::output::{count, print, status, warning};

/// How many runs of one kind are listed, unless all are asked for.
const MAX_LISTED: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// A sweep: its directory or its name
    #[arg(value_name = "SWEEP")]
    path: PathBuf,
    /// Of several sweeps in the directory, show only this one: its number or its file
    #[arg(long, value_name = "N|FILE")]
    sweep: Option<String>,
    /// List all runs that are running or failed, and not only the first 20 of each
    #[arg(long)]
    all: bool,
    /// Print JSON with every run
    #[arg(long)]
    json: bool,
}

pub(crate) fn show_status(
    options: &GlobalOptions,
    arguments: &StatusArguments,
) -> anyhow::Result<ExitCode> {
    let directory = DeclaredSweep::directory(options, &arguments.path)?;
    let sweeps = DeclaredSweep::all(options, &directory, arguments.sweep.as_deref())?;
    // The files say everything about the runs. Only the queue knows why a worker waits.
    let submissions = Submissions::read_all(&directory);
    let queued = submissions.iter().map(|it| (it, it.workers())).collect::<Vec<_>>();
    let several = sweeps.len() > 1;
    let mut shown = Vec::new();
    let mut has_runs_left = false;
    for (number, sweep) in (1..).zip(&sweeps) {
        let runs = read_status(&sweep.plan);
        has_runs_left |= runs.iter().any(|run| !run.activity.is_done());
        if arguments.json {
            shown.push(sweep_json(sweep, &runs));
            continue;
        }
        if several {
            print(format_args!("sweep {number}: {}", printable(&sweep.record.to_string())))?;
        }
        print_runs(sweep, &runs, arguments.all)?;
    }
    if arguments.json {
        // Without an answer of the queue, the workers are not known.
        let answers = queued.iter().map(|(_, workers)| workers.as_ref().ok());
        let workers: Option<Vec<&QueuedWorker>> =
            answers.collect::<Option<Vec<_>>>().map(|all| all.into_iter().flatten().collect());
        let text = json!({
            "format_version": 1,
            "directory": directory.display().to_string(),
            "sweeps": shown,
            "workers": workers,
        });
        print(serde_json::to_string_pretty(&text)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (submissions, workers) in queued {
        print_workers(submissions, workers, has_runs_left, options.quiet)?;
    }
    Ok(ExitCode::SUCCESS)
}

const ACTIVITIES: [&str; 8] =
    ["finished", "pruned", "diverged", "failed", "damaged", "running", "interrupted", "waiting"];

fn number(runs: &[RunStatus], activity: &str) -> usize {
    runs.iter().filter(|run| run.activity.name() == activity).count()
}

fn print_runs(sweep: &DeclaredSweep, runs: &[RunStatus], all: bool) -> anyhow::Result<()> {
    let plan = &sweep.plan;
    let numbers = ACTIVITIES.iter().map(|activity| (number(runs, activity), activity));
    let numbers = numbers.filter(|(number, _)| *number > 0);
    let to_draw = Some((plan.runs_to_draw(), &"not drawn yet")).filter(|(number, _)| *number > 0);
    let numbers: Vec<String> =
        numbers.chain(to_draw).map(|(number, activity)| format!("{number} {activity}")).collect();
    let name = printable(&plan.name);
    let number_of_runs = count(runs.len() + plan.runs_to_draw(), "run");
    print(format_args!("{name}: {number_of_runs}: {}", numbers.join(", ")))?;
    if let Some(budget) = &plan.budget {
        let stage = if budget.is_race { "race" } else { "search" };
        let (used, all) = (duration(budget.used()), duration(budget.seconds));
        print(format_args!("  {stage}; {used} of {all} used"))?;
    }
    let keys = plan.differing_keys();
    let metric = plan.prune.map_or(kiln_train::MetricName::VAL_ACCURACY, |prune| prune.metric);
    for activity in ["running", "interrupted", "failed", "damaged"] {
        let of_kind = runs.iter().filter(|run| run.activity.name() == activity);
        let max = if all { usize::MAX } else { MAX_LISTED };
        for run in of_kind.take(max) {
            let mut line = format!("  {activity}  {}", label(plan, &keys, &plan.runs[run.run]));
            if let Some(epoch) = &run.epoch {
                line.push_str(&format!("  epoch {}/{}", epoch.epoch, epoch.epochs));
                if let Some(value) = epoch.metric(metric) {
                    line.push_str(&format!("  {metric} {value:.4}"));
                }
            }
            if let Activity::Running(owner) = &run.activity {
                if let Some(process) = &owner.process {
                    let machine = printable(&process.machine).into_owned();
                    line.push_str(&format!("  on {machine}, process {}", process.process));
                }
                let silent = owner.silent.as_secs_f64();
                if silent > 30.0 {
                    line.push_str(&format!("  no heartbeat for {}", duration(silent)));
                }
            }
            if let Some(reason) = run.reason.as_ref().filter(|_| run.epoch.is_none()) {
                line.push_str(&format!("  {}", printable(reason)));
            }
            line.push_str(&format!("  {}", plan.runs[run.run].id));
            print(line)?;
        }
        let hidden = number(runs, activity).saturating_sub(max);
        if hidden > 0 {
            print(format_args!("  {hidden} more {activity}; to list them, add --all"))?;
        }
    }
    Ok(())
}

/// One line for each state of the workers and each reason: `workers: 3 running; 2 pending (Resources); job 12`.
fn print_workers(
    submissions: &Submissions<'_>,
    workers: Result<Vec<QueuedWorker>, SweepError>,
    has_runs_left: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let workers = match workers {
        Ok(workers) => workers,
        Err(error) => {
            warning(format_args!("the workers in the queue are not known: {error}"));
            return Ok(());
        }
    };
    let mut groups: Vec<(String, usize)> = Vec::new();
    for worker in &workers {
        let state = worker.state.to_lowercase();
        let reason = worker.reason.as_ref().filter(|_| worker.is_waiting);
        let kind = reason.map_or(state.clone(), |reason| format!("{state} ({reason})"));
        let line = format!("{kind} in job {}", worker.job);
        match groups.iter_mut().find(|(known, _)| *known == line) {
            Some((_, number)) => *number += 1,
            None => groups.push((line, 1)),
        }
    }
    if let (true, Some(last)) = (groups.is_empty(), submissions.jobs.last()) {
        let advice = if has_runs_left {
            "; to train the remaining runs, submit the sweep again"
        } else {
            ""
        };
        print(format_args!("no workers in the queue; the last job was {}{advice}", last.job))?;
    }
    for (line, number) in groups {
        print(format_args!("{} {}", count(number, "worker"), printable(&line)))?;
    }
    if !quiet {
        let path = quoted(&submissions.directory.display().to_string());
        status(format_args!("the output of the workers: {path}"));
    }
    Ok(())
}

fn sweep_json(sweep: &DeclaredSweep, runs: &[RunStatus]) -> Value {
    let plan = &sweep.plan;
    let run = |run: &RunStatus| {
        let planned = &plan.runs[run.run];
        let settings: serde_json::Map<String, Value> = planned
            .settings
            .iter()
            .map(|setting| (setting.path.clone(), Value::String(setting.value.value_text())))
            .collect();
        let owner = match &run.activity {
            Activity::Running(owner) => Some(json!({
                "machine": owner.process.as_ref().map(|process| &process.machine),
                "process": owner.process.as_ref().map(|process| process.process),
                "since": owner.process.as_ref().map(|process| process.since.to_string()),
                "seconds_since_heartbeat": owner.silent.as_secs_f64(),
            })),
            _ => None,
        };
        json!({
            "id": planned.id,
            "settings": settings,
            "status": run.activity.name(),
            "epoch": run.epoch.as_ref().map(|epoch| epoch.epoch),
            "epochs": planned.epochs,
            "metrics": run.epoch.as_ref().map(|epoch| {
                epoch.metrics.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()
            }),
            "reason": run.reason,
            "owner": owner,
        })
    };
    let numbers = ACTIVITIES.iter().map(|it| ((*it).to_owned(), json!(number(runs, it))));
    json!({
        "declaration": sweep.record.to_string(),
        "runs_not_drawn": plan.runs_to_draw(),
        "budget": plan.budget.as_ref().map(|budget| json!({
            "seconds": budget.seconds,
            "used_seconds": budget.used(),
            "stage": if budget.is_race { "race" } else { "search" },
        })),
        "numbers": numbers.collect::<serde_json::Map<_, _>>(),
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
    })
}
