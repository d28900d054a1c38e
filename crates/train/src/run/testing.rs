//! The test of a run that has trained to its end, and its report.

use kiln_model::{Architecture, ParameterRole, Weights};
use kiln_report::{Filters, TestImages};
use kiln_store::{TestReport, Tested, TestedWeights, TopK};

use super::Run;
use crate::TrainError;
use crate::engine::Engine;
use crate::evaluation::{Evaluation, evaluate_each};
use crate::experiment::PreparedExperiment;
use crate::metrics::Metrics;

impl Run {
    /// Evaluates the test set. Nothing else in Kiln does, so that no choice depends on it.
    pub(super) fn test(&self, weights: &Weights) -> Result<Evaluation, TrainError> {
        let experiment = &self.declaration.experiment;
        let PreparedExperiment { settings, dataset, split, normalizer, .. } = &self.prepared;
        // A new engine, because the weights to test may be those of an earlier epoch.
        let engine = Engine::new(settings, weights).map_err(TrainError::Engine)?;
        let metrics = Metrics::of_evaluation(experiment, self.prepared.classes());
        let flip = experiment.test.flip;
        Ok(evaluate_each(&engine, &dataset.images, &split.test, normalizer, flip, metrics))
    }

    /// Writes the report of the test of the weights of an epoch.
    pub(super) fn report(
        &self,
        epoch: usize,
        weights: &Weights,
        evaluation: &Evaluation,
    ) -> Result<TestReport, TrainError> {
        let PreparedExperiment { dataset, split, .. } = &self.prepared;
        let images = &dataset.images;
        let labels: Vec<u16> = split.test.iter().map(|row| images.labels[*row as usize]).collect();
        let is_best = self.training.state.best.restores_best;
        let averages = self.declaration.experiment.training.average_decay.is_some();
        let top_k = self.declaration.experiment.training.top_k.iter();
        let top_k: Vec<TopK> = top_k
            .filter_map(|k| Some(TopK { k: *k, accuracy: evaluation.metrics.top_k_accuracy(*k)? }))
            .collect();
        let tested = Tested {
            class_names: &dataset.class_names,
            labels: &labels,
            predicted: &evaluation.predicted,
            probabilities: &evaluation.probabilities,
            loss: evaluation.metrics.loss(),
            smoothed_loss: evaluation.metrics.value("smoothed_loss"),
            weights: match (averages, is_best) {
                (false, false) => TestedWeights::Last,
                (false, true) => TestedWeights::Best,
                (true, false) => TestedWeights::Average,
                (true, true) => TestedWeights::BestAverage,
            },
            epoch,
            flip: self.declaration.experiment.test.flip,
            top_k: &top_k,
            most_frequent: self.prepared.most_frequent_class(),
            optimism: self.record.optimism,
        };
        let shape = kiln_report::ImageShape {
            channels: images.shape.channels,
            height: images.shape.height,
            width: images.shape.width,
        };
        let pictures = TestImages { pixels: &images.pixels, rows: &split.test, shape };
        let (directory, record) = (&self.directory, &self.record);
        let history = &self.training.history;
        let filters = first_filters(&self.prepared.architecture, weights);
        Ok(kiln_report::finish(directory, record, history, &tested, pictures, filters.as_ref())?)
    }
}

/// The filters of the first layer with parameters, if it is a convolution: then its input has the channels of the images.
fn first_filters<'a>(architecture: &'a Architecture, weights: &'a Weights) -> Option<Filters<'a>> {
    let (_, layer) =
        architecture.nested_layers().find(|(_, layer)| !layer.parameters.is_empty())?;
    let (name, kernel) = architecture.named_parameters().next()?;
    let shape = <[usize; 4]>::try_from(kernel.shape.as_slice()).ok()?;
    let tensor = weights.tensors.iter().find(|tensor| tensor.name == name)?;
    let filters = Filters { layer: &layer.name, weights: &tensor.values, shape };
    (kernel.role == ParameterRole::Kernel).then_some(filters)
}
