//! Finds the run that a command line names: by a path, an id or its beginning, `NAME/last` or `NAME/best`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use kiln_compare::{AtEpoch, Comparison, DEFAULT_METRIC, RunSummary};
use kiln_store::{RunDirectory, Status, files};

use crate::failure::Advised;
use crate::options::GlobalOptions;

/// The help of an argument that names a run.
pub(crate) const RUN_HELP: &str =
    "The run: its directory, its id or the beginning of it, NAME/last or NAME/best";

/// How to name a run, for error messages.
const HOW_TO_NAME: &str = "a run is a directory such as runs/NAME/ID, the beginning of an id, NAME/last or NAME/best; \
                           `kiln ls` lists the runs";

/// Runs that are listed if a name is ambiguous.
const MAX_LISTED: usize = 4;

/// Opens the run that the user named.
pub(crate) fn open(options: &GlobalOptions, given: &Path) -> anyhow::Result<RunDirectory> {
    let path = path_of(options, given)?;
    check_exists(&path)?;
    Ok(RunDirectory::open(path)?)
}

/// Returns an error with advice if a path does not exist.
pub(crate) fn check_exists(path: &Path) -> anyhow::Result<()> {
    if files::exists(path)? {
        return Ok(());
    }
    Err(Advised::new(format!("{} does not exist", path.display()), HOW_TO_NAME).into())
}

/// The path of the run that the user named, or the given path itself if it exists or names no run.
pub(crate) fn path_of(options: &GlobalOptions, given: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = given.file_name().and_then(OsStr::to_str) else {
        return Ok(given.to_owned());
    };
    let is_pattern = given.to_string_lossy().contains(['*', '?', '[']);
    // What cannot be looked at is not missing.
    if is_pattern || files::exists(given).unwrap_or(true) {
        return Ok(given.to_owned());
    }
    let found = match given.parent().filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => {
            let places = [above.to_owned(), options.runs.join(above)];
            let Some(above) = places.into_iter().find(|place| place.is_dir()) else {
                return Ok(given.to_owned());
            };
            match name {
                "last" => return last(&above),
                "best" => return best(&above),
                beginning => runs_in(&above, beginning),
            }
        }
        None => {
            let named = options.runs.join(name);
            if named.is_dir() {
                return Ok(named);
            }
            let names = directories_in(&options.runs);
            names.iter().flat_map(|above| runs_in(above, name)).collect()
        }
    };
    // A complete id wins over longer ones that start with it.
    let exact = found.iter().filter(|run| run.file_name() == Some(OsStr::new(name)));
    let exact: Vec<&PathBuf> = exact.collect();
    match (exact.as_slice(), found.as_slice()) {
        ([only], _) => Ok((*only).clone()),
        ([], [only]) => Ok(only.clone()),
        ([], []) => Ok(given.to_owned()),
        _ => Err(ambiguous(given, &found).into()),
    }
}

fn ambiguous(given: &Path, found: &[PathBuf]) -> Advised {
    let mut shown: Vec<String> =
        found.iter().take(MAX_LISTED).map(|run| run.display().to_string()).collect();
    if found.len() > MAX_LISTED {
        shown.push("…".to_owned());
    }
    let message = format!("{} matches {} runs", given.display(), found.len());
    Advised::new(message, format!("name one of {}", shown.join(", ")))
}

/// The runs in a directory whose ids start with a text, sorted.
fn runs_in(directory: &Path, beginning: &str) -> Vec<PathBuf> {
    let mut runs = directories_in(directory);
    runs.retain(|run| {
        let name = run.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(beginning) && run.join("run.json").exists()
    });
    runs
}

/// The directories in a directory, without hidden ones, sorted.
fn directories_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let visible = entries.filter(|entry| !is_hidden(&entry.file_name()));
    let mut paths: Vec<PathBuf> = visible.map(|entry| entry.path()).collect();
    paths.retain(|path| path.is_dir());
    paths.sort();
    paths
}

/// The run that was started last.
fn last(directory: &Path) -> anyhow::Result<PathBuf> {
    let found = kiln_store::find(&[directory])?;
    let started = |path: &PathBuf| {
        let record = RunDirectory::at(path).read_record().ok()?;
        Some((record.started, record.id))
    };
    let last = found.runs.into_iter().filter_map(|path| Some((started(&path)?, path))).max();
    last.map(|(_, path)| path).ok_or_else(|| {
        let message = format!("{} has no run that can be read", directory.display());
        let help = format!("to see what is damaged: kiln doctor {}", directory.display());
        Advised::new(message, help).into()
    })
}

/// The finished run whose kept weights have the best validation accuracy.
fn best(directory: &Path) -> anyhow::Result<PathBuf> {
    let comparison = Comparison::ranked(&[directory])?;
    let ranked = ranked_by_validation(&comparison);
    let given = directory.display();
    let name_one = "name a run by its id";
    let Some((best, _)) = ranked.first() else {
        let message = format!("{given} has no finished run with a {DEFAULT_METRIC}");
        return Err(Advised::new(message, name_one).into());
    };
    if ranked.iter().any(|(run, _)| run.fingerprint != best.fingerprint) {
        let message = format!("{given} has runs on different datasets, which cannot be ranked");
        return Err(Advised::new(message, name_one).into());
    }
    Ok(best.directory.path().to_owned())
}

/// The finished runs with the validation accuracy of their kept weights, the best first.
pub(crate) fn ranked_by_validation(comparison: &Comparison) -> Vec<(&RunSummary, f64)> {
    let datasets = std::iter::once(comparison).chain(&comparison.other_data);
    let runs = datasets.flat_map(Comparison::runs);
    let finished = runs.filter(|run| run.status == Status::Finished);
    let value = |run: &RunSummary| Some(run.metric(DEFAULT_METRIC, AtEpoch::Kept)?.value);
    let mut ranked: Vec<_> = finished.filter_map(|run| Some((run, value(run)?))).collect();
    // The sort is stable, so of equal runs the first in the comparison's order wins.
    ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    ranked
}
