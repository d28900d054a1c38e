//! The common part of the normalization layers.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kiln_config::{ConfigError, Table};

use super::{ParameterRole, ParameterSpec};
use crate::initializer::Initializer;
use crate::tensor::WeightTensor;

/// Reads ε, which is added to the variance.
pub(super) fn read_epsilon(table: &mut Table<'_>) -> Result<f64, ConfigError> {
    table.checked("epsilon", 1e-3, "a number from 1e-30 to 1", |epsilon| {
        // 32-bit floats must represent it, because the variance may be 0.
        (1e-30..=1.0).contains(epsilon)
    })
}

/// Whether this is `true`. Keys with this default are not written, so that the ids of earlier runs remain.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_true(value: &bool) -> bool {
    *value
}

/// The parameters of a normalization over `channels` channels or features: γ if `scale`, and β if `center`.
pub(super) fn parameters(channels: usize, scale: bool, center: bool) -> Vec<ParameterSpec> {
    let gamma = scale.then_some(("weight", Initializer::ONES, ParameterRole::Normalization));
    let beta = center.then_some(("bias", Initializer::ZEROS, ParameterRole::Normalization));
    gamma.into_iter().chain(beta).map(|parts| parameter(channels, parts)).collect()
}

pub(super) fn parameter(
    channels: usize,
    (name, initializer, role): (&'static str, Initializer, ParameterRole),
) -> ParameterSpec {
    ParameterSpec {
        name: name.into(),
        shape: vec![channels],
        fan_in: channels,
        fan_out: channels,
        groups: 1,
        initializer,
        role,
        trainable: role != ParameterRole::Statistic,
    }
}

/// The factor γ and the summand β of each channel or feature.
#[derive(Module, Debug)]
pub(crate) struct Affine {
    gamma: Option<Param<Tensor<1>>>,
    beta: Option<Param<Tensor<1>>>,
}

impl Affine {
    /// From the values of [`parameters`]. Returns the others as well.
    pub(super) fn new<'a, 'b>(
        mut weights: &'a [&'b WeightTensor],
        scale: bool,
        center: bool,
        device: &Device,
    ) -> (Self, &'a [&'b WeightTensor]) {
        let mut next = |exists: bool| {
            let (first, others) = weights.split_first().filter(|_| exists)?;
            weights = others;
            Some(Param::from_data(first.data(), device))
        };
        let (gamma, beta) = (next(scale), next(center));
        (Self { gamma, beta }, weights)
    }

    /// γ x + β, where x is `[n, channels, …]`.
    pub(super) fn apply<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mut shape = [1; D];
        shape[1] = x.dims()[1];
        let x = match &self.gamma {
            Some(gamma) => x * gamma.val().reshape(shape),
            None => x,
        };
        match &self.beta {
            Some(beta) => x + beta.val().reshape(shape),
            None => x,
        }
    }

    /// γ and β for `channels` channels; 1 and 0 if they do not exist.
    pub(super) fn values_or_constants(&self, channels: usize, device: &Device) -> [Tensor<1>; 2] {
        let gamma = self.gamma.as_ref().map(Param::val);
        let beta = self.beta.as_ref().map(Param::val);
        [
            gamma.unwrap_or_else(|| Tensor::ones([channels], device)),
            beta.unwrap_or_else(|| Tensor::zeros([channels], device)),
        ]
    }

    pub(super) fn values(&self) -> Vec<TensorData> {
        [&self.gamma, &self.beta].into_iter().flatten().map(|p| p.val().into_data()).collect()
    }
}

/// (x − mean) / √(variance + ε) over the dimension `dim`. The variance is biased: it is divided by the number of values.
pub(super) fn standardize<const D: usize>(x: Tensor<D>, dim: usize, epsilon: f64) -> Tensor<D> {
    let mean = x.clone().mean_dim(dim);
    let centered = x - mean;
    let variance = centered.clone().square().mean_dim(dim);
    centered / variance.add_scalar(epsilon).sqrt()
}

/// The values that training stores for one sample of a normalization that is computed by [`standardize`].
pub(super) const fn saved_activations(values: usize, scale: bool) -> usize {
    // The centered values, the standardized ones, and the output if it differs from them.
    if scale { 3 * values } else { 2 * values }
}
