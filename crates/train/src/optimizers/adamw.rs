use burn::optim::{AdamWState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::update_with_moments;
use super::moments::{bias_correction, next_moments, step_number};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// Adam with decoupled weight decay: besides Adam's step, w ← w − η λ w (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adamw {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// ε.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
}

impl UpdateRule for Adamw {
    type Burn = BurnAdamw;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            beta_1: keys::share(table, "beta_1", 0.9)?,
            beta_2: keys::share(table, "beta_2", 0.999)?,
            epsilon: keys::epsilon(table)?,
            weight_decay: keys::weight_decay(table, 0.004)?,
        })
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.beta_1)
    }

    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn burn(&self) -> BurnAdamw {
        BurnAdamw(*self)
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

/// The scalars of one step.
struct Factors {
    /// 1 / (1 − β₁ᵗ)
    mean: f32,
    /// 1 / (1 − β₂ᵗ)
    square: f32,
    /// 1 − η λ
    keep: f32,
}

impl Adamw {
    fn factors(&self, rate: LearningRate, step: i32) -> Factors {
        Factors {
            mean: (1.0 / bias_correction(self.beta_1, step)) as f32,
            square: (1.0 / bias_correction(self.beta_2, step)) as f32,
            keep: (1.0 - rate * f64::from(self.weight_decay as f32)) as f32,
        }
    }
}

impl FusedUpdate for Adamw {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let rate = step.learning_rate as f32;
        let Factors { mean, square, keep } = self.factors(step.learning_rate, step.number);
        let epsilon = self.epsilon as f32;
        let betas = [self.beta_1 as f32, self.beta_2 as f32];
        update_with_moments(parameter, betas, |w, _, m, v| {
            w * keep - rate * (m * mean / ((v * square).sqrt() + epsilon))
        });
    }
}

/// AdamW on Burn's tensors, with Burn's state. Burn's own AdamW computes 1 − βᵗ in f32.
#[derive(Clone)]
pub(crate) struct BurnAdamw(Adamw);

impl Optimizer for BurnAdamw {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let betas = [self.0.beta_1, self.0.beta_2];
        let state = next_moments(state.map(|state| state.momentum), &gradient, betas);
        let Factors { mean, square, keep } = self.0.factors(rate, step_number(&state));
        let size = state.moment_2.clone().mul_scalar(square).sqrt();
        let size = size.add_scalar(self.0.epsilon as f32);
        let update = state.moment_1.clone().mul_scalar(mean).div(size).mul_scalar(rate);
        (weight.mul_scalar(keep) - update, Some(AdamWState::new(state)))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}
