use burn::optim::{LearningRate, LionConfig, LionState, Optimizer};
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::{slots, update_with_slot};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// c = β₁ m + (1 − β₁) g; w ← w − η (sign(c) + λ w); m ← β₂ m + (1 − β₂) g (Chen et al. 2023, "Symbolic
/// Discovery of Optimization Algorithms", algorithm 2). PyTorch has no Lion. Keras' computes the same.
///
/// Each weight moves by η in each step, so that η is chosen some three to ten times smaller than for AdamW,
/// and λ larger by the same factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lion {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// λ, decoupled from the gradient.
    pub weight_decay: f64,
}

impl UpdateRule for Lion {
    type Burn = BurnLion;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            beta_1: keys::share(table, "beta_1", 0.9)?,
            beta_2: keys::share(table, "beta_2", 0.99)?,
            weight_decay: keys::weight_decay(table, 0.0)?,
        })
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.beta_1)
    }

    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["mean"]
    }

    fn burn(&self) -> BurnLion {
        BurnLion(*self)
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl FusedUpdate for Lion {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let FusedParameter { values, gradient, slots: own_slots } = parameter;
        let rate = step.learning_rate as f32;
        let (beta_1, beta_2) = (self.beta_1 as f32, self.beta_2 as f32);
        let keep = (1.0 - step.learning_rate * f64::from(self.weight_decay as f32)) as f32;
        let [mean] = slots(own_slots);
        update_with_slot(values, gradient, mean, |w, g, m| {
            let c = m * beta_1 + g * (1.0 - beta_1);
            // Not `signum`, which is 1 at 0. NaN stays NaN, so that a run that diverged is noticed.
            let sign = if c == 0.0 || c.is_nan() { c } else { 1.0_f32.copysign(c) };
            (w * keep - rate * sign, m * beta_2 + g * (1.0 - beta_2))
        });
    }
}

/// Burn's Lion, except that a gradient of NaN makes the weight NaN.
#[derive(Clone)]
pub(crate) struct BurnLion(Lion);

impl Optimizer for BurnLion {
    type State<const D: usize> = LionState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let lion = LionConfig::new()
            .with_beta_1(self.0.beta_1 as f32)
            .with_beta_2(self.0.beta_2 as f32)
            .with_weight_decay(self.0.weight_decay as f32)
            .build();
        let (weight, state) = lion.step(rate, weight, gradient, state);
        // Burn's sign of NaN is 0: the weights would stay as they are for ever, and the run would end as
        // if it had converged.
        let nan = state.as_ref().map(|state| state.momentum.clone().mul_scalar(0.0));
        let weight = match nan {
            Some(nan) => weight + nan,
            None => weight,
        };
        (weight, state)
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}
