use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kiln_config::ConfigError;
use kiln_data::{DatasetSummary, KnownDatasets};
use kiln_store::RunDirectory;
use kiln_train::{Declaration, Experiment, MachineMemory, MetricName, MissingSetting, TrainError};

use crate::declaration::{Expansion, InvalidPoint, SweepPoint};
use crate::plan::{PlannedRun, Workload};
use crate::prune::PruneConfig;
use crate::race::check_validation;

/// Checks runs against their data. Datasets, splits and models that runs share are computed once.
pub(super) struct Planner<'a> {
    /// The directory of the sweep.
    directory: &'a Path,
    /// The names in it. One listing takes the place of a look for each run.
    names: Rc<HashSet<String>>,
    data_directory: &'a Path,
    prune: Option<PruneConfig>,
    /// The metric of a sampler that reads results.
    metric: Option<MetricName>,
    pub(super) known_datasets: KnownDatasets,
    is_race: bool,
    memory: MachineMemory,
    /// By [`DataConfig::reading`](kiln_data::DataConfig::reading).
    datasets: HashMap<String, DatasetSummary>,
    pub(super) workloads: Vec<Workload>,
    /// Indices of workloads by [`workload_key`].
    workload_indices: HashMap<String, usize>,
}

/// The runs of an expanded sweep.
pub(super) struct PlannedRuns {
    /// The combinations that can be trained.
    pub(super) points: Vec<SweepPoint>,
    /// A run for each of them.
    pub(super) runs: Vec<PlannedRun>,
    /// The combinations that cannot be trained.
    pub(super) invalid: Vec<InvalidPoint>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        directory: &'a Path,
        data_directory: &'a Path,
        known_datasets: KnownDatasets,
        prune: Option<PruneConfig>,
        is_race: bool,
        memory: MachineMemory,
    ) -> Self {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        Self {
            directory,
            names: Rc::new(names.collect()),
            data_directory,
            prune,
            metric: None,
            known_datasets,
            is_race,
            memory,
            datasets: HashMap::new(),
            workloads: Vec::new(),
            workload_indices: HashMap::new(),
        }
    }

    /// A planner that checks that each run has the metric of the sampler, if it reads results.
    pub(super) fn with_metric(self, metric: Option<MetricName>) -> Self {
        Self { metric, ..self }
    }

    /// A planner that only checks runs, with the datasets that this one has read.
    pub(super) fn for_checks(&self) -> Self {
        Self {
            names: Rc::clone(&self.names),
            known_datasets: self.known_datasets.clone(),
            datasets: self.datasets.clone(),
            workloads: Vec::new(),
            workload_indices: HashMap::new(),
            ..*self
        }
    }

    /// Checks runs. The invalid ones are returned, too.
    ///
    /// # Errors
    ///
    /// The data of a run cannot be read.
    pub(super) fn plan_all(&mut self, expansion: Expansion) -> Result<PlannedRuns, TrainError> {
        let Expansion { points, mut invalid } = expansion;
        let (mut valid, mut runs) = (Vec::new(), Vec::new());
        for point in points {
            match self.plan(&point) {
                Ok(run) => {
                    valid.push(point);
                    runs.push(run);
                }
                Err(TrainError::Config(error)) => {
                    invalid.push(InvalidPoint { settings: point.settings, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(PlannedRuns { points: valid, runs, invalid })
    }

    /// Why a run cannot be trained.
    pub(super) fn error_of(&mut self, point: &SweepPoint) -> Option<ConfigError> {
        match self.plan(point) {
            Err(TrainError::Config(error)) => Some(error),
            Ok(_) | Err(_) => None,
        }
    }

    fn plan(&mut self, point: &SweepPoint) -> Result<PlannedRun, TrainError> {
        let key = point.declaration.experiment.data.reading();
        let dataset = match self.datasets.get(&key) {
            Some(dataset) => dataset.clone(),
            None => {
                let dataset = self.dataset(&point.declaration)?;
                self.datasets.insert(key, dataset.clone());
                dataset
            }
        };
        let declaration = point.declaration.on_parts(&dataset.parts())?;
        let experiment = &declaration.experiment;
        let counts = declaration.split_counts(&dataset.parts())?;
        declaration.check_class_weights(&dataset.class_names)?;
        let workload = self.workload(&declaration, &dataset)?;
        if let Some(prune) = &self.prune {
            check_pruning(prune, &declaration)?;
        }
        if let Some(metric) = self.metric {
            check_metric(metric, &declaration)?;
        }
        if self.is_race {
            check_validation(&declaration)?;
        }
        let training = &experiment.training;
        let on_training_rows = if training.evaluate_training_set { counts.training } else { 0 };
        let experiment_hash = experiment.identity()?;
        let id = experiment.identity_on(&dataset.fingerprint)?;
        let id = self.existing_id(id, &experiment_hash, &dataset.fingerprint);
        let architecture = &self.workloads[workload].architecture;
        let fits = declaration.check_memory(architecture, counts.training, self.memory);
        // Another machine, with more memory, may have trained it.
        if fits.is_err() && !RunDirectory::at(&self.directory.join(&id)).is_finished() {
            fits?;
        }
        Ok(PlannedRun {
            id,
            experiment_hash,
            settings: point.settings.clone(),
            experiment: experiment.clone(),
            config: experiment.to_toml()?,
            parameters: self.workloads[workload].architecture.parameters(),
            step_flops: self.workloads[workload].step_flops,
            steps: counts.training.div_ceil(training.batch_size.get()),
            epochs: training.epochs.get(),
            training_images: counts.training,
            validation_images: counts.validation,
            evaluated_images: counts.validation + on_training_rows,
            test_images: counts.test,
            dataset,
            workload,
            sample: point.sample,
        })
    }

    /// The summary of the dataset of a run. If it is not where the experiment says, it may have moved together with the
    /// runs: then it must have the fingerprint that one of them has recorded.
    fn dataset(&mut self, declaration: &Declaration) -> Result<DatasetSummary, TrainError> {
        let found = declaration.dataset_summary(self.data_directory, &mut self.known_datasets);
        if !matches!(found, Err(TrainError::Config(_))) {
            return found;
        }
        let recorded = recorded_fingerprints(self.directory);
        let moved = recorded.iter().find_map(|fingerprint| {
            let dataset = declaration.recorded_dataset(self.data_directory, fingerprint).ok()?;
            (dataset.fingerprint == *fingerprint).then(|| dataset.summary())
        });
        moved.map_or(found, Ok)
    }

    /// The name of the run's directory. Kiln 0.1.0 named it after the experiment alone; such a directory is that of the
    /// run unless its record names other data.
    fn existing_id(&self, id: String, experiment_hash: &str, fingerprint: &str) -> String {
        if !self.names.contains(experiment_hash) || self.names.contains(&id) {
            return id;
        }
        let record = RunDirectory::at(&self.directory.join(experiment_hash)).read_record();
        let is_on_other_data = record.is_ok_and(|record| record.dataset.fingerprint != fingerprint);
        if is_on_other_data { id } else { experiment_hash.to_owned() }
    }

    /// The index of the run's workload. For a new one, checks the model's shapes and the backend.
    fn workload(
        &mut self,
        declaration: &Declaration,
        dataset: &DatasetSummary,
    ) -> Result<usize, TrainError> {
        let experiment = &declaration.experiment;
        let key = workload_key(experiment);
        if let Some(index) = self.workload_indices.get(&key) {
            return Ok(*index);
        }
        declaration.device()?;
        let architecture = declaration.architecture(dataset.shape, dataset.class_names.len())?;
        let slots = experiment.optimizer.kind.slots();
        let summary = architecture.summary(experiment.training.batch_size.get(), slots);
        self.workloads.push(Workload {
            declaration: declaration.clone(),
            architecture,
            step_flops: summary.step_flops,
        });
        self.workload_indices.insert(key, self.workloads.len() - 1);
        Ok(self.workloads.len() - 1)
    }
}

/// Everything that the cost of a step depends on. The constants of an optimizer cost nothing, but the number of values
/// that it stores for each parameter does.
fn workload_key(experiment: &Experiment) -> String {
    format!(
        "{} {:?} {:?} {} {} {} {:?} {:?}",
        experiment.data.source,
        experiment.model,
        std::mem::discriminant(&experiment.optimizer.kind),
        experiment.optimizer.kind.slots(),
        experiment.training.batch_size,
        experiment.device.backend,
        experiment.training.top_k,
        experiment.training.metrics,
    )
}

/// Rejects `[prune]` settings with which no run could ever be pruned.
fn check_pruning(prune: &PruneConfig, declaration: &Declaration) -> Result<(), ConfigError> {
    let experiment = &declaration.experiment;
    if let Some(missing) = prune.metric.missing_setting(experiment) {
        let MissingSetting { path, problem, help, instead } = missing;
        let message = format!("`[prune]` compares `{}`, which {problem}", prune.metric);
        let help = format!("{help}, or set prune.metric to \"{instead}\"");
        return Err(declaration.error_at(path, message).help(help));
    }
    let training = &experiment.training;
    if prune.min_epochs >= training.epochs {
        let message = format!(
            "`[prune]` ends no run before epoch {}, but this run has only {}",
            prune.min_epochs,
            if training.epochs.get() == 1 {
                "1 epoch".to_owned()
            } else {
                format!("{} epochs", training.epochs)
            }
        );
        let help = "lower prune.min_epochs, or raise training.epochs";
        return Err(declaration.error_at("training.epochs", message).help(help));
    }
    Ok(())
}

/// Returns an error if a run does not have the metric of the sampler.
fn check_metric(metric: MetricName, declaration: &Declaration) -> Result<(), ConfigError> {
    let Some(missing) = metric.missing_setting(&declaration.experiment) else { return Ok(()) };
    let MissingSetting { path, problem, help, instead } = missing;
    let message = format!("the sampler of `[random]` compares `{metric}`, which {problem}");
    let help = format!("{help}, or set random.metric to \"{instead}\"");
    Err(declaration.error_at(path, message).help(help))
}

/// The fingerprints of the data of all runs in a directory.
pub(crate) fn recorded_fingerprints(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let record = |path: PathBuf| RunDirectory::at(&path).read_record().ok();
    entries.filter_map(|entry| Some(record(entry.path())?.dataset.fingerprint)).collect()
}
