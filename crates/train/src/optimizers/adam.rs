use burn::optim::{AdamState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::update_with_moments;
use super::moments::{bias_correction, next_moments, step_number};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w ← w − η m̂ / (√v̂ + ε), where
/// m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) correct for the start at 0 (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adam {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// ε.
    pub epsilon: f64,
}

impl UpdateRule for Adam {
    type Burn = BurnAdam;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            beta_1: keys::share(table, "beta_1", 0.9)?,
            beta_2: keys::share(table, "beta_2", 0.999)?,
            epsilon: keys::epsilon(table)?,
        })
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.beta_1)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn burn(&self) -> BurnAdam {
        BurnAdam(*self)
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

/// The scalars of one step.
struct Factors {
    /// √(1 − β₂ᵗ) / (1 − β₁ᵗ)
    mean: f32,
    /// ε √(1 − β₂ᵗ). Both terms of √v̂ + ε are multiplied by the root, which saves a division for each value.
    epsilon: f32,
}

impl Adam {
    fn factors(&self, step: i32) -> Factors {
        let root = bias_correction(self.beta_2, step).sqrt();
        Factors {
            mean: (root / bias_correction(self.beta_1, step)) as f32,
            epsilon: (self.epsilon * root) as f32,
        }
    }
}

impl FusedUpdate for Adam {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let rate = step.learning_rate as f32;
        let Factors { mean, epsilon } = self.factors(step.number);
        let betas = [self.beta_1 as f32, self.beta_2 as f32];
        update_with_moments(parameter, betas, |w, _, m, v| {
            w - rate * (m * mean / (v.sqrt() + epsilon))
        });
    }
}

/// Adam on Burn's tensors, with Burn's state. Burn's own Adam computes 1 − βᵗ in f32.
#[derive(Clone)]
pub(crate) struct BurnAdam(Adam);

impl Optimizer for BurnAdam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let betas = [self.0.beta_1, self.0.beta_2];
        let state = next_moments(state.map(|state| state.momentum), &gradient, betas);
        let Factors { mean, epsilon } = self.0.factors(step_number(&state));
        let size = state.moment_2.clone().sqrt().add_scalar(epsilon);
        let update = state.moment_1.clone().mul_scalar(mean).div(size).mul_scalar(rate);
        (weight - update, Some(AdamState::new(state)))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}
