//! Batch normalization.

use burn::module::{Module, Param, RunningState};
use burn::nn::BatchNorm;
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

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
}

impl BatchNormalizationConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            momentum: table.checked("momentum", 0.99, "a number from 0 to 1", |momentum| {
                (0.0..=1.0).contains(momentum)
            })?,
            epsilon: table.checked("epsilon", 1e-3, "a number from 1e-30 to 1", |epsilon| {
                // 32-bit floats must represent it, because the variance may be 0.
                (1e-30..=1.0).contains(epsilon)
            })?,
        })
    }
}

impl LayerRules for BatchNormalizationConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        Ok(input)
    }

    fn parameters(&self, input: Shape, _output: Shape) -> Vec<ParameterSpec> {
        let parameter = |name: &'static str, initializer, role| ParameterSpec {
            name: name.into(),
            shape: vec![input.channels()],
            fan_in: input.channels(),
            fan_out: input.channels(),
            initializer,
            role,
            trainable: role != ParameterRole::Statistic,
        };
        vec![
            parameter("weight", Initializer::ONES, ParameterRole::Normalization),
            parameter("bias", Initializer::ZEROS, ParameterRole::Normalization),
            parameter("running_mean", Initializer::ZEROS, ParameterRole::Statistic),
            parameter("running_var", Initializer::ONES, ParameterRole::Statistic),
        ]
    }

    fn module(&self, ModuleParts { layer, weights, device, .. }: ModuleParts<'_>) -> Layer {
        let running =
            |index: usize| RunningState::new(Tensor::from_data(weights[index].data(), device));
        Layer::BatchNormalization(BatchNormalization {
            norm: BatchNorm {
                gamma: Param::from_data(weights[0].data(), device),
                beta: Param::from_data(weights[1].data(), device),
                // Enables batch statistics, which Burn then uses on autodiff devices only.
                training: Param::from_bool(layer.training.trainable),
                running_mean: running(2),
                running_var: running(3),
                // Burn defines the momentum as PyTorch does.
                momentum: 1.0 - self.momentum,
                epsilon: self.epsilon,
            },
        })
    }
}

#[derive(Module, Debug)]
pub(crate) struct BatchNormalization {
    norm: BatchNorm,
}

impl LayerModule for BatchNormalization {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        match x {
            Features::Image(x) => Features::Image(self.norm.forward(x)),
            Features::Flat(x) => Features::Flat(self.norm.forward(x)),
        }
    }

    fn values(&self) -> Vec<TensorData> {
        let norm = &self.norm;
        vec![
            norm.gamma.val().into_data(),
            norm.beta.val().into_data(),
            norm.running_mean.value_sync().into_data(),
            norm.running_var.value_sync().into_data(),
        ]
    }
}
