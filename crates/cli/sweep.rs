use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args;
use kiln_compare::Comparison;
use kiln_store::{RunDirectory, Status, duration, printable, quoted};
use kiln_sweep::{Estimate, LaunchOptions, Launched, Outcome, Plan, Requests, State, Sweep};

use crate::arguments::Arguments;
use crate::signals::{self, Asked, Signalled};
use crate::sweep_view::View;
use crate::{complain, say, say_styled};

/// Not a comment of documentation, which would take the brackets for links.
const AXES_HELP: &str = "Axes: a key as in `kiln run` and its values. Commas outside of brackets part values, so \
    units=300,100 is two values and top_k=[3,5] is one, a list; top_k=[3],[3,5] is two lists. An axis takes the \
    place of the file's with the same key. One value alone changes every run";

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// A sweep file or an experiment; configs/sweeps/ holds some to start from
    pub(crate) file: PathBuf,
    #[arg(value_name = "KEY=V1,V2,…", help = AXES_HELP)]
    pub(crate) axes: Vec<String>,
    /// Runs at a time, each a process with one thread [default: the number of cores]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// List the runs, their cost and the time they would take; run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Stop everything when a run fails or diverges
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Run again what diverged in an earlier sweep, too; what crashed or is missing is always run
    #[arg(long)]
    pub(crate) retry_failed: bool,
}

/// What signals ask of a sweep.
pub(crate) struct Control {
    requests: Arc<Requests>,
    signalled: Arc<Signalled>,
    /// Whether there are runs to be brought to a good end.
    has_runs: Arc<AtomicBool>,
}

impl Control {
    /// Listens from now on. Before there are runs and after them, what asks for the end ends the process at once.
    pub(crate) fn listen(quiet: bool) -> std::io::Result<Self> {
        let requests = Arc::new(Requests::default());
        let has_runs = Arc::new(AtomicBool::new(false));
        let (shared, launched) = (Arc::clone(&requests), Arc::clone(&has_runs));
        let signalled = signals::listen(move |asked| match asked {
            Asked::Checkpoint => {
                if launched.load(Ordering::Relaxed) {
                    if !quiet {
                        complain("each run that goes writes a checkpoint");
                    }
                    shared.checkpoint.store(true, Ordering::Relaxed);
                }
            }
            // Without waiting for anything.
            Asked::End(3.., status) => status.exit(),
            Asked::End(_, status) if !launched.load(Ordering::Relaxed) => status.exit(),
            Asked::End(times, _) => {
                match times {
                    _ if quiet => {}
                    1 => complain(
                        "\nstopping: each run ends after its step; once more to stop at once",
                    ),
                    _ => complain("stopping at once"),
                }
                shared.stops.store(times, Ordering::Relaxed);
            }
        })?;
        Ok(Self { requests, signalled, has_runs })
    }
}

pub(crate) fn sweep(arguments: &Arguments, options: &SweepArguments) -> anyhow::Result<ExitCode> {
    let control = Control::listen(arguments.quiet)?;
    let sweep = Sweep::open(&options.file, &options.axes)?;
    let plan = Plan::new(&sweep, arguments.data(), &arguments.runs)?;
    let launch_options = launch_options(options.jobs, options.fail_fast, options.retry_failed)?;
    if options.dry_run {
        return dry_run(&plan, options, launch_options.jobs);
    }
    launch(arguments, &plan, launch_options, &control)
}

pub(crate) fn launch_options(
    jobs: Option<NonZeroUsize>,
    fail_fast: bool,
    retry_failed: bool,
) -> anyhow::Result<LaunchOptions> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let program = std::env::current_exe().context("cannot find the program itself")?;
    Ok(LaunchOptions { jobs: jobs.unwrap_or_else(cores), fail_fast, retry_failed, program })
}

/// Runs what is left of a plan, and says what came of it.
pub(crate) fn launch(
    arguments: &Arguments,
    plan: &Plan,
    options: LaunchOptions,
    control: &Control,
) -> anyhow::Result<ExitCode> {
    plan.record()?;
    let mut view = View::new(arguments.quiet, plan, Arc::clone(&control.has_runs));
    let launched = kiln_sweep::launch(plan, &options, &mut view, &control.requests);
    control.has_runs.store(false, Ordering::Relaxed);
    view.close();
    conclude(plan, &launched, &control.signalled)
}

fn dry_run(plan: &Plan, options: &SweepArguments, jobs: NonZeroUsize) -> anyhow::Result<ExitCode> {
    let estimate = Estimate::measure(plan, jobs)?;
    let differing = plan.differing_keys();
    let mut left = Vec::new();
    let mut damaged = 0;
    let mut rows = Vec::new();
    for (index, member) in plan.members.iter().enumerate() {
        let state = State::look(plan, member);
        if matches!(state, State::Unreadable(_)) {
            damaged += 1;
        } else if !state.is_done(plan, member, options.retry_failed) {
            left.push(index);
        }
        let mut row = vec![member.id.clone()];
        row.extend(differing.iter().map(|key| {
            let change = member.change(&key.path);
            change.map_or_else(String::new, |change| change.value.value_text())
        }));
        row.extend([
            kiln_store::grouped(member.parameters as u64),
            format!("{:.1} M", member.step_flops as f64 / 1e6),
            duration(estimate.runs[index]),
            state.to_string(),
        ]);
        rows.push(row);
    }
    let mut head = vec!["run"];
    head.extend(differing.iter().map(|key| key.label.as_str()));
    head.extend(["parameters", "FLOPs a step", "about", "state"]);
    say_styled(kiln_report::table(&head, 1, rows, crate::terminal()).trim_end())?;
    let runs = plan.members.len();
    let pruning = if plan.prune.is_some() { ", less what is pruned" } else { "" };
    say(format!(
        "{runs} {}, {} to do: about {} with {jobs} at a time{pruning}",
        if runs == 1 { "run" } else { "runs" },
        left.len(),
        duration(estimate.total(&left, jobs)),
    ))?;
    if damaged > 0 {
        let directory = quoted(&plan.directory.display().to_string());
        say(format!(
            "{damaged} damaged, which a sweep leaves alone: kiln doctor {directory} says more"
        ))?;
    }
    say(plan.directory.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Says what came of the sweep, and which combination is best.
fn conclude(plan: &Plan, launched: &Launched, signalled: &Signalled) -> anyhow::Result<ExitCode> {
    let count = |wanted: fn(&Outcome) -> bool| {
        launched.outcomes.iter().flatten().filter(|(outcome, _)| wanted(outcome)).count()
    };
    let counts = [
        (count(|outcome| matches!(outcome, Outcome::Finished)), "finished"),
        (count(|outcome| matches!(outcome, Outcome::Pruned(_))), "pruned"),
        (count(|outcome| matches!(outcome, Outcome::Diverged(_))), "diverged"),
        (count(|outcome| matches!(outcome, Outcome::Failed(_))), "failed"),
        (count(|outcome| matches!(outcome, Outcome::Interrupted)), "interrupted"),
        (launched.outcomes.iter().filter(|outcome| outcome.is_none()).count(), "not run"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| format!("{number} {words}"))
        .collect();
    let failed = launched.outcomes.iter().flatten().any(|(outcome, _)| outcome.is_failure());
    say(format!(
        "{} {}: {}; in {}",
        plan.members.len(),
        if plan.members.len() == 1 { "run" } else { "runs" },
        counts.join(", "),
        duration(launched.seconds)
    ))?;
    if let Some(saving) = saving(plan) {
        say(saving)?;
    }
    let path = quoted(&plan.directory.display().to_string());
    if launched.interrupted {
        complain(format_args!("interrupted; go on: kiln resume {path}"));
    } else if count(|outcome| matches!(outcome, Outcome::Failed(_))) > 0 {
        complain(format_args!("when what failed is mended, go on: kiln resume {path}"));
    }
    select(plan)?;
    say(plan.directory.display())?;
    Ok(match (launched.interrupted, failed) {
        (true, _) => signalled.exit_code(),
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::SUCCESS,
    })
}

/// What pruning has spared, where it has.
fn saving(plan: &Plan) -> Option<String> {
    plan.prune?;
    let (mut trained, mut spared, mut seconds) = (0_usize, 0_usize, 0.0);
    for member in &plan.members {
        let run = RunDirectory::open(plan.directory.join(&member.id));
        let Ok(record) = run.and_then(|run| run.read_record()) else { continue };
        trained = trained.saturating_add(record.epochs);
        if record.status == Status::Pruned && record.epochs > 0 {
            let left = member.epochs.saturating_sub(record.epochs);
            spared = spared.saturating_add(left);
            let epoch = record.training_seconds.unwrap_or(0.0) / record.epochs as f64;
            seconds += epoch * left as f64;
        }
    }
    let all = trained.saturating_add(spared);
    (all > 0).then(|| {
        let percent = 100.0 * spared as f64 / all as f64;
        format!(
            "pruning spared {spared} of {all} epochs ({percent:.0} %), about {} of training",
            duration(seconds)
        )
    })
}

/// A loss of validation accuracy from the best epoch to the last that is worth a word.
const WORTH_KEEPING: f64 = 0.005;

/// The best combination by validation, and the command that runs it again.
fn select(plan: &Plan) -> anyhow::Result<()> {
    let paths: Vec<PathBuf> = plan
        .members
        .iter()
        .map(|member| plan.directory.join(&member.id))
        .filter(|path| path.exists())
        .collect();
    // Where nothing was run, or nothing of it can be read, there is nothing to choose from.
    let Ok(comparison) = Comparison::ranked(&paths) else { return Ok(()) };
    let Some(best) = comparison.selected() else { return Ok(()) };
    let run = best.runs.iter().find(|run| run.status == Status::Finished);
    let member = run.and_then(|run| plan.members.iter().find(|member| member.id == run.id));
    let (Some(value), Some(member)) = (best.best(), member) else { return Ok(()) };
    let deviation = value.deviation.map(|deviation| format!(" ± {deviation:.4}"));
    let (finished, all) = (best.finished(), best.runs.len());
    let runs = match (finished, all) {
        (1, 1) => String::new(),
        (finished, all) if finished == all => format!(" ({all} runs)"),
        (finished, all) => format!(" ({finished} of {all} runs)"),
    };
    say(format!(
        "best by validation: {}: val_accuracy {:.4}{}{runs} in its best epoch",
        printable(&best.label(&comparison.columns)),
        value.mean,
        deviation.unwrap_or_default()
    ))?;
    if let Some(last) = best.last().filter(|last| last.mean < value.mean - WORTH_KEEPING)
        && member.config.contains("\nweights = \"last\"\n")
    {
        say(format!(
            "  at its end, whose weights are kept, {:.4}; training.weights=best keeps the best epoch's",
            last.mean
        ))?;
    }
    let mut command = vec!["kiln".to_owned(), "run".to_owned()];
    command.push(plan.experiment.display().to_string());
    command.extend(member.changes.iter().map(ToString::to_string));
    for (option, path) in [("data", &plan.data), ("runs", &plan.runs)] {
        let is_default = std::path::absolute(option).is_ok_and(|default| default == *path);
        if path != Path::new(option) && !is_default {
            command.extend([format!("--{option}"), path.display().to_string()]);
        }
    }
    let command: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    say(format!("  again:   {}", printable(&command.join(" "))))?;
    say(format!("  compare: kiln compare {}", quoted(&plan.directory.display().to_string())))?;
    let others = other_runs(plan);
    if others > 0 {
        let are = if others == 1 { "run there is" } else { "runs there are" };
        say(format!("  of which {others} {are} not of this sweep"))?;
    }
    Ok(())
}

/// How many directories beside the sweep's own lie in its directory.
fn other_runs(plan: &Plan) -> usize {
    let entries = std::fs::read_dir(&plan.directory).into_iter().flatten().flatten();
    let names = entries
        .filter(|entry| entry.path().join("run.json").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        // One that was being removed when its sweep was killed is no run.
        .filter(|name| !name.starts_with('.'));
    let own: std::collections::HashSet<&str> =
        plan.members.iter().map(|member| member.id.as_str()).collect();
    names.filter(|name| !own.contains(name.as_str())).count()
}
