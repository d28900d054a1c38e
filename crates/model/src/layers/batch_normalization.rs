//! Batch normalization.

use burn::module::{Module, RunningState};
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::normalization::{Affine, is_true, parameter, parameters, read_epsilon};
use super::{
    Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts, ParameterRole,
    ParameterSpec,
};
use crate::initializer::Initializer;
use crate::shape::Shape;

/// `{ type = "batch_normalization" }`: γ (x − mean) / √(variance + ε) + β, separately for each feature
/// or channel (Ioffe and Szegedy 2015).
///
/// Training uses the mean and variance of the batch. Inference uses their running averages:
/// `running ← momentum · running + (1 − momentum) · batch`. Both variances are biased (divided by n),
/// as in Keras; the running variance of PyTorch is unbiased (divided by n − 1). With `trainable = false`, training uses the
/// running averages, too, and does not change them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchNormalizationConfig {
    /// The weight of the old running average in each step, as in Keras. PyTorch's momentum is 1 minus
    /// this one.
    pub momentum: f64,
    /// ε, added to the variance.
    pub epsilon: f64,
    /// Whether to add β.
    #[serde(skip_serializing_if = "is_true")]
    pub center: bool,
    /// Whether to multiply by γ.
    #[serde(skip_serializing_if = "is_true")]
    pub scale: bool,
}

impl BatchNormalizationConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            momentum: table.checked("momentum", 0.99, "a number from 0 to 1", |momentum| {
                (0.0..=1.0).contains(momentum)
            })?,
            epsilon: read_epsilon(table)?,
            center: table.default("center", true)?,
            scale: table.default("scale", true)?,
        })
    }
}

impl LayerRules for BatchNormalizationConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        Ok(input)
    }

    fn parameters(&self, input: Shape, _output: Shape) -> Vec<ParameterSpec> {
        let channels = input.channels();
        let mut all = parameters(channels, self.scale, self.center);
        let mean = ("running_mean", Initializer::ZEROS, ParameterRole::Statistic);
        let variance = ("running_var", Initializer::ONES, ParameterRole::Statistic);
        all.extend([mean, variance].map(|statistic| parameter(channels, statistic)));
        all
    }

    fn module(&self, ModuleParts { layer, weights, device, .. }: ModuleParts<'_>) -> Layer {
        let (affine, statistics) = Affine::new(weights, self.scale, self.center, device);
        let running =
            |index: usize| RunningState::new(Tensor::from_data(statistics[index].data(), device));
        Layer::BatchNormalization(BatchNormalization {
            affine,
            running_mean: running(0),
            running_var: running(1),
            momentum: self.momentum,
            epsilon: self.epsilon,
            is_frozen: !layer.training.trainable,
        })
    }
}

/// Burn's `BatchNorm` always has γ and β.
#[derive(Module, Debug)]
pub(crate) struct BatchNormalization {
    affine: Affine,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    momentum: f64,
    epsilon: f64,
    /// Whether training uses the running statistics, too.
    is_frozen: bool,
}

impl BatchNormalization {
    fn normalize<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let device = x.device();
        let [gamma, beta] = self.affine.values_or_constants(x.dims()[1], &device);
        if self.is_frozen || !device.is_autodiff() {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm(x, gamma, beta, mean, variance, self.epsilon);
        }
        let batch = batch_norm_train(x, gamma, beta, self.epsilon);
        let update = |running: &RunningState<Tensor<1>>, batch: Tensor<1>| {
            let old = running.value_sync().mul_scalar(self.momentum);
            running.update((old + batch.detach().mul_scalar(1.0 - self.momentum)).detach());
        };
        update(&self.running_mean, batch.mean);
        update(&self.running_var, batch.variance);
        batch.output
    }
}

impl LayerModule for BatchNormalization {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        match x {
            Features::Image(x) => Features::Image(self.normalize(x)),
            Features::Flat(x) => Features::Flat(self.normalize(x)),
        }
    }

    fn values(&self) -> Vec<TensorData> {
        let mut values = self.affine.values();
        values.push(self.running_mean.value_sync().into_data());
        values.push(self.running_var.value_sync().into_data());
        values
    }
}
