use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use kiln_config::ConfigError;
use kiln_data::Dataset;
use kiln_train::{Declaration, Experiment, MissingSetting, TrainError};

use crate::declaration::{SweepPoint, in_combination};
use crate::plan::{PlannedRun, Workload};
use crate::prune::PruneConfig;

/// Checks runs against their data. Datasets, splits and models that runs share are computed once.
pub(super) struct Planner<'a> {
    data_directory: &'a Path,
    prune: Option<PruneConfig>,
    /// By `data.source`.
    datasets: HashMap<String, Arc<Dataset>>,
    /// The numbers of training and validation rows by dataset and split.
    splits: HashMap<String, (usize, usize)>,
    pub(super) workloads: Vec<Workload>,
    /// Indices of workloads by [`workload_key`].
    workload_indices: HashMap<String, usize>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(data_directory: &'a Path, prune: Option<PruneConfig>) -> Self {
        Self {
            data_directory,
            prune,
            datasets: HashMap::new(),
            splits: HashMap::new(),
            workloads: Vec::new(),
            workload_indices: HashMap::new(),
        }
    }

    /// Checks a run. An error names the combination of settings.
    pub(super) fn plan(&mut self, point: &SweepPoint) -> Result<PlannedRun, TrainError> {
        self.check(point).map_err(|error| match error {
            TrainError::Config(error) => in_combination(error, &point.settings).into(),
            error => error,
        })
    }

    fn check(&mut self, point: &SweepPoint) -> Result<PlannedRun, TrainError> {
        let declaration = &point.declaration;
        let experiment = &declaration.experiment;
        let dataset = match self.datasets.get(&experiment.data.source) {
            Some(dataset) => Arc::clone(dataset),
            None => {
                let dataset = Arc::new(declaration.dataset(self.data_directory)?);
                self.datasets.insert(experiment.data.source.clone(), Arc::clone(&dataset));
                dataset
            }
        };
        let (training_rows, validation_rows) = self.rows(declaration, &dataset)?;
        let workload = self.workload(declaration, &dataset)?;
        if let Some(prune) = &self.prune {
            check_pruning(prune, declaration)?;
        }
        let training = &experiment.training;
        let on_training_rows = if training.evaluate_training_set { training_rows } else { 0 };
        Ok(PlannedRun {
            id: experiment.identity()?,
            settings: point.settings.clone(),
            experiment: experiment.clone(),
            config: experiment.to_toml()?,
            parameters: self.workloads[workload].architecture.parameters(),
            step_flops: self.workloads[workload].step_flops,
            steps: training_rows.div_ceil(training.batch_size.get()),
            epochs: training.epochs.get(),
            evaluated_images: validation_rows + on_training_rows,
            test_images: dataset.test.len(),
            workload,
        })
    }

    /// The numbers of training and validation rows. They do not depend on the seed, so runs that differ only in the
    /// seed share them.
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

    /// The index of the run's workload. For a new one, checks the model's shapes and the backend.
    fn workload(
        &mut self,
        declaration: &Declaration,
        dataset: &Dataset,
    ) -> Result<usize, TrainError> {
        let experiment = &declaration.experiment;
        let key = workload_key(experiment);
        if let Some(index) = self.workload_indices.get(&key) {
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
    if let Some(MissingSetting { path, problem, help }) = prune.metric.missing_setting(experiment) {
        let message = format!("`[prune]` compares `{}`, which {problem}", prune.metric);
        let help = format!("{help}, or set prune.metric to \"loss\"");
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
