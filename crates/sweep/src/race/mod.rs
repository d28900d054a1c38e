//! Racing: combinations get more seeds as long as they may be the best.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the `[race]` table |
//! | [`decision`] | which combinations continue, from results alone |
//! | [`top`] | the best combinations of a finished search, which `--top` races |

mod config;
mod decision;
pub(crate) mod top;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kiln_config::ConfigError;
use kiln_store::{RunDirectory, Status};
use kiln_train::{Declaration, Experiment, MetricName};

pub use config::RaceConfig;
pub(crate) use config::RaceTable;
pub use decision::{RaceEnd, RaceResult, RaceState, Stopped, decide};

/// The combinations of a race and their runs.
#[derive(Debug, Clone)]
pub struct Race {
    /// The `[race]` table.
    pub config: RaceConfig,
    /// The seeds of every combination, in the order in which they are trained.
    pub seeds: Vec<u64>,
    /// For each combination the indices of its runs, in the order of the seeds.
    pub combinations: Vec<Vec<usize>>,
}

/// How far a race has come, and the runs that it is about.
#[derive(Debug, Clone)]
pub struct RaceProgress {
    /// The rules.
    pub config: RaceConfig,
    /// The seeds, in the order in which they are trained.
    pub seeds: Vec<u64>,
    /// The state.
    pub state: RaceState,
    /// The directories of the runs of the combinations that are in the race, which need not exist.
    pub racing: Vec<PathBuf>,
}

impl Race {
    /// Groups runs by all settings except the seed.
    pub(crate) fn new<'a>(
        config: &RaceConfig,
        experiments: impl Iterator<Item = &'a Experiment>,
    ) -> Result<Self, ConfigError> {
        let mut seeds: Vec<u64> = Vec::new();
        let mut validation: Option<String> = None;
        let mut combinations: Vec<Vec<usize>> = Vec::new();
        let mut indices: HashMap<String, usize> = HashMap::new();
        for (run, experiment) in experiments.enumerate() {
            let data = &experiment.data;
            let own = format!("{} {} {}", data.source, data.validation, data.split);
            if *validation.get_or_insert_with(|| own.clone()) != own {
                return Err(ConfigError::new(
                    "a race compares combinations on the same validation images, and these have different ones",
                )
                .help("give data.source, data.validation and data.split one value each"));
            }
            if !seeds.contains(&experiment.seed) {
                seeds.push(experiment.seed);
            }
            let combination =
                *indices.entry(without_seed(experiment)?).or_insert(combinations.len());
            match combinations.get_mut(combination) {
                Some(runs) => runs.push(run),
                None => combinations.push(vec![run]),
            }
        }
        if combinations.len() < 2 {
            return Err(ConfigError::new("a race needs at least two combinations of settings")
                .help("give a key several values, such as learning_rate=0.01,0.1"));
        }
        if combinations.iter().any(|runs| runs.len() != config.seeds) {
            return Err(ConfigError::new(
                "in a race every combination has every seed, but `[[exclude]]` skips some",
            )
            .help("remove `seed` from the patterns"));
        }
        Ok(Self { config: config.clone(), seeds, combinations })
    }

    /// The state of the race, if `result` returns the result of each run. `resolution` is the smallest difference between
    /// two values: 1 / validation images.
    pub(crate) fn state(&self, resolution: f64, result: impl Fn(usize) -> RaceResult) -> RaceState {
        let of_combination = |runs: &Vec<usize>| runs.iter().map(|run| result(*run)).collect();
        let results: Vec<Vec<RaceResult>> = self.combinations.iter().map(of_combination).collect();
        decide(&self.config, &self.seeds, &results, resolution)
    }

    /// The runs that a race in this state needs, done or not.
    #[must_use]
    pub fn wanted(&self, state: &RaceState) -> Vec<usize> {
        let seeds = |combination: &usize| &self.combinations[*combination][..state.seeds];
        state.racing.iter().flat_map(seeds).copied().collect()
    }

    /// The runs that a race in this state may come to, done or not.
    #[must_use]
    pub fn wanted_at_most(&self, state: &RaceState) -> Vec<usize> {
        if state.end.is_some() {
            return Vec::new();
        }
        let runs = state.racing.iter().flat_map(|combination| &self.combinations[*combination]);
        runs.copied().collect()
    }
}

/// Returns an error if the runs of an experiment have no validation accuracy.
pub(crate) fn check_validation(declaration: &Declaration) -> Result<(), ConfigError> {
    let metric = MetricName::VAL_ACCURACY;
    let Some(missing) = metric.missing_setting(&declaration.experiment) else { return Ok(()) };
    let message = format!("a race compares `{metric}`, which {}", missing.problem);
    Err(declaration.error_at(missing.path, message).help(missing.help))
}

/// The identity of an experiment without its seed.
pub(crate) fn without_seed(experiment: &Experiment) -> Result<String, ConfigError> {
    Experiment { seed: 0, ..experiment.clone() }.identity()
}

/// The result of a run whose process has ended, from the files in its directory, which need not exist.
pub(crate) fn result_of(run: &Path) -> RaceResult {
    let Ok(run) = RunDirectory::open(run) else { return RaceResult::Pending };
    let Ok(record) = run.read_record() else { return RaceResult::Pending };
    match record.status {
        Status::Finished => kept_value(&run).map_or(RaceResult::Pending, RaceResult::Value),
        Status::Pruned | Status::Diverged => RaceResult::Out,
        Status::Running | Status::Interrupted | Status::Failed => RaceResult::Pending,
    }
}

/// The validation accuracy of the weights that a finished run kept.
fn kept_value(run: &RunDirectory) -> Option<f64> {
    let epoch = run.read_report().ok()??.epoch;
    let history = run.read_history().ok()?;
    let row = history.rows.iter().find(|row| row.epoch == epoch)?;
    MetricName::VAL_ACCURACY.of(row)
}
