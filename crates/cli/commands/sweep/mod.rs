//! `kiln sweep`.

mod control;
mod declared;
mod dry_run;
mod launched;
mod lines;
mod progress;
mod race;
mod summary;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kiln_config::{ConfigError, Override};
use kiln_store::{lock_limitation, printable};
use kiln_sweep::{
    DifferingKey, JobSettings, LAUNCHERS, LaunchOptions, Launched, Launcher, Plan, PlannedRun,
    RunOutcome, Sweep, SweepResult, queue_of_setting, queues, visible_devices,
};

use crate::experiment;
use crate::initial_weights;
use crate::options::{GlobalOptions, at_least_1, this_command};
use crate::output::{self, status, warning};

pub(crate) use control::SweepControl;
pub(crate) use declared::DeclaredSweep;
pub(crate) use progress::SweepProgress;

/// The long help of the axes. It is not a doc comment, because rustdoc would take the brackets for links.
const AXES_LONG_HELP: &str = "Keys and the values to try for them, such as learning_rate=0.01,0.1\n\n\
    The keys are those of `kiln run`. A comma separates values, except within brackets: hidden.units=300,100 is two values, \
    top_k=[3,5] is one, a list, and top_k=[3],[3,5] is two lists. An axis replaces the axis of the sweep file that has \
    the same key. A single value changes all runs.\n\n\
    With --launcher slurm, slurm.KEY=VALUE sets a key of the table [slurm], such as slurm.workers=20 or slurm.time=1:00:00.";

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
    /// How many runs to train at a time [default: the number of cores, divided by device.threads]
    #[arg(long, short, value_name = "N", value_parser = at_least_1)]
    jobs: Option<NonZeroUsize>,
    /// Where the runs are trained: on this machine, or by workers in a job of Slurm
    ///
    /// With slurm, the command submits a job and returns; `kiln status` shows the sweep, and `kiln cancel` ends it. The table
    /// slurm of the sweep file, or of kiln.toml next to it, has the settings of the job.
    #[arg(long, value_name = "NAME", default_value = LAUNCHERS[0].name(), value_parser = launcher_names())]
    launcher: String,
    /// With --launcher slurm, show the progress until the sweep is done; Ctrl-C leaves the job running
    #[arg(long)]
    wait: bool,
    /// The GPUs to train on, one run on each, such as 0,1 [default: those in CUDA_VISIBLE_DEVICES]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    devices: Vec<String>,
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

/// The values of `--launcher`.
fn launcher_names() -> Vec<&'static str> {
    LAUNCHERS.iter().map(|launcher| launcher.name()).collect()
}

/// The launcher with this name.
pub(crate) fn launcher(name: &str) -> &'static dyn Launcher {
    LAUNCHERS.iter().copied().find(|launcher| launcher.name() == name).unwrap_or(LAUNCHERS[0])
}

/// Returns an error for options that the launcher does not have. `of_job` are the settings of a job.
fn check_launcher(
    launcher: &dyn Launcher,
    arguments: &SweepArguments,
    of_job: &[String],
) -> Result<(), ConfigError> {
    let other = of_job.iter().filter_map(|argument| queue_of_setting(argument));
    let mut other = other.map(|queue| queue.name()).filter(|name| *name != launcher.name());
    if let Some(name) = other.next() {
        let problem = format!("{name}.KEY=VALUE is for --launcher {name}");
        return Err(ConfigError::new(problem).help(format!("add --launcher {name}, or omit it")));
    }
    let Some(queue) = launcher.queue() else {
        let names: Vec<&str> = queues().map(|queue| queue.name()).collect();
        let names = names.join(" or ");
        return match arguments.wait {
            true => Err(ConfigError::new(format!("--wait is for --launcher {names}"))
                .help(format!("add --launcher {names}, or omit it"))),
            false => Ok(()),
        };
    };
    let local = [
        ("--fail-fast", arguments.fail_fast),
        ("--jobs", arguments.jobs.is_some()),
        ("--devices", !arguments.devices.is_empty()),
    ];
    match local.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            let error = ConfigError::new(format!("{option} is for the local launcher"));
            Err(error.help(queue.instead_of(option).unwrap_or("omit it")))
        }
        None => Ok(()),
    }
}

pub(crate) fn sweep(
    options: &GlobalOptions,
    arguments: &SweepArguments,
) -> anyhow::Result<ExitCode> {
    let control = SweepControl::listen(options.quiet)?;
    let (of_job, axes): (Vec<String>, Vec<String>) =
        arguments.axes.iter().cloned().partition(|axis| queue_of_setting(axis).is_some());
    let launcher = launcher(&arguments.launcher);
    check_launcher(launcher, arguments, &of_job)?;
    let of_job: Vec<Override> =
        of_job.iter().map(|argument| Override::parse(argument)).collect::<Result<_, _>>()?;
    let mut sweep = Sweep::open(&arguments.file, &axes)
        .map_err(|error| experiment::instead_of_directory(&arguments.file).unwrap_or(error))?;
    sweep = sweep.with_command(this_command());
    if arguments.race {
        sweep = sweep.with_race(arguments.top)?;
    }
    sweep.find_initial_weights(|name| initial_weights::find(options, name))?;
    if arguments.skip_invalid {
        sweep = sweep.skipping_invalid();
    }
    let job = match launcher.queue() {
        Some(queue) => JobSettings::join(queue, &arguments.file, &sweep.jobs, &of_job)?,
        None => JobSettings::default(),
    };
    let plan = Plan::new(&sweep, options.data(), &options.runs, launcher.memory())?;
    if !options.quiet {
        plan.notes.iter().for_each(|note| status(format_args!("note: {note}")));
    }
    plan.warnings.iter().for_each(warning);
    let launch_options = LaunchOptions {
        fail_fast: arguments.fail_fast,
        retry_failed: arguments.retry_failed,
        reuse: !arguments.no_reuse,
        job,
        ..launch_options_for(&plan, &arguments.devices, arguments.jobs)?
    };
    if arguments.dry_run {
        match launcher.next_script(&plan, &launch_options) {
            Some(script) => output::print(script.trim_end())?,
            None => dry_run::print_plan(&plan, &launch_options)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let launch =
        Launch { launcher, fail_on_diverged: arguments.fail_on_diverged, waits: arguments.wait };
    launch.start(options, &plan, launch_options, &control)
}

/// How a sweep is launched.
pub(crate) struct Launch {
    pub(crate) launcher: &'static dyn Launcher,
    /// Whether a run that diverges is a failure.
    pub(crate) fail_on_diverged: bool,
    /// Whether to wait for workers that were submitted.
    pub(crate) waits: bool,
}

impl Default for Launch {
    fn default() -> Self {
        Self { launcher: LAUNCHERS[0], fail_on_diverged: false, waits: false }
    }
}

/// The settings in which a run differs from others by these keys, such as `learning_rate=0.1 seed=1`.
pub(crate) fn label(plan: &Plan, keys: &[DifferingKey], run: &PlannedRun) -> String {
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

/// The options to train the runs of a plan on this machine: on the GPUs that the command line gives or the environment lists, and
/// as many runs at a time as the cores suffice for.
pub(crate) fn launch_options_for(
    plan: &Plan,
    given: &[String],
    jobs: Option<NonZeroUsize>,
) -> anyhow::Result<LaunchOptions> {
    let devices = match given {
        [] if plan.uses_gpus() => visible_devices(),
        given => given.to_vec(),
    };
    if !given.is_empty() && !plan.uses_gpus() {
        let message = "--devices is for runs on a GPU, and none of these is";
        return Err(ConfigError::new(message).help("set device.backend=cuda, or omit it").into());
    }
    let jobs = jobs.or(NonZeroUsize::new(devices.len())).or_else(|| jobs_with_threads(plan));
    Ok(LaunchOptions { devices, ..launch_options(jobs)? })
}

/// The number of runs that train at the same time if `device.threads` says how many cores each takes; `None` if it does not.
fn jobs_with_threads(plan: &Plan) -> Option<NonZeroUsize> {
    let threads = plan.runs.iter().filter_map(|run| run.experiment.device.threads).max()?;
    let cores = std::thread::available_parallelism().ok()?;
    NonZeroUsize::new(cores.get() / threads).or(Some(NonZeroUsize::MIN))
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
        threads: NonZeroUsize::MIN,
        devices: Vec::new(),
        share: None,
        job: JobSettings::default(),
    })
}

impl Launch {
    /// Launches the runs of a plan that are not done, and prints the results or the job that trains them. The exit status is
    /// that of a failure if a run failed, or if one diverged and `--fail-on-diverged` is given.
    pub(crate) fn start(
        &self,
        options: &GlobalOptions,
        plan: &Plan,
        launch_options: LaunchOptions,
        control: &SweepControl,
    ) -> anyhow::Result<ExitCode> {
        if let Some(text) = summary::changed_data(plan)? {
            warning(text);
        }
        if let Some(text) = plan.skipped_text().filter(|_| !options.quiet) {
            status(text);
        }
        plan.write_record()?;
        if self.launcher.queue().is_some()
            && let Some(limitation) = lock_limitation(&plan.directory)
        {
            warning(format_args!(
                "the locks of the file system of {} end at the machine ({limitation}): two workers may begin the same run at \
                 the same moment, and a run of a failed node is free after two minutes",
                plan.directory.display()
            ));
        }
        let mut progress =
            progress::SweepProgress::new(options.quiet, plan, control.has_runs.clone());
        let launched =
            self.launcher.launch(plan, &launch_options, &mut progress, &control.requests);
        if !matches!(launched, Ok(Launched::Submitted(_))) {
            control.has_runs.set(false);
        }
        progress.close();
        let result = match launched? {
            Launched::Ended(result) => result,
            Launched::Submitted(outcome) => {
                return launched::report(self, options, plan, &outcome, control);
            }
        };
        if let Some(error) = result.too_short.and_then(|seconds| plan.budget_error(seconds)) {
            return Err(error.into());
        }
        if result.stage_is_over && !result.interrupted {
            let jobs = launch_options.jobs;
            if let Some(race) = plan.next_stage(jobs, result.overhead)? {
                summary::print_search(&race, &result)?;
                return self.start(options, &race, launch_options, control);
            }
        }
        summary::print_result(plan, &result)?;
        Ok(self.exit_code(&result, launch_options.fail_fast, control))
    }

    fn exit_code(&self, result: &SweepResult, fail_fast: bool, control: &SweepControl) -> ExitCode {
        let diverged_is_failure = self.fail_on_diverged || fail_fast;
        let is_failure = |outcome: &RunOutcome| {
            outcome.is_failure() || diverged_is_failure && outcome.is_diverged()
        };
        let has_failed = result.outcomes.iter().flatten().any(|(outcome, _)| is_failure(outcome));
        // Other workers may still draw samples, and the local launcher has none.
        let has_failed = has_failed || result.to_draw > 0;
        match (result.interrupted, has_failed) {
            (true, _) => control.stop_signal.exit_code(),
            (false, true) => ExitCode::FAILURE,
            (false, false) => ExitCode::SUCCESS,
        }
    }
}
