use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kiln_config::ConfigError;
use kiln_store::{FileLock, RunDirectory, Status, files, printable, quoted};
use kiln_sweep::{Plan, Sweep, SweepRecord, SweepRecords};
use kiln_train::{MachineMemory, Resumed, Run, RunLock};

use crate::commands::{run, sweep};
use crate::failure::Advised;
use crate::named_run;
use crate::options::{GlobalOptions, at_least_1};
use crate::output::{print, status, warning};
use crate::progress::ProgressReporter;

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// A run or a sweep: its directory, its id or the beginning of it, NAME/last or NAME
    #[arg(value_name = "RUN|SWEEP")]
    path: PathBuf,
    /// For a sweep, how many runs to train at a time [default: the number of cores, divided by device.threads]
    #[arg(long, short, value_name = "N", value_parser = at_least_1)]
    jobs: Option<NonZeroUsize>,
    /// Of several sweeps in the directory, resume only this one: its number or its file
    #[arg(long, value_name = "N|FILE")]
    sweep: Option<String>,
}

pub(crate) fn resume(
    options: &GlobalOptions,
    arguments: &ResumeArguments,
) -> anyhow::Result<ExitCode> {
    let path = named_run::path_of(options, &arguments.path)?;
    named_run::check_exists(&path)?;
    if path.is_dir() && files::exists(&SweepRecord::path(&path))? {
        resume_sweeps(options, arguments, &path)
    } else if arguments.sweep.is_some() {
        let problem = format!("{} is not the directory of a sweep", path.display());
        Err(ConfigError::new(problem).help("omit --sweep").into())
    } else if looks_like_run(&path) {
        resume_run(options, &path)
    } else {
        let message = format!("{} is neither a run nor a sweep", path.display());
        Err(Advised::new(message, "give a run (runs/NAME/ID) or a sweep (runs/NAME)").into())
    }
}

/// Whether a directory has files of a run, or is empty because its run was killed at its start.
fn looks_like_run(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let is_empty = entries.flatten().all(|entry| is_hidden(&entry.file_name()));
    is_empty || RunDirectory::FILES.iter().any(|file| path.join(file.name).exists())
}

fn resume_run(options: &GlobalOptions, path: &Path) -> anyhow::Result<ExitCode> {
    let directory = RunDirectory::open(path)?;
    let reporter = ProgressReporter::for_run(options.quiet)?;
    // The status is read after the lock is acquired, because another process may have changed it before.
    let lock = FileLock::of(&directory)?;
    let status_before = directory.read_record()?.status;
    if status_before == Status::Finished {
        // The run may have been killed before it removed its temporary files. If they cannot be removed now, `kiln
        // doctor` reports them.
        let _ = Run::tidy(&directory);
        status(format_args!(
            "the run is finished, so there is nothing to resume; to check its files: kiln doctor {}",
            quoted(&path.display().to_string())
        ));
        print(directory.path().display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let data = data_of(options, &directory);
    let Resumed { run, from, damage } = Run::resume(directory, &data, RunLock::Run(lock), None)?;
    for problem in damage {
        warning(problem);
    }
    if !options.quiet {
        match from {
            Some(position) => status(format_args!("resuming {}", position.start())),
            None => status("no usable checkpoint, starting from scratch"),
        }
        if status_before == Status::Pruned {
            status("the sweep had pruned this run; it is now trained to the end");
        }
    }
    run::train(options, run, reporter)
}

/// The directory of the named datasets of a run: the one of the command line, or else the one of the run's sweep.
pub(crate) fn data_of(options: &GlobalOptions, run: &RunDirectory) -> PathBuf {
    let of_sweep = || {
        let sweep = run.path().parent().filter(|_| run.is_of_sweep())?;
        SweepRecord::read(sweep).ok().map(|record| record.data)
    };
    let given = options.given_data().map(Path::to_owned);
    given.or_else(of_sweep).unwrap_or_else(|| options.data().to_owned())
}

/// The directory of all runs that contains the directory of this sweep.
pub(crate) fn runs_of(directory: &Path, sweep: &Sweep) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(directory)
        .with_context(|| format!("cannot find {}", directory.display()))?;
    let has_name_of_sweep = path.file_name().is_some_and(|name| *name == *sweep.name);
    // Messages show the directory of all runs, so it is kept as it was given, unless the path has a single component.
    let given = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (Some(runs), true) = (given.or(path.parent()), has_name_of_sweep) else {
        let name = printable(&sweep.name);
        anyhow::bail!(
            "{} contains the sweep `{name}`, but has another name: rename the directory to {name}",
            directory.display(),
        );
    };
    Ok(runs.to_owned())
}

/// Resumes all sweeps that were started in a directory, in their order.
fn resume_sweeps(
    options: &GlobalOptions,
    arguments: &ResumeArguments,
    directory: &Path,
) -> anyhow::Result<ExitCode> {
    let control = sweep::SweepControl::listen(options.quiet)?;
    let records = SweepRecords::read_intact(directory)?;
    let selected = match &arguments.sweep {
        Some(given) => vec![SweepRecords::select(&records, given)?],
        None => records,
    };
    let all = selected.len();
    let mut code = ExitCode::SUCCESS;
    for (number, record) in (1..).zip(&selected) {
        if all > 1 && !options.quiet {
            status(format_args!("sweep {number} of {all}: {record}"));
        }
        let ended = resume_sweep(options, arguments, directory, record, &control)?;
        if ended != ExitCode::SUCCESS {
            code = ended;
        }
        if control.is_stopped() {
            break;
        }
    }
    Ok(code)
}

fn resume_sweep(
    options: &GlobalOptions,
    arguments: &ResumeArguments,
    directory: &Path,
    record: &SweepRecord,
    control: &sweep::SweepControl,
) -> anyhow::Result<ExitCode> {
    let sweep = Sweep::from_record(record)?;
    let data = options.given_data().unwrap_or(&record.data);
    let runs = runs_of(directory, &sweep)?;
    let plan = Plan::new(&sweep, data, &runs, MachineMemory::of_this_machine())?;
    let launch_options = sweep::launch_options_for(&plan, &[], arguments.jobs)?;
    sweep::Launch::default().start(options, &plan, launch_options, control)
}
