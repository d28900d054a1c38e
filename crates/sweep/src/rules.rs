use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kiln_config::ConfigError;
use kiln_data::{DatasetSummary, KnownDatasets};
use kiln_store::doctor::{ExperimentRules, Finding, Severity};
use kiln_store::{DatasetRecord, RunDirectory, RunRecord, quoted};
use kiln_train::{Declaration, Experiment};

use crate::declaration::{Sweep, SweepPoint, SweepRecord, SweepRecords};
use crate::plan::{read_known_data, recorded_fingerprints};
use crate::race::{Race, RaceResult, result_of};

/// The checks of `kiln doctor` that need experiments, sweeps and their data.
#[derive(Debug, Default)]
pub struct SweepRules {
    /// The directory of the named datasets, if the user gave one.
    data: Option<PathBuf>,
    current_data: Mutex<CurrentData>,
}

/// The datasets as they are now.
#[derive(Debug, Default)]
struct CurrentData {
    /// By the directory of the sweep.
    sweeps: HashMap<PathBuf, SweepData>,
    /// By [`DataConfig::reading`](kiln_data::DataConfig::reading) and the directory of the named datasets. `None` if the dataset cannot be read.
    datasets: HashMap<(String, PathBuf), Option<DatasetSummary>>,
}

/// The record of the data in the directory of a sweep.
#[derive(Debug, Clone, Default)]
struct SweepData {
    /// The directory of the named datasets.
    directory: Option<PathBuf>,
    known: KnownDatasets,
}

/// The advice for a damaged declaration.
const REWRITE_RECORD: &str =
    "repeat the `kiln sweep` command of this sweep: it writes the file again";

impl SweepRules {
    /// Rules for datasets in the directory `data`. Without it, those of a sweep are where the sweep found them, and
    /// those of other runs in `data/`.
    #[must_use]
    pub fn new(data: Option<&Path>) -> Self {
        Self { data: data.map(Path::to_owned), ..Self::default() }
    }

    /// The dataset of an experiment as it is now; `None` if it cannot be read. `sweep` is the directory of the sweep, if
    /// the experiment is that of a sweep.
    fn dataset_now(
        &self,
        declaration: &Declaration,
        sweep: Option<&Path>,
    ) -> Option<DatasetSummary> {
        // While one thread reads a dataset, the others wait for the result.
        let mut current = self.current_data.lock().unwrap_or_else(PoisonError::into_inner);
        let CurrentData { sweeps, datasets } = &mut *current;
        let mut sweep = sweep.map(|directory| {
            sweeps.entry(directory.to_owned()).or_insert_with(|| SweepData {
                directory: SweepRecord::read(directory).ok().map(|record| record.data),
                known: read_known_data(directory),
            })
        });
        let of_sweep = sweep.as_ref().and_then(|sweep| sweep.directory.clone());
        let data = self.data.clone().or(of_sweep).unwrap_or_else(|| PathBuf::from("data"));
        let key = (declaration.experiment.data.reading(), data.clone());
        let read = || {
            let mut none = KnownDatasets::default();
            let known = sweep.as_mut().map_or(&mut none, |sweep| &mut sweep.known);
            declaration.dataset_summary(&data, known).ok()
        };
        datasets.entry(key).or_insert_with(read).clone()
    }
}

impl ExperimentRules for SweepRules {
    fn run(&self, run: &RunDirectory, record: &RunRecord) -> Vec<Finding> {
        let mut findings = kiln_train::check(run, record);
        if findings.is_empty() {
            findings.extend(wrong_id(run, record));
        }
        findings
    }

    fn changed_data(&self, run: &RunDirectory, record: &RunRecord) -> Option<String> {
        let declaration = Declaration::of_run(run).ok()?;
        let sweep = run.path().parent().filter(|_| run.is_of_sweep());
        let now = self.dataset_now(&declaration, sweep)?;
        let DatasetRecord { name, fingerprint: then, .. } = &record.dataset;
        (now.fingerprint != *then).then(|| {
            let [then, now] = [then, &now.fingerprint].map(|text| short(text));
            format!("the dataset {name} changed after this run, from {then}… to {now}…")
        })
    }

    fn sweep(&self, directory: &Path) -> Vec<Finding> {
        let SweepRecords { records, unreadable } = SweepRecords::read(directory);
        let of_unreadable =
            |(file, error): &(String, _)| Finding::of_error(file, error, REWRITE_RECORD);
        let mut findings: Vec<Finding> = unreadable.iter().map(of_unreadable).collect();
        let mut progress = Progress::default();
        for record in &records {
            match self.count(record, directory, &mut progress) {
                Ok(None) => {}
                Ok(Some(name)) => {
                    let problem = format!("it belongs to the sweep {name}, not to this directory");
                    let advice = format!("to resume the sweep, rename the directory to {name}");
                    let place = record.place(directory);
                    findings.push(Finding::of(Severity::Note, place, problem, advice));
                }
                Err(error) => {
                    let (place, problem) = (record.place(directory), error.to_string());
                    findings.push(Finding::of(Severity::Damaged, place, problem, REWRITE_RECORD));
                }
            }
        }
        let Progress { seen, missing, to_draw, sweeps } = progress;
        let missing = missing + to_draw;
        if missing > 0 {
            let of =
                if sweeps == 1 { "the sweep".to_owned() } else { format!("the {sweeps} sweeps") };
            let problem =
                format!("runs of {of} still to do: {missing} of {}", seen.len() + to_draw);
            let directory = quoted(&directory.display().to_string());
            let advice = format!("to resume: kiln resume {directory}");
            findings.push(Finding::of(Severity::Unfinished, "", problem, advice));
        }
        findings
    }
}

/// The runs of all sweeps in a directory.
#[derive(Debug, Default)]
struct Progress {
    /// The hashes of the experiments.
    seen: HashSet<String>,
    /// How many of them have no directory.
    missing: usize,
    /// The runs of samples that are not drawn yet.
    to_draw: usize,
    sweeps: usize,
}

impl SweepRules {
    /// Adds the runs of a sweep, and of a race those that it needs so far. Returns the name of the sweep if that is not
    /// the name of the directory.
    fn count(
        &self,
        record: &SweepRecord,
        directory: &Path,
        progress: &mut Progress,
    ) -> Result<Option<String>, ConfigError> {
        let sweep = Sweep::from_record(record)?.with_samples(directory)?;
        if directory.file_name().is_some_and(|own| *own != *sweep.name) {
            return Ok(Some(sweep.name));
        }
        progress.sweeps += 1;
        // If the data cannot be read, a run counts on any data.
        let mut recorded = None;
        let mut find = |points: &[SweepPoint]| {
            let find = |point| self.find_run(directory, point, &mut recorded);
            points.iter().map(find).collect::<Result<Vec<_>, ConfigError>>()
        };
        let result = |run: &Option<PathBuf>| {
            run.as_ref().map_or(RaceResult::Pending, |path| result_of(path))
        };
        let sweep = match sweep.search() {
            None => sweep,
            Some(search) => {
                let points = search.expand()?;
                let results: Vec<RaceResult> = find(&points)?.iter().map(result).collect();
                sweep.with_best_of(&points, &results)?
            }
        };
        let points = sweep.expand()?;
        let runs = find(&points)?;
        let needed = match sweep.race_config() {
            None => (0..runs.len()).collect(),
            Some(config) => {
                let experiments = points.iter().map(|point| &point.declaration.experiment);
                let race = Race::new(&config, experiments)?;
                let state = race.state(resolution(&runs), |run| result(&runs[run]));
                race.wanted(&state)
            }
        };
        if sweep.is_out_of_time(directory)? {
            return Ok(None);
        }
        for run in needed {
            if progress.seen.insert(points[run].declaration.experiment.identity()?) {
                progress.missing += usize::from(runs[run].is_none());
            }
        }
        if sweep.race_config().is_none() && sweep.budget().is_none() {
            progress.to_draw += sweep.samples_left() * sweep.runs_per_sample();
        }
        Ok(None)
    }

    /// The directory of a run of a sweep, if it exists. `recorded` caches the fingerprints of the data of all runs.
    fn find_run(
        &self,
        directory: &Path,
        point: &SweepPoint,
        recorded: &mut Option<BTreeSet<String>>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        let experiment = &point.declaration.experiment;
        if let Some(now) = self.dataset_now(&point.declaration, Some(directory)) {
            return run_on(directory, experiment, &now.fingerprint);
        }
        for fingerprint in recorded.get_or_insert_with(|| recorded_fingerprints(directory)).iter() {
            if let Some(run) = run_on(directory, experiment, fingerprint)? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }
}

/// The smallest difference between two validation accuracies of these runs; 0 if it is not known.
fn resolution(runs: &[Option<PathBuf>]) -> f64 {
    let images = runs.iter().flatten().find_map(|run| {
        let record = RunDirectory::at(run).read_record().ok()?;
        Some(record.dataset.validation_rows).filter(|images| *images > 0)
    });
    images.map_or(0.0, |images| 1.0 / images as f64)
}

/// The run of this experiment on the data with this fingerprint in a directory of runs.
fn run_on(
    directory: &Path,
    experiment: &Experiment,
    fingerprint: &str,
) -> Result<Option<PathBuf>, ConfigError> {
    let run = directory.join(experiment.identity_on(fingerprint)?);
    if run.exists() {
        return Ok(Some(run));
    }
    let earlier = directory.join(experiment.identity()?);
    let record = RunDirectory::at(&earlier).read_record();
    let is_of_data = record.map_or(true, |record| record.dataset.fingerprint == fingerprint);
    Ok(Some(earlier).filter(|earlier| earlier.exists() && is_of_data))
}

/// The beginning of a fingerprint.
fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(12).collect()
}

/// The finding for a run of a sweep whose directory is not named after its experiment.
fn wrong_id(run: &RunDirectory, record: &RunRecord) -> Option<Finding> {
    if !run.is_of_sweep() {
        return None;
    }
    let id = run.id();
    let experiment = Declaration::of_run(run).ok()?.experiment;
    let identity = experiment.identity_on(&record.dataset.fingerprint).ok()?;
    // Kiln 0.1.0 named the directory after the experiment alone.
    (identity != id && experiment.identity().ok()? != id).then(|| {
        let problem = format!(
            "its experiment and data have the id {identity}, unlike the directory: a file was changed, \
             or another version of Kiln created the run"
        );
        let advice = "sweeps do not touch this run; move it away, and the sweep trains its own";
        Finding::of(Severity::Stale, "config.toml", problem, advice)
    })
}
