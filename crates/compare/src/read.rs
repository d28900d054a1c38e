use std::collections::HashSet;
use std::path::{Path, PathBuf};

use kiln_store::{
    Annotations, History, RunDirectory, RunRecord, Skipped, Status, StoreError, TestReport, files,
    in_parallel,
};

use crate::combination::{RunSummary, TestSummary};
use crate::error::{CompareError, Result};
use crate::metric::{MetricSummary, set_kept};
use crate::settings::FlatConfig;

/// The largest number of different settings. Each run has a cell for each of them, so the table grows with both.
const MAX_SETTINGS: usize = 10_000;

/// A run with its configuration.
pub(crate) type ReadRun = (RunSummary, FlatConfig);

/// The runs that could be read, and the directories that could not.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) runs: Vec<ReadRun>,
    pub(crate) left_out: Vec<Skipped>,
}

impl Read {
    /// Adds directories that could not be read.
    pub(crate) fn without(mut self, left_out: Vec<Skipped>) -> Self {
        self.left_out.extend(left_out);
        self.left_out.sort_by(|left, right| left.path.cmp(&right.path));
        self
    }
}

/// Reads these run directories on all cores. The runs keep their order.
pub(crate) fn read(paths: &[PathBuf]) -> Read {
    collect(in_parallel(paths, |path| read_one(path)))
}

/// Reads a run directory.
pub(crate) fn read_one(path: &Path) -> Result<ReadRun, Skipped> {
    read_run(path).map_err(|error| skipped(path, &error))
}

/// The runs of a comparison, whose number of settings is limited.
pub(crate) fn collect(results: impl IntoIterator<Item = Result<ReadRun, Skipped>>) -> Read {
    let mut read = Read::default();
    let mut keys = HashSet::new();
    for result in results {
        match result {
            Ok(run) if has_room(&mut keys, &run.1) => read.runs.push(run),
            Ok((run, _)) => read.left_out.push(Skipped {
                path: run.directory.path().to_owned(),
                problem: format!(
                    "with this run, the runs would have more than {MAX_SETTINGS} different settings"
                ),
            }),
            Err(left_out) => read.left_out.push(left_out),
        }
    }
    read
}

/// Adds a configuration's keys to those of the other runs; false, and no change, if they would be too many.
fn has_room(keys: &mut HashSet<String>, configuration: &FlatConfig) -> bool {
    let layers = configuration.layers.iter().flat_map(|layers| &layers.settings);
    let own = configuration.settings.iter().chain(layers).map(|(key, _)| key);
    let new: Vec<String> = own.filter(|key| !keys.contains(*key)).cloned().collect();
    let has_room = keys.len() + new.len() <= MAX_SETTINGS;
    if has_room {
        keys.extend(new);
    }
    has_room
}

/// Why a directory could not be read. File names are relative to the directory.
fn skipped(path: &Path, error: &CompareError) -> Skipped {
    let text = error.to_string();
    let own = path.display().to_string();
    let problem = text.strip_prefix(&format!("{own}: ")).unwrap_or(&text);
    let problem = problem.replace(&format!("{own}/"), "");
    Skipped { path: path.to_owned(), problem }
}

fn read_run(path: &Path) -> Result<ReadRun> {
    let directory = RunDirectory::open(path)?;
    let record = directory.read_record()?;
    // The numbers and settings of an edited file are not those of the run. Large files are checked only by `kiln doctor`.
    let config = directory.read_checked(&record, "config.toml", kiln_config::MAX_BYTES)?;
    let flat = parse_config(&directory, &config)?;
    let history = directory.read_checked_history(&record)?;
    let report = directory.read_checked_report(&record)?;
    check(&directory, &record, &flat, &history, report.as_ref())?;
    // No result depends on them, so the run counts without them.
    let annotations = directory.read_annotations().ok();
    let metrics = metric_names(&history).map(|name| (name, record.direction(name)));
    let mut metrics = MetricSummary::all(metrics, &history);
    if let Some(epoch) = kept_epoch(report.as_ref(), &flat, &metrics, &history) {
        set_kept(&mut metrics, &history, epoch);
    }
    let summary = summary(directory, record, metrics, &history, report.as_ref(), annotations);
    Ok((summary, flat))
}

/// The columns of the history that are metrics: all except the epoch, the learning rate and the seconds.
fn metric_names(history: &History) -> impl Iterator<Item = &str> {
    let always = ["loss", "accuracy", "val_loss", "val_accuracy"];
    always.into_iter().chain(history.extra_columns.iter().map(String::as_str))
}

/// The epoch whose weights the run keeps. The report says it; a run without one would keep the weights that its
/// configuration asks for.
fn kept_epoch(
    report: Option<&TestReport>,
    config: &FlatConfig,
    metrics: &[MetricSummary],
    history: &History,
) -> Option<usize> {
    if let Some(report) = report {
        return Some(report.epoch);
    }
    let monitor = if config.get("training.weights") == Some("best") {
        config.get("training.monitor")
    } else if config.get("early_stopping.restore_best") == Some("true") {
        config.get("early_stopping.monitor")
    } else {
        return history.rows.last().map(|row| row.epoch);
    };
    metrics.iter().find(|metric| Some(metric.name.as_str()) == monitor)?.best.map(|best| best.epoch)
}

pub(crate) fn read_config(directory: &RunDirectory) -> Result<FlatConfig> {
    parse_config(directory, &files::read(&directory.config_path(), kiln_config::MAX_BYTES)?)
}

fn parse_config(directory: &RunDirectory, text: &str) -> Result<FlatConfig> {
    let malformed =
        |(line, problem)| StoreError::malformed(&directory.config_path(), line, problem);
    Ok(FlatConfig::parse(text).map_err(malformed)?)
}

/// Checks that the files belong to the same run. A row with numbers of two runs would be wrong for both.
fn check(
    directory: &RunDirectory,
    record: &RunRecord,
    config: &FlatConfig,
    history: &History,
    report: Option<&TestReport>,
) -> Result<()> {
    let problem = if record.status != Status::Finished && report.is_some() {
        format!(
            "run.json has status {}, but there is a report.json, which only a finished run has",
            record.status
        )
    } else if let Some(report) = report.filter(|report| report.epoch > history.rows.len()) {
        let epochs = history.rows.len();
        format!(
            "report.json is about epoch {}, but history.csv ends at epoch {epochs}",
            report.epoch
        )
    } else if let Some(seed) = config.seed.as_ref().filter(|seed| **seed != record.seed.to_string())
    {
        format!("config.toml has seed {seed}, but run.json has seed {}", record.seed)
    } else if report.is_some_and(|report| !(0.0..=1.0).contains(&report.accuracy)) {
        "report.json has an accuracy that is not between 0 and 1".to_owned()
    } else {
        return Ok(());
    };
    let problem = format!("{problem}: a file is stale or was edited");
    Err(CompareError::Mismatch { path: directory.path().to_owned(), problem })
}

fn summary(
    directory: RunDirectory,
    record: RunRecord,
    metrics: Vec<MetricSummary>,
    history: &History,
    report: Option<&TestReport>,
    annotations: Option<Annotations>,
) -> RunSummary {
    let finite = |value: &f64| value.is_finite();
    RunSummary {
        name: record.name,
        started: record.started,
        id: record.id,
        seed: record.seed,
        status: record.status,
        stop_reason: record.stop_reason,
        metrics,
        test: report.map(|report| TestSummary {
            loss: report.loss.filter(finite),
            accuracy: report.accuracy,
            examples: report.examples,
        }),
        optimism: record.optimism,
        training_seconds: record.training_seconds.filter(finite),
        parameters: record.parameters,
        // run.json has the number of epochs only when the run has ended; the history always has it.
        epochs: history.rows.len(),
        validation_rows: record.dataset.validation_rows,
        dataset: record.dataset.name,
        fingerprint: record.dataset.fingerprint,
        validation_fingerprint: record.validation_fingerprint,
        annotations,
        directory,
    }
}
