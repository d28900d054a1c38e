use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kiln_compare::{Comparison, DEFAULT_METRIC};
use kiln_store::number::bytes;
use kiln_store::space::{self, Removable};
use kiln_store::{RunDirectory, Status, in_parallel, quoted};

use crate::named_run;
use crate::options::GlobalOptions;
use crate::output::{count, print, status, warning};

#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// Runs, sweeps, the directory of all runs, or patterns such as 'runs/*/*'
    #[arg(required_unless_present = "cache", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also remove the decoded images in the cache of the data directory, DATA/.cache
    ///
    /// They are decoded again when they are needed.
    #[arg(long)]
    cache: bool,
    /// Also remove weights, except those of the N finished runs that are best by validation
    ///
    /// Of several datasets, the N best runs of each keep their weights. Runs without validation always keep them.
    #[arg(long, value_name = "best=N", value_parser = best_number)]
    keep: Option<usize>,
    /// Only list what would be removed, which is also done without --yes
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Remove it
    #[arg(long, short)]
    yes: bool,
}

/// Parses `best=N`.
fn best_number(argument: &str) -> Result<usize, String> {
    let number = argument.strip_prefix("best=").and_then(|number| number.parse().ok());
    number.ok_or_else(|| "write best=N, such as best=10".to_owned())
}

/// The removable files of a run, with the bytes that their removal frees.
struct CleanedRun {
    directory: RunDirectory,
    status: Status,
    parts: Vec<(Removable, u64)>,
}

pub(crate) fn clean(
    options: &GlobalOptions,
    arguments: &CleanArguments,
) -> anyhow::Result<ExitCode> {
    if arguments.cache {
        clean_cache(options, arguments)?;
    }
    if arguments.paths.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let paths: Vec<PathBuf> = arguments
        .paths
        .iter()
        .map(|path| named_run::path_of(options, path))
        .collect::<anyhow::Result<_>>()?;
    let found = kiln_store::find(&paths)?.runs;
    let without_weights = match arguments.keep {
        Some(number) => ended_runs_except_best(&paths, number)?,
        None => Vec::new(),
    };
    let runs = in_parallel(&found, |path| cleaned_run(path, &without_weights));
    let mut runs: Vec<CleanedRun> = runs.into_iter().flatten().collect();
    let unfinished = runs.iter().filter(|run| !space::is_complete(run.status)).count();
    runs.retain(|run| !run.parts.is_empty());
    let all: u64 = found.iter().map(|path| space::size(path)).sum();
    let freed = |part: Option<Removable>| -> u64 {
        let parts = runs.iter().flat_map(|run| &run.parts);
        parts.filter(|(own, _)| part.is_none_or(|part| part == *own)).map(|(_, bytes)| bytes).sum()
    };
    if runs.is_empty() {
        print(format!("{}, {}: nothing to remove", count(found.len(), "run"), bytes(all)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let total = freed(None);
    let mut failed = 0;
    if arguments.yes {
        for run in &runs {
            let parts: Vec<Removable> = run.parts.iter().map(|(part, _)| *part).collect();
            if let Err(error) = space::remove(&run.directory, &parts) {
                warning(error);
                failed += 1;
            }
        }
        print(format!("removed from {}:", count(runs.len() - failed, "run")))?;
    } else {
        print(format!(
            "{} of {} can be freed in {}:",
            bytes(total),
            bytes(all),
            count(found.len(), "run")
        ))?;
    }
    for part in Removable::ALL {
        let of_runs =
            runs.iter().filter(|run| run.parts.iter().any(|(own, _)| *own == part)).count();
        if of_runs > 0 {
            let of_runs = count(of_runs, "run");
            print(format!("  {:<24} {:>10}  of {of_runs}", label(part), bytes(freed(Some(part)))))?;
        }
    }
    if !options.quiet {
        explain(options, arguments, &runs, unfinished);
    }
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Removes the cache of decoded images, or says how large it is.
fn clean_cache(options: &GlobalOptions, arguments: &CleanArguments) -> anyhow::Result<()> {
    let data = options.data();
    let directory = kiln_data::cache_directory(data);
    let size = kiln_data::cache_size(data);
    if size == 0 {
        print(format!("{}: nothing to remove", directory.display()))?;
    } else if arguments.yes {
        let size = kiln_data::remove_cache(data)?;
        print(format!("removed {} of decoded images in {}", bytes(size), directory.display()))?;
    } else {
        print(format!(
            "{} of decoded images can be freed in {}",
            bytes(size),
            directory.display()
        ))?;
        // Otherwise the command for the runs includes this.
        if arguments.paths.is_empty() && !options.quiet {
            status(format_args!("to remove this: {} --yes", command(options, arguments)));
        }
    }
    Ok(())
}

/// The command without `--yes`.
fn command(options: &GlobalOptions, arguments: &CleanArguments) -> String {
    let mut command = vec!["kiln clean".to_owned()];
    command.extend(arguments.paths.iter().map(|path| quoted(&path.display().to_string())));
    command.extend(arguments.keep.map(|number| format!("--keep best={number}")));
    if arguments.cache {
        command.push("--cache".to_owned());
        let data = options.given_data();
        command.extend(data.map(|data| format!("--data {}", quoted(&data.display().to_string()))));
    }
    command.join(" ")
}

/// The use of the removable files, and how to remove them.
fn explain(
    options: &GlobalOptions,
    arguments: &CleanArguments,
    runs: &[CleanedRun],
    unfinished: usize,
) {
    let has = |part: Removable, status: Option<Status>| {
        runs.iter()
            .filter(|run| status.is_none_or(|status| status == run.status))
            .any(|run| run.parts.iter().any(|(own, _)| *own == part))
    };
    status("reports, histories, predictions and charts stay");
    if has(Removable::Weights, None) {
        status(
            "without weights, a run cannot predict; to get them back, train it again: kiln run RUN/config.toml",
        );
    }
    if has(Removable::Checkpoints, Some(Status::Pruned)) {
        status("a pruned run without checkpoints starts from scratch if it is resumed");
    }
    if unfinished > 0 {
        status(format_args!("left alone: {} that can be resumed", count(unfinished, "run")));
    }
    if !arguments.yes {
        status(format_args!("to remove this: {} --yes", command(options, arguments)));
    }
}

fn label(part: Removable) -> &'static str {
    match part {
        Removable::Checkpoints => "checkpoints",
        Removable::InitialWeights => "weights before training",
        Removable::Weights => "weights",
    }
}

/// The removable files of the run at a path; `None` if its record cannot be read.
fn cleaned_run(path: &Path, without_weights: &[PathBuf]) -> Option<CleanedRun> {
    let directory = RunDirectory::at(path);
    let record = directory.read_record().ok()?;
    let status = record.status;
    let is_removed = |part: &Removable| match part {
        Removable::Checkpoints => true,
        // `kiln verify` needs them: the file that they were loaded from may change.
        Removable::InitialWeights => record.initial_weights.is_none(),
        Removable::Weights => without_weights.iter().any(|run| run == path),
    };
    let parts = Removable::ALL.into_iter().filter(|_| space::is_complete(status));
    let parts = parts.filter(is_removed).filter_map(|part| {
        let path = path.join(part.name());
        path.exists().then(|| (part, space::freed_by_removing(&path)))
    });
    Some(CleanedRun { parts: parts.collect(), directory, status })
}

/// The runs that have ended, except the best finished ones of each dataset and those that cannot be ranked.
fn ended_runs_except_best(paths: &[PathBuf], number: usize) -> anyhow::Result<Vec<PathBuf>> {
    let comparison = Comparison::ranked(paths)?;
    let mut kept: HashMap<&str, usize> = HashMap::new();
    let mut removed = Vec::new();
    for (run, _) in named_run::ranked_by_validation(&comparison) {
        let kept = kept.entry(run.fingerprint.as_str()).or_default();
        *kept += 1;
        if *kept > number {
            removed.push(run.directory.path().to_owned());
        }
    }
    let datasets = std::iter::once(&comparison).chain(&comparison.other_data);
    let runs = datasets.flat_map(Comparison::runs);
    let is_useless = |status| matches!(status, Status::Pruned | Status::Diverged);
    let useless = runs.filter(|run| is_useless(run.status));
    removed.extend(useless.map(|run| run.directory.path().to_owned()));
    if kept.is_empty() {
        warning(format_args!(
            "no finished run has a {DEFAULT_METRIC}, so all finished runs keep their weights"
        ));
    }
    Ok(removed)
}
