use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kiln_store::{Claim, RunDirectory, Status, files};
use kiln_sweep::{Plan, Sweep, SweepRecord};
use kiln_train::{Resumed, Run, RunLock};

use crate::arguments::Arguments;
use crate::progress::Reporter;
use crate::{complain, run, say, sweep};

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The directory of a run, or of a sweep
    path: PathBuf,
    /// Runs of a sweep at a time [default: the number of cores]
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

pub(crate) fn resume(arguments: &Arguments, options: &ResumeArguments) -> anyhow::Result<ExitCode> {
    if files::exists(&SweepRecord::path(&options.path))? {
        resume_sweep(arguments, options)
    } else {
        resume_run(arguments, &options.path)
    }
}

fn resume_run(arguments: &Arguments, path: &Path) -> anyhow::Result<ExitCode> {
    let directory = RunDirectory::open(path)?;
    let reporter = Reporter::of_run(arguments.quiet)?;
    // Looked at again when nobody else can have changed it.
    let claim = Claim::of(&directory)?;
    let status = directory.read_record()?.status;
    if status == Status::Finished {
        // It may have been killed while it tidied up.
        // What keeps it from being tidied up is the doctor's business.
        let _ = Run::tidy(&directory);
        complain(
            "it is finished, and there is nothing to go on with; kiln doctor checks its files",
        );
        say(directory.path().display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let data = data_of(arguments, &directory);
    let Resumed { run, from, damage } = Run::resume(directory, &data, RunLock::Run(claim))?;
    for problem in damage {
        complain(format_args!("warning: {problem}"));
    }
    if !arguments.quiet {
        match from {
            Some(from) => complain(format_args!("goes on {from}")),
            None => complain("there is no checkpoint that can be used: it begins anew"),
        }
        if status == Status::Pruned {
            complain("its sweep had pruned it; now it goes on to its end");
        }
    }
    run::train(arguments, run, reporter)
}

/// Where the named datasets of a run lie: where it is said, else where its sweep had them.
pub(crate) fn data_of(arguments: &Arguments, run: &RunDirectory) -> PathBuf {
    let of_sweep = || {
        let sweep = run.path().parent().filter(|_| run.is_of_sweep())?;
        SweepRecord::read(sweep).ok().map(|record| record.data)
    };
    let given = arguments.given_data().map(Path::to_owned);
    given.or_else(of_sweep).unwrap_or_else(|| arguments.data().to_owned())
}

fn resume_sweep(arguments: &Arguments, options: &ResumeArguments) -> anyhow::Result<ExitCode> {
    let control = sweep::Control::listen(arguments.quiet)?;
    let record = SweepRecord::read(&options.path)?;
    let sweep = Sweep::again(&record)?;
    // What was given when it was begun, unless something else is given now.
    let data = arguments.given_data().unwrap_or(&record.data);
    let path = std::path::absolute(&options.path)
        .with_context(|| format!("cannot find {}", options.path.display()))?;
    let is_its_own = path.file_name().is_some_and(|name| *name == *sweep.name);
    // As it was given, where that says it.
    let given = options.path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (Some(runs), true) = (given.or(path.parent()), is_its_own) else {
        anyhow::bail!(
            "{} holds the sweep `{}`, and the directory of a sweep has its name: rename it back",
            options.path.display(),
            kiln_store::printable(&sweep.name)
        );
    };
    let plan = Plan::new(&sweep, data, runs)?;
    let launch_options = sweep::launch_options(options.jobs, false, false)?;
    sweep::launch(arguments, &plan, launch_options, &control)
}
