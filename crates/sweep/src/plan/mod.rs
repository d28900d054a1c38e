//! The plan of a sweep: every run checked against its data, with its cost, and the state of its directory.

pub(crate) mod budget;
mod estimate;
mod invalid;
mod known_data;
mod other_data;
mod planner;
mod reuse;
mod runs;
mod sampling;
mod shared;
mod state;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use kiln_config::KeyIndex;
use kiln_data::{DatasetSummary, KnownDatasets};
use kiln_model::Architecture;
use kiln_store::{RunDirectory, RunRecord, StoreError, files};
use kiln_train::{Backend, Declaration, Experiment, MachineMemory};

use crate::declaration::{Setting, SkippedRuns, Sweep, SweepRecord, SweepRecords};
use crate::error::SweepError;
use crate::plan::invalid::InvalidRuns;
use crate::plan::planner::{PlannedRuns, Planner};
use crate::plan::sampling::Sampling;
use crate::plan::shared::SharedGroups;
use crate::prune::PruneConfig;
use crate::race::{Race, RaceProgress, RaceResult, RaceState, result_of};

pub(crate) use budget::RunCost;
pub use budget::{Budget, Outlook};
pub use estimate::Estimate;
pub use invalid::InvalidSweep;
pub(crate) use known_data::read as read_known_data;
pub use other_data::RunOnOtherData;
pub(crate) use planner::recorded_fingerprints;
pub use runs::Runs;
pub use shared::SharedTraining;
pub use state::RunState;

/// The runs of a sweep, checked against their data.
#[derive(Debug)]
pub struct Plan {
    /// The name of the sweep.
    pub name: String,
    /// The directory of the sweep, `<runs>/<name>`, which contains its runs.
    pub directory: PathBuf,
    /// The path of the experiment that the sweep changes.
    pub experiment: PathBuf,
    /// The directory of the named datasets.
    pub data_directory: PathBuf,
    /// The directory of all runs, of this sweep and others.
    pub runs_directory: PathBuf,
    /// The rules by which runs are pruned, if they are.
    pub prune: Option<PruneConfig>,
    /// The race between the combinations, if there is one.
    pub race: Option<Race>,
    /// The runs, in the order in which they are declared. A race may end before it needs all of them. A sampler that reads
    /// results adds runs while the sweep is trained.
    pub runs: Runs,
    /// The runs that cannot be trained and are skipped.
    pub skipped: Vec<SkippedRuns>,
    /// Changes by axes over `optimizer.type` or `schedule.type` besides the type (see [`Declaration::notes`]), and the
    /// notes about training on the data (see [`Experiment::notes_on`]), without repetitions.
    pub notes: Vec<String>,
    /// See [`Experiment::warnings_on`]: of several that differ only in their numbers, the first.
    pub warnings: Vec<String>,
    /// Whether the seed is an axis that repeats all combinations.
    has_seed_axis: bool,
    record: SweepRecord,
    known_datasets: KnownDatasets,
    /// One entry for all runs whose steps cost the same.
    pub(crate) workloads: Vec<Workload>,
    /// The runs that have their training in common.
    pub(crate) shared: SharedGroups,
    /// The time of the sweep, if that decides how many samples there are.
    pub budget: Option<Budget>,
    /// The samples, if results decide which are drawn.
    sampling: Option<Sampling>,
}

/// One run of a plan.
#[derive(Debug)]
pub struct PlannedRun {
    /// The name of its directory: see [`Experiment::identity_on`], or [`Experiment::identity`] if that directory exists.
    pub id: String,
    /// See [`Experiment::identity`].
    pub experiment_hash: String,
    /// The settings that differ from the sweep's experiment.
    pub settings: Vec<Setting>,
    /// The resolved experiment.
    pub experiment: Experiment,
    /// The resolved experiment as TOML.
    pub config: String,
    /// The number of values in all parameters of the model.
    pub parameters: usize,
    /// Floating-point operations of one training step.
    pub step_flops: u64,
    /// Training steps in one epoch.
    pub steps: usize,
    /// The largest number of epochs; early stopping may end the run sooner.
    pub epochs: usize,
    /// Images in the training set.
    pub training_images: usize,
    /// Images in the validation set.
    pub validation_images: usize,
    /// Images that are evaluated after each epoch.
    pub evaluated_images: usize,
    /// Images of the test set.
    pub test_images: usize,
    /// The data.
    pub dataset: DatasetSummary,
    /// An index into the plan's workloads.
    pub(crate) workload: usize,
    /// The index of the sample, if a sampler that reads results has drawn it.
    pub(crate) sample: Option<usize>,
}

/// A kind of training step: a model, an optimizer and a batch size.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) declaration: Declaration,
    pub(crate) architecture: Architecture,
    pub(crate) step_flops: u64,
}

/// The cost of a step apart from its floating-point operations, expressed in such operations: bookkeeping
/// and memory traffic of about 0.1 ms. It only serves to sort runs; no result depends on it.
const STEP_OVERHEAD: u64 = 10_000_000;

/// Of the texts that differ only in their numbers, the first.
fn first_of_each_kind(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut kinds: HashSet<String> = HashSet::new();
    let without_digits = |text: &String| text.chars().filter(|c| !c.is_ascii_digit()).collect();
    texts.filter(|text| kinds.insert(without_digits(text))).collect()
}

impl Plan {
    /// Expands the sweep and checks the shapes, the memory, the split and the backend of every run. `data_directory` contains
    /// the named datasets, `runs_directory` the runs of all sweeps; `memory` is that of the machine that will train.
    ///
    /// # Errors
    ///
    /// Those of [`Sweep::expand`]; the sweep's directory is a link that leads out of `runs_directory`; a dataset cannot
    /// be read; or runs do not fit their data, the memory or the rules of pruning or racing, unless the sweep
    /// [leaves them out](Sweep::skipping_invalid) and others remain. The error names all of them.
    pub fn new(
        sweep: &Sweep,
        data_directory: &Path,
        runs_directory: &Path,
        memory: MachineMemory,
    ) -> Result<Self, SweepError> {
        let directory = runs_directory.join(&sweep.name);
        files::check_within(runs_directory, &directory)?;
        // With a budget, the samples also decide whether the sweep is in its search or in its race.
        let sweep = &sweep.clone().with_samples(&directory)?;
        let prune = sweep.pruning();
        let race = sweep.race_config();
        let known_datasets = known_data::read(&directory);
        let known_datasets =
            if sweep.trusts_known_data { known_datasets.trusted() } else { known_datasets };
        let metric = sweep.adaptive().map(|random| random.metric);
        let mut planner =
            Planner::new(&directory, data_directory, known_datasets, prune, race.is_some(), memory)
                .with_metric(metric);
        let sweep = match sweep.search() {
            None => Cow::Borrowed(sweep),
            Some(search) => {
                let PlannedRuns { points, runs, invalid } =
                    planner.plan_all(search.expand_all()?)?;
                if !invalid.is_empty() && !sweep.skip_invalid {
                    let invalid = InvalidRuns::new(sweep, &planner, &points, invalid);
                    return Err(invalid.into_error(sweep));
                }
                let result = |run: &PlannedRun| result_of(&directory.join(&run.id));
                let results: Vec<_> = runs.iter().map(result).collect();
                Cow::Owned(sweep.with_best_of(&points, &results)?)
            }
        };
        let PlannedRuns { points, runs, invalid } = planner.plan_all(sweep.expand_all()?)?;
        let mut record = sweep.record.clone();
        if !invalid.is_empty() {
            let invalid = InvalidRuns::new(&sweep, &planner, &points, invalid);
            if !sweep.skip_invalid || points.is_empty() {
                return Err(invalid.into_error(&sweep));
            }
            record.skipped = invalid.skipped();
        }
        let declared = points.iter().flat_map(|point| &point.declaration.notes).cloned();
        let mut notes: Vec<String> = Vec::new();
        for note in declared {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes.extend(first_of_each_kind(
            runs.iter().flat_map(|run| run.experiment.notes_on(run.training_images)),
        ));
        let warnings = first_of_each_kind(
            runs.iter().flat_map(|run| run.experiment.warnings_on(run.training_images)),
        );
        let experiments = || runs.iter().map(|run| &run.experiment);
        let race = race.map(|config| Race::new(&config, experiments())).transpose()?;
        let Planner { known_datasets, workloads, .. } = planner;
        let sample_files = if race.is_none() { sweep.sample_files(&directory)? } else { None };
        // A run that is pruned waits at each rung, and would keep others waiting. Samples are not all known.
        let shared = match (prune, &sample_files) {
            (None, None) => SharedGroups::new(&runs)?,
            _ => SharedGroups::default(),
        };
        let budget = match (sweep.budget(), sweep.sample_files(&directory)?) {
            (Some(time), Some(files)) => {
                Some(Budget::new(&directory, files.key(), time.seconds, race.is_some()))
            }
            _ => None,
        };
        let epochs = runs.first().map_or(0, |run| run.epochs);
        let prune = match (metric, prune) {
            (Some(metric), None) if budget.is_some() && race.is_none() && epochs > 1 => {
                Some(PruneConfig::of_budget(metric, epochs))
            }
            (_, prune) => prune,
        };
        let to_draw = sweep.samples_left().saturating_mul(sweep.runs_per_sample());
        let sampling = sample_files.map(|files| Sampling::new(&sweep, files, &runs, memory));
        // The path stays relative if the working directory was deleted.
        let data =
            std::path::absolute(data_directory).unwrap_or_else(|_| data_directory.to_owned());
        Ok(Self {
            name: sweep.name.clone(),
            directory,
            experiment: sweep.experiment.clone(),
            data_directory: data_directory.to_owned(),
            runs_directory: runs_directory.to_owned(),
            prune,
            race,
            runs: Runs::new(runs, to_draw),
            skipped: record.skipped.clone(),
            notes,
            warnings,
            has_seed_axis: sweep.has_seeds(),
            record: record.with_data(data),
            known_datasets,
            workloads,
            shared,
            budget,
            sampling,
        })
    }

    /// Writes the declaration, from which `kiln resume` declares the sweep again, and the cache of the fingerprints of the
    /// data.
    ///
    /// # Errors
    ///
    /// The declaration cannot be written.
    pub fn write_record(&self) -> Result<(), StoreError> {
        self.record.write(&self.directory)?;
        // Without the cache, the next plan reads the data.
        let _ = known_data::write(&self.directory, &self.known_datasets);
        Ok(())
    }

    /// The number of the sweep among all that were started in its directory, counted from 1; `None` before it was started,
    /// and if it is the only one.
    #[must_use]
    pub fn number(&self) -> Option<usize> {
        let records = SweepRecords::read(&self.directory).records;
        let place = records.iter().position(|record| record.is_same(&self.record))?;
        (records.len() > 1).then_some(place + 1)
    }

    /// The runs that are skipped, as a number and a line for each reason; `None` if there are none.
    #[must_use]
    pub fn skipped_text(&self) -> Option<String> {
        let skipped: usize = self.skipped.iter().map(|group| group.runs.len()).sum();
        let runs = if skipped == 1 { "1 run" } else { &format!("{skipped} runs") };
        let are = if skipped == 1 { "is" } else { "are" };
        let lines = invalid::lines(&self.skipped);
        (skipped > 0).then(|| format!("{runs} cannot be trained and {are} skipped:{lines}"))
    }

    /// How the sweep was declared.
    #[must_use]
    pub fn record(&self) -> &SweepRecord {
        &self.record
    }

    /// The directory of a run, which need not exist.
    #[must_use]
    pub fn path_of(&self, run: &PlannedRun) -> PathBuf {
        self.directory.join(&run.id)
    }

    /// The `run.json` of a run; `None` if there is none, or none that can be read.
    #[must_use]
    pub fn run_record(&self, run: &PlannedRun) -> Option<RunRecord> {
        let directory = RunDirectory::open(self.path_of(run));
        directory.and_then(|directory| directory.read_record()).ok()
    }

    /// The state of the race by the runs that are done, if the combinations race.
    #[must_use]
    pub fn race_state(&self) -> Option<RaceState> {
        let result = |run: usize| {
            let planned = &self.runs[run];
            let is_done = RunState::read(self, planned).is_done(self, planned, false);
            if is_done { self.race_result(run) } else { RaceResult::Pending }
        };
        self.race_state_by(result)
    }

    /// How far the race has come in this state, if the combinations race.
    #[must_use]
    pub fn race_progress(&self, state: &RaceState) -> Option<RaceProgress> {
        let race = self.race.as_ref()?;
        let racing = race.wanted(state).into_iter().map(|run| self.path_of(&self.runs[run]));
        Some(RaceProgress {
            config: race.config.clone(),
            seeds: race.seeds.clone(),
            state: state.clone(),
            racing: racing.collect(),
        })
    }

    /// The state of the race, if `result` returns the result of a run.
    pub(crate) fn race_state_by(&self, result: impl Fn(usize) -> RaceResult) -> Option<RaceState> {
        let images = self.runs.first().map_or(0, |run| run.validation_images);
        let resolution = if images == 0 { 0.0 } else { 1.0 / images as f64 };
        Some(self.race.as_ref()?.state(resolution, result))
    }

    /// Whether any of the runs is trained on a GPU.
    #[must_use]
    pub fn uses_gpus(&self) -> bool {
        let is_on_gpu = |run: &PlannedRun| {
            !matches!(run.experiment.device.backend, Backend::Flex | Backend::Ndarray)
        };
        self.runs.iter().any(is_on_gpu)
    }

    /// The result of a run that is done.
    pub(crate) fn race_result(&self, run: usize) -> RaceResult {
        result_of(&self.path_of(&self.runs[run]))
    }

    /// Divides runs into the brackets that pruning in a fixed order compares: the runs of each seed that repeats all
    /// combinations, in the order of the plan.
    pub(crate) fn brackets(&self, runs: &[usize]) -> Vec<Vec<usize>> {
        let mut brackets: Vec<Vec<usize>> = Vec::new();
        let mut places: HashMap<u64, usize> = HashMap::new();
        for run in runs {
            let seed = if self.has_seed_axis { self.runs[*run].experiment.seed } else { 0 };
            let place = *places.entry(seed).or_insert(brackets.len());
            match brackets.get_mut(place) {
                Some(bracket) => bracket.push(*run),
                None => brackets.push(vec![*run]),
            }
        }
        brackets
    }

    /// The keys whose values differ between the runs, in the order in which they are declared.
    #[must_use]
    pub fn differing_keys(&self) -> Vec<DifferingKey> {
        let mut paths: Vec<&str> = Vec::new();
        for setting in self.runs.iter().flat_map(|run| &run.settings) {
            if !paths.contains(&setting.path.as_str()) {
                paths.push(&setting.path);
            }
        }
        let differs = |path: &&str| {
            let value = |run: &PlannedRun| Some(run.setting(path)?.value.value().clone());
            let first = self.runs.first().and_then(value);
            // A run without a setting for the key differs from one with a setting: two blocks have different axes.
            !self.runs.iter().map(value).all(|own| match (&own, &first) {
                (Some(own), Some(first)) => own.is_same(first),
                _ => false,
            })
        };
        let index = KeyIndex::new(paths.iter().copied());
        let differing = paths.into_iter().filter(differs);
        differing
            .map(|path| DifferingKey {
                path: path.to_owned(),
                label: index.shortest(path).to_owned(),
            })
            .collect()
    }
}

/// A key whose values differ between the runs of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingKey {
    /// The full dotted path.
    pub path: String,
    /// The shortest suffix of the path that identifies the key among the keys of the plan.
    pub label: String,
}

impl PlannedRun {
    /// The run's setting for the key with this path, if it has one.
    #[must_use]
    pub fn setting(&self, path: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.path == path)
    }

    /// The cost of training the run, relative to other runs: the floating-point operations of all its steps, plus an
    /// overhead for each step.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let steps = self.steps.saturating_mul(self.epochs) as u64;
        steps.saturating_mul(self.step_flops.saturating_add(STEP_OVERHEAD))
    }
}
