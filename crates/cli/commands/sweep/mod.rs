//! `kiln sweep`.

mod control;
mod dry_run;
mod lines;
mod progress;
mod race;
mod summary;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kiln_store::printable;
use kiln_sweep::{DifferingKey, LaunchOptions, Plan, PlannedRun, RunOutcome, Sweep};
use kiln_train::MachineMemory;

use crate::experiment;
use crate::initial_weights;
use crate::options::{GlobalOptions, at_least_1, this_command};
use crate::output::{status, warning};

pub(crate) use control::SweepControl;

/// The long help of the axes. It is not a doc comment, because rustdoc would take the brackets for links.
const AXES_LONG_HELP: &str = "Keys and the values to try for them, such as learning_rate=0.01,0.1\n\n\
    The keys are those of `kiln run`. A comma separates values, except within brackets: hidden.units=300,100 is two values, \
    top_k=[3,5] is one, a list, and top_k=[3],[3,5] is two lists. An axis replaces the axis of the sweep file that has \
    the same key. A single value changes all runs.";

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// A sweep file or an experiment; configs/sweeps/ contains examples
    file: PathBuf,
    #[arg(
        value_name = "KEY=V1,V2,…",
        help = "Keys and the values to try for them, such as learning_rate=0.01,0.1",
        long_help = AXES_LONG_HELP
    )]
    axes: Vec<String>,
    /// How many runs to train at a time, each on one core [default: the number of cores]
    #[arg(long, short, value_name = "N", value_parser = at_least_1)]
    jobs: Option<NonZeroUsize>,
    /// Give more seeds only to the combinations that may be the best
    ///
    /// All combinations start with the first seeds. After 3, 5, 7 and 10 seeds, those that cannot be the best are stopped. A
    /// sweep file can set this and other numbers in a table [race].
    #[arg(long)]
    race: bool,
    /// Race only the N best combinations of this sweep, which must be done, with seeds that it did not use
    #[arg(long, value_name = "N", requires = "race")]
    top: Option<usize>,
    /// Leave out the runs that cannot be trained, such as those whose layers do not fit together or that need too much memory
    ///
    /// Without this option, a sweep with such runs trains nothing and lists them. The sweep records which runs it has left
    /// out, for `kiln resume` and `kiln doctor`.
    #[arg(long)]
    skip_invalid: bool,
    /// List the runs, their cost and their estimated duration; train nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop all runs as soon as one fails or diverges
    #[arg(long)]
    fail_fast: bool,
    /// Exit with status 1 if a run diverges
    ///
    /// Without this option, a run that diverges is a result like any other: the sweep counts it, and its status is 0.
    #[arg(long)]
    fail_on_diverged: bool,
    /// Also retrain runs that diverged in an earlier sweep
    ///
    /// Failed and missing runs are always trained; this option also retrains diverged ones.
    #[arg(long)]
    retry_failed: bool,
    /// Train runs again that are finished elsewhere under --runs
    ///
    /// Without this option, the sweep reuses the results of a finished run with the same settings, data and version of
    /// Kiln.
    #[arg(long)]
    no_reuse: bool,
}

pub(crate) fn sweep(
    options: &GlobalOptions,
    arguments: &SweepArguments,
) -> anyhow::Result<ExitCode> {
    let control = SweepControl::listen(options.quiet)?;
    let mut sweep = Sweep::open(&arguments.file, &arguments.axes)
        .map_err(|error| experiment::instead_of_directory(&arguments.file).unwrap_or(error))?;
    sweep = sweep.with_command(this_command());
    if arguments.race {
        sweep = sweep.with_race(arguments.top)?;
    }
    sweep.find_initial_weights(|name| initial_weights::find(options, name))?;
    if arguments.skip_invalid {
        sweep = sweep.skipping_invalid();
    }
    let memory = MachineMemory::of_this_machine();
    let plan = Plan::new(&sweep, options.data(), &options.runs, memory)?;
    if !options.quiet {
        plan.notes.iter().for_each(|note| status(format_args!("note: {note}")));
    }
    plan.warnings.iter().for_each(warning);
    let launch_options = LaunchOptions {
        fail_fast: arguments.fail_fast,
        retry_failed: arguments.retry_failed,
        reuse: !arguments.no_reuse,
        ..launch_options(arguments.jobs)?
    };
    if arguments.dry_run {
        dry_run::print_plan(&plan, &launch_options)?;
        return Ok(ExitCode::SUCCESS);
    }
    launch(options, &plan, launch_options, &control, arguments.fail_on_diverged)
}

/// The settings in which a run differs from others by these keys, such as `learning_rate=0.1 seed=1`.
fn label(plan: &Plan, keys: &[DifferingKey], run: &PlannedRun) -> String {
    let settings = keys.iter().filter_map(|key| {
        let value = run.setting(&key.path)?.value.value_text();
        Some(format!("{}={}", key.label, short(&value)))
    });
    let settings: Vec<String> = settings.collect();
    if settings.is_empty() { plan.name.clone() } else { settings.join(" ") }
}

/// A value for a label: escaped, and cut if it is long.
fn short(value: &str) -> String {
    const MAX_CHARACTERS: usize = 32;
    let value = printable(value);
    if value.chars().count() <= MAX_CHARACTERS {
        return value.into_owned();
    }
    value.chars().take(MAX_CHARACTERS - 1).collect::<String>() + "…"
}

/// The options without those that only `kiln sweep` has.
pub(crate) fn launch_options(jobs: Option<NonZeroUsize>) -> anyhow::Result<LaunchOptions> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let program = std::env::current_exe().context("cannot find the path of the kiln program")?;
    Ok(LaunchOptions {
        jobs: jobs.unwrap_or_else(cores),
        fail_fast: false,
        retry_failed: false,
        reuse: true,
        program,
    })
}

/// Trains the runs of a plan that are not done and prints the results. The exit status is that of a failure if a run
/// failed, or if one diverged and `fail_on_diverged` is set or the sweep was stopped because of it.
pub(crate) fn launch(
    options: &GlobalOptions,
    plan: &Plan,
    launch_options: LaunchOptions,
    control: &SweepControl,
    fail_on_diverged: bool,
) -> anyhow::Result<ExitCode> {
    if let Some(text) = summary::changed_data(plan)? {
        warning(text);
    }
    if let Some(text) = plan.skipped_text().filter(|_| !options.quiet) {
        status(text);
    }
    plan.write_record()?;
    let mut progress = progress::SweepProgress::new(options.quiet, plan, control.has_runs.clone());
    let result = kiln_sweep::launch(plan, &launch_options, &mut progress, &control.requests);
    control.has_runs.set(false);
    progress.close();
    summary::print_result(plan, &result)?;
    let diverged_is_failure = fail_on_diverged || launch_options.fail_fast;
    let is_failure =
        |outcome: &RunOutcome| outcome.is_failure() || diverged_is_failure && outcome.is_diverged();
    let has_failed = result.outcomes.iter().flatten().any(|(outcome, _)| is_failure(outcome));
    Ok(match (result.interrupted, has_failed) {
        (true, _) => control.stop_signal.exit_code(),
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::SUCCESS,
    })
}
