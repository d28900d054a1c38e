use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_config::{ConfigError, KeyIndex};
use kiln_data::Dataset;
use kiln_model::Architecture;
use kiln_store::{RunDirectory, RunRecord, StoreError, files};
use kiln_train::{Declaration, MissingSetting, TrainError};

use crate::change::Change;
use crate::declaration::{Combination, Sweep, in_combination};
use crate::prune::PruneConfig;
use crate::record::SweepRecord;

/// A sweep that was checked against its data: what is to be run, where, and what it costs.
#[derive(Debug)]
pub struct Plan {
    /// The sweep's name.
    pub name: String,
    /// `<runs>/<name>`: its runs lie in it.
    pub directory: PathBuf,
    /// The experiment that it changes.
    pub experiment: PathBuf,
    /// The directory of the named datasets.
    pub data: PathBuf,
    /// The directory of all runs.
    pub runs: PathBuf,
    /// How runs are ended early, where they are.
    pub prune: Option<PruneConfig>,
    /// The runs, in the order in which they are declared.
    pub members: Vec<Member>,
    /// How it was declared.
    record: SweepRecord,
    /// What differs in cost from one another: a model, an optimiser, a batch size.
    pub(crate) workloads: Vec<Workload>,
}

/// One run of a plan.
#[derive(Debug)]
pub struct Member {
    /// The name of its directory: [`Experiment::identity`](kiln_train::Experiment::identity).
    pub id: String,
    /// What it changes in the sweep's experiment.
    pub changes: Vec<Change>,
    /// The resolved experiment as TOML.
    pub config: String,
    /// Values in all parameters of its model.
    pub parameters: usize,
    /// Floating-point operations of a training step.
    pub step_flops: u64,
    /// Steps in an epoch.
    pub steps: usize,
    /// Epochs at the most.
    pub epochs: usize,
    /// Images evaluated at the end of an epoch.
    pub evaluated: usize,
    /// Images of the test set.
    pub tested: usize,
    /// The one of the plan's workloads that it is.
    pub(crate) workload: usize,
}

/// A kind of training step.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) declaration: Declaration,
    pub(crate) architecture: Architecture,
    pub(crate) step_flops: u64,
}

/// What a step takes beside its floating-point operations, in such operations: bookkeeping and memory
/// traffic, about a tenth of a millisecond. It only orders runs; nothing is computed from it.
const STEP_OVERHEAD: u64 = 10_000_000;

impl Plan {
    /// Expands the sweep and checks every run against its data: shapes, split, backend. `data` is the
    /// directory of the named datasets, `runs` that of the runs.
    ///
    /// # Errors
    ///
    /// Those of [`Sweep::expand`]; the sweep's directory is a link out of `runs`; a dataset cannot be read; or a run
    /// does not fit its data or the rules of pruning, which the error names.
    pub fn new(sweep: &Sweep, data: &Path, runs: &Path) -> Result<Self, TrainError> {
        let directory = runs.join(&sweep.name);
        files::check_within(runs, &directory)?;
        let mut checker = Checker {
            data,
            datasets: HashMap::new(),
            splits: HashMap::new(),
            workloads: Vec::new(),
            known: HashMap::new(),
        };
        let mut members = Vec::new();
        for combination in sweep.expand()? {
            let member = checker.check(&combination).and_then(|member| {
                check_pruning(sweep.prune.as_ref(), &combination)?;
                Ok(member)
            });
            members.push(member.map_err(|error| match error {
                TrainError::Config(error) => in_combination(error, &combination.changes).into(),
                error => error,
            })?);
        }
        Ok(Self {
            name: sweep.name.clone(),
            directory,
            experiment: sweep.experiment.clone(),
            data: data.to_owned(),
            runs: runs.to_owned(),
            prune: sweep.prune,
            members,
            // Where the working directory is gone, the path stays as it was given.
            record: sweep
                .record
                .clone()
                .with_data(std::path::absolute(data).unwrap_or_else(|_| data.to_owned())),
            workloads: checker.workloads,
        })
    }

    /// Writes down how the sweep was declared, so that its directory is enough to go on with it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn record(&self) -> Result<(), StoreError> {
        self.record.write(&self.directory)
    }

    /// The record of a member's run, where there is one that can be read.
    pub(crate) fn run_record(&self, member: &Member) -> Option<RunRecord> {
        let run = RunDirectory::open(self.directory.join(&member.id));
        run.and_then(|run| run.read_record()).ok()
    }

    /// The keys that its runs change and that are not the same in all of them, in the order in which
    /// they are declared.
    #[must_use]
    pub fn differing_keys(&self) -> Vec<DifferingKey> {
        let mut paths: Vec<&str> = Vec::new();
        for change in self.members.iter().flat_map(|member| &member.changes) {
            if !paths.contains(&change.path.as_str()) {
                paths.push(&change.path);
            }
        }
        let differs = |path: &&str| {
            let value = |member: &Member| Some(member.change(path)?.value.value().clone());
            let first = self.members.first().and_then(value);
            !self.members.iter().map(value).all(|own| match (&own, &first) {
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

/// A key that tells the runs of a plan apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingKey {
    /// Its full dotted path.
    pub path: String,
    /// The shortest end of it that no other key of the plan has.
    pub label: String,
}

impl Member {
    /// How it changes the key of this path, where it does.
    #[must_use]
    pub fn change(&self, path: &str) -> Option<&Change> {
        self.changes.iter().find(|change| change.path == path)
    }

    /// What it costs beside others: the floating-point operations of all its steps, and something for
    /// each step.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let steps = self.steps.saturating_mul(self.epochs) as u64;
        steps.saturating_mul(self.step_flops.saturating_add(STEP_OVERHEAD))
    }
}

/// Refuses pruning that would never end a run: by a metric that the run does not have, or after its last epoch.
fn check_pruning(prune: Option<&PruneConfig>, run: &Combination) -> Result<(), ConfigError> {
    let Some(prune) = prune else { return Ok(()) };
    let experiment = &run.declaration.experiment;
    if let Some(MissingSetting { path, problem, help }) = prune.metric.missing_setting(experiment) {
        let message = format!("`[prune]` uses `{}`, which {problem}", prune.metric);
        let help = format!("{help}, or set prune.metric to \"loss\"");
        return Err(run.declaration.error_at(path, message).help(help));
    }
    if prune.min_epochs >= experiment.training.epochs {
        let message = format!(
            "`[prune]` lets every run train for {} epochs, but this one has no more",
            prune.min_epochs
        );
        let help = "lower prune.min_epochs, or raise training.epochs";
        return Err(run.declaration.error_at("training.epochs", message).help(help));
    }
    Ok(())
}

/// Checks runs against their data, reading each dataset once.
struct Checker<'a> {
    data: &'a Path,
    datasets: HashMap<String, Arc<Dataset>>,
    /// Training and validation rows by dataset and split.
    splits: HashMap<String, (usize, usize)>,
    workloads: Vec<Workload>,
    /// The workloads' places by what tells them apart.
    known: HashMap<String, usize>,
}

impl Checker<'_> {
    fn check(&mut self, combination: &Combination) -> Result<Member, TrainError> {
        let declaration = &combination.declaration;
        let experiment = &declaration.experiment;
        let dataset = match self.datasets.get(&experiment.data.source) {
            Some(dataset) => Arc::clone(dataset),
            None => {
                let dataset = Arc::new(declaration.dataset(self.data)?);
                self.datasets.insert(experiment.data.source.clone(), Arc::clone(&dataset));
                dataset
            }
        };
        let (training_rows, validation_rows) = self.rows(declaration, &dataset)?;
        let workload = self.workload(declaration, &dataset)?;
        let training = &experiment.training;
        let on_training_rows = if training.evaluate_training_set { training_rows } else { 0 };
        Ok(Member {
            id: experiment.identity()?,
            changes: combination.changes.clone(),
            config: experiment.to_toml()?,
            parameters: self.workloads[workload].architecture.parameters(),
            step_flops: self.workloads[workload].step_flops,
            steps: training_rows.div_ceil(training.batch_size.get()),
            epochs: training.epochs.get(),
            evaluated: validation_rows + on_training_rows,
            tested: dataset.test.len(),
            workload,
        })
    }

    fn rows(
        &mut self,
        declaration: &Declaration,
        dataset: &Dataset,
    ) -> Result<(usize, usize), TrainError> {
        let data = &declaration.experiment.data;
        let key = format!("{} {} {}", data.source, data.validation, data.split);
        if let Some(rows) = self.splits.get(&key) {
            return Ok(*rows);
        }
        let split = declaration.split(dataset)?;
        let rows = (split.training.len(), split.validation.len());
        self.splits.insert(key, rows);
        Ok(rows)
    }

    fn workload(
        &mut self,
        declaration: &Declaration,
        dataset: &Dataset,
    ) -> Result<usize, TrainError> {
        let experiment = &declaration.experiment;
        // The constants of an optimiser cost nothing; that it keeps a state does.
        let key = format!(
            "{} {:?} {:?} {} {} {} {:?} {:?}",
            experiment.data.source,
            experiment.model,
            std::mem::discriminant(&experiment.optimizer.kind),
            experiment.optimizer.kind.slots(),
            experiment.training.batch_size,
            experiment.device.backend,
            experiment.training.top_k,
            experiment.training.metrics,
        );
        if let Some(index) = self.known.get(&key) {
            return Ok(*index);
        }
        declaration.device()?;
        let architecture =
            declaration.architecture(dataset.train.shape, dataset.class_names.len())?;
        let slots = experiment.optimizer.kind.slots();
        let summary = architecture.summary(experiment.training.batch_size.get(), slots);
        self.workloads.push(Workload {
            declaration: declaration.clone(),
            architecture,
            step_flops: summary.step_flops,
        });
        self.known.insert(key, self.workloads.len() - 1);
        Ok(self.workloads.len() - 1)
    }
}
